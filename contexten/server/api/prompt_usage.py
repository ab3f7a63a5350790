"""How each version of a prompt does, by what came of the runs it was chosen for."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel as Shape

from contexten.server.api.answers import found
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import Moment
from contexten.server.dependencies import Reading
from contexten_core.db import utc_now
from contexten_core.prompts import store
from contexten_core.prompts.experiments.statistics import Interval
from contexten_core.prompts.usage import LONGEST_DAYS, UsageBy, usage_of

router = api_router("/api/prompts", "prompts")


class PromptUsage(Shape):
    """The outcomes of a prompt in one version, one project or on one day, which `key` says."""

    key: int | str
    uses: int
    successes: int
    errors: int
    success_rate: float
    success_interval: Interval
    mean_seconds: float
    cost: float
    last_used_at: Moment


class PromptUsageSums(Shape):
    """What was used last comes first."""

    items: list[PromptUsage]


@router.get("/{prompt_id}/usage", response_model=PromptUsageSums)
async def show_prompt_usage(
    session: Reading,
    prompt_id: UUID,
    days: Annotated[int, Query(ge=1, le=LONGEST_DAYS, description="How many, today (UTC) included.")] = 30,
    by: UsageBy = UsageBy.VERSION,
) -> Any:
    """Show what came of a prompt, added up by version, by project or by day."""
    found(await store.get_prompt(session, prompt_id), "prompt", prompt_id)
    return {"items": await usage_of(session, prompt_id, by=by, days=days, now=utc_now())}
