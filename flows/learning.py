"""The learning flow: what the outcomes so far teach, as rows and as a Prefect artifact."""

from typing import Annotated
from uuid import UUID

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact
from prefect.runtime import flow_run
from pydantic import Field

from contexten_core.learning.learn import LearningResult, learn
from contexten_core.runtime import current_runtime

ARTIFACT_KEY = "contexten-learning"


@flow(name="learning", retries=0, persist_result=False)
async def learning(limit: Annotated[int, Field(ge=1, le=5_000)] = 5_000) -> LearningResult:
    """Cluster the newest outcomes and rate each prompt.

    Args:
        limit: how many of the newest outcomes to look at.
    """
    async with current_runtime() as runtime:
        result = await learn(runtime, limit=limit, flow_run_id=UUID(str(flow_run.get_id())))
    await acreate_markdown_artifact(
        key=ARTIFACT_KEY, markdown=result.report, description="What the newest outcomes have in common"
    )
    return result
