from prefect import task

from contexten_core import lifecycle
from contexten_core.events.claim import RunRef
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.steps import Step
from contexten_core.runtime import current_runtime
from tasks.policy import policy_of_step


@task(name=Step.INGEST_EVENT, **policy_of_step(Step.INGEST_EVENT))
async def ingest_event(run: RunRef) -> NormalisedEvent:
    """Read the stored delivery and put what it says in our words."""
    async with current_runtime() as runtime:
        return await lifecycle.ingest_event(runtime, run)
