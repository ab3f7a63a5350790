"""How each version of a prompt does, by what came of the runs it was chosen for, never by what an executor says."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db.sums import add_up
from contexten_core.prompts import store, usage_store
from contexten_core.prompts.experiments import statistics
from contexten_core.prompts.experiments import store as experiment_store
from contexten_core.prompts.experiments.statistics import Interval, Rate
from contexten_core.prompts.models import PromptModel

LONGEST_DAYS = 366
_MOST_ROWS = 500


class UsageBy(StrEnum):
    """What outcomes are added up by."""

    VERSION = "version"
    PROJECT = "project"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Usage:
    """The outcomes of a prompt that have something in common.

    Attributes:
        key: the version, the project's slug, or the day in UTC (`2026-01-07`).
        errors: runs that could not find out; they count as uses without success.
        success_interval: 95 %, Wilson's, as if runs were independent.
        mean_seconds: of all runs, failed ones too.
    """

    key: int | str
    uses: int
    successes: int
    errors: int
    success_rate: float
    success_interval: Interval
    mean_seconds: float
    cost: float
    last_used_at: datetime


async def count_outcome(
    session: AsyncSession,
    *,
    prompt_id: UUID,
    version: int,
    project_id: UUID,
    run_id: UUID,
    succeeded: bool,
    is_error: bool,
    seconds: float,
    cost: float = 0.0,
    template: str | None = None,
    is_experiment: bool = True,
    now: datetime,
) -> None:
    """Add what came of one run to the figures of its prompt, of the version and template, and of its exposure.

    It is called once for a run: inside the transaction of a step that is done once. Where the prompt is gone there is
    nothing to add to.

    Args:
        is_error: whether it could not be found out whether the run succeeded.
        seconds: by the wall clock.
        cost: in US dollars.
        template: the name of the template that was rendered, where it was not the prompt's own text.
        is_experiment: whether an experiment may have picked the version.
    """
    if not await store.hold_prompt(session, prompt_id):
        return

    async def add(session: AsyncSession, amounts: Mapping[str, float]) -> None:
        uses, successes = int(amounts["uses"]), int(amounts["successes"])
        seconds = amounts["seconds"]
        if not await usage_store.count_prompt(session, prompt_id, uses=uses, successes=successes, seconds=seconds):
            return
        if template is not None:
            await usage_store.count_template(session, prompt_id, template, uses=uses, successes=successes)
        await usage_store.add(
            session,
            prompt_id=prompt_id,
            version=version,
            project_id=project_id,
            day=_midnight(now),
            uses=uses,
            successes=successes,
            errors=int(amounts["errors"]),
            seconds=seconds,
            cost=amounts["cost"],
            last_used_at=now,
        )

    outcome = {
        "uses": 1,
        "successes": int(succeeded),
        "errors": int(is_error),
        "seconds": seconds,
        "cost": cost,
    }
    key = (PromptModel.__tablename__, prompt_id, version, project_id, _midnight(now), template or "")
    await add_up(session, *key, amounts=outcome, add=add)
    if is_experiment:
        await experiment_store.finish_exposure(
            session, run_id, succeeded=succeeded, seconds=seconds, cost=cost, now=now
        )


async def usage_of(session: AsyncSession, prompt_id: UUID, *, by: UsageBy, days: int, now: datetime) -> list[Usage]:
    """Return what came of a prompt in the last days, today included, added up; what was used last comes first.

    Args:
        days: at most `LONGEST_DAYS`.
    """
    read = {
        UsageBy.VERSION: usage_store.by_version,
        UsageBy.PROJECT: usage_store.by_project,
        UsageBy.DAY: usage_store.by_day,
    }[by]
    since = _midnight(now) - timedelta(days=min(days, LONGEST_DAYS) - 1)
    return [_usage(row) for row in await read(session, prompt_id, since=since, limit=_MOST_ROWS)]


def _usage(row: Row[Any]) -> Usage:
    uses, successes = int(row.uses), int(row.successes)
    return Usage(
        key=row.key.date().isoformat() if isinstance(row.key, datetime) else row.key,
        uses=uses,
        successes=successes,
        errors=int(row.errors),
        success_rate=successes / uses,
        success_interval=statistics.wilson(Rate(successes, uses)),
        mean_seconds=float(row.seconds) / uses,
        cost=float(row.cost),
        last_used_at=row.last_used_at,
    )


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
