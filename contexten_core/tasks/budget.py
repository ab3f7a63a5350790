"""How much of a project's budget is left before work starts, and whether trying again can still help.

Settings of a project, of the type `budget`: `daily_dollars`, `monthly_dollars`, `daily_runs`, `daily_effects`, and
`attempts`. Days and months are UTC's. At 80 % of one the explanation says so; at all of it nothing is started.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.events.ignored import Ignored
from contexten_core.prompts.models import Executor
from contexten_core.tasks import budget_store as store

BUDGET = "budget"
MOST_ATTEMPTS = 5
SOFT_SHARE = 0.8
_LARGEST = 1e12
_LARGEST_ATTEMPTS = 1_000
# What a run says of itself is no effect of its executor.
_REPORTS = frozenset(
    {
        "github.commit_status",
        "github.check_run",
        "github.sticky",
        "github.reaction",
        "linear.sticky",
        "linear.reaction",
        "slack.reaction",
    }
)
# The same said by kinds that executors use too.
_OUR_WORDS = (":started", ":finished", ":refused", ":answer")


class Choosing(Protocol):
    """What of a selected prompt is looked at; `contexten_core.prompts.select.Choice` is one."""

    @property
    def prompt_id(self) -> UUID: ...
    @property
    def slug(self) -> str: ...
    @property
    def executor(self) -> Executor: ...


@dataclass(frozen=True, slots=True)
class Spent:
    """How much of one budget is used up.

    Attributes:
        unit: `$`, `runs` or `effects`.
        expected: what the next run is likely to add, by what such runs took before.
    """

    name: str
    used: float
    limit: float
    unit: str
    expected: float = 0.0

    @property
    def is_over(self) -> bool:
        return self.used >= self.limit

    @property
    def is_near(self) -> bool:
        return self.used + self.expected >= SOFT_SHARE * self.limit

    def __str__(self) -> str:
        if self.unit != "$":
            return f"{self.name.replace('_', ' ')}: {self.used:.0f} of {self.limit:g} {self.unit} used"
        forecast = f", this run is likely to take ${self.expected:.2f}" if self.expected else ""
        return f"{self.name.replace('_', ' ')}: ${self.used:.2f} of ${self.limit:g} used{forecast}"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the budgets say to one more run.

    Attributes:
        stop: why it must not start; None when it may.
        notes: budgets that are nearly used up, with a forecast.
    """

    stop: Ignored | None = None
    notes: tuple[str, ...] = field(default=())


async def allowance(
    session: AsyncSession,
    choice: Choosing,
    *,
    config: Mapping[tuple[str, str], Any],
    project_id: UUID,
    run_id: UUID,
    subject: str | None,
    commit: str,
    now: datetime,
) -> Allowance:
    """Return whether the budgets of a project, and the attempts of a subject, allow one more run of a prompt.

    Args:
        config: the project's settings, by type and key.
    """
    limits = {key: value for (kind, key), value in config.items() if kind == BUDGET}
    if problem := _problem(limits):
        return Allowance(Ignored(problem, refused=True))
    spent = await _spent(session, choice, limits, project_id=project_id, run_id=run_id, now=now)
    over = next((one for one in spent if one.is_over), None)
    if over is not None:
        return Allowance(Ignored(f"the project's budget is used up, {over}", refused=True))
    attempts = int(limits.get("attempts", MOST_ATTEMPTS))
    if choice.executor is not Executor.COMMAND and subject is not None:
        tried = await store.newest_tries(
            session,
            project_id=project_id,
            subject=subject,
            prompt_id=choice.prompt_id,
            but=run_id,
            limit=attempts,
        )
        if is_stuck(tried, commit=commit, attempts=attempts):
            why = f"no progress: {choice.slug} failed {attempts} times in the same way on {commit[:7]}"
            return Allowance(Ignored(why, refused=True))
    return Allowance(notes=tuple(str(one) for one in spent if one.is_near))


def is_stuck(tried: Sequence[store.Tried], *, commit: str, attempts: int) -> bool:
    """Tell whether the newest tries all failed in one way on this very commit, as often as it may be tried."""
    ends = {(one.commit, one.fingerprint) for one in tried}
    only = next(iter(ends)) if len(ends) == 1 else None
    return len(tried) >= attempts and only is not None and only[0] == commit and only[1] is not None


async def _spent(
    session: AsyncSession,
    choice: Choosing,
    limits: Mapping[str, Any],
    *,
    project_id: UUID,
    run_id: UUID,
    now: datetime,
) -> list[Spent]:
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    month = today.replace(day=1)
    spent = []
    expected = 0.0
    if limits.keys() & {"daily_dollars", "monthly_dollars"}:
        mean = await store.mean_dollars(session, prompt_id=choice.prompt_id, project_id=project_id, since=month)
        expected = mean or 0.0
    for name, since in (("daily_dollars", today), ("monthly_dollars", month)):
        if name in limits:
            used = await store.dollars_since(session, project_id, since)
            spent.append(Spent(name, used, limits[name], "$", expected))
    if "daily_runs" in limits:
        used = await store.runs_since(session, project_id, today, but=run_id)
        spent.append(Spent("daily_runs", used, limits["daily_runs"], "runs", 1))
    if "daily_effects" in limits:
        used = await store.effects_since(session, project_id, today, without=_REPORTS, keys=_OUR_WORDS)
        spent.append(Spent("daily_effects", used, limits["daily_effects"], "effects"))
    return spent


def _problem(limits: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a budget: one that cannot be kept must not be taken for none."""
    for name in ("daily_dollars", "monthly_dollars", "daily_runs", "daily_effects", "attempts"):
        value = limits.get(name, 1)
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        least, most = (1, _LARGEST_ATTEMPTS) if name == "attempts" else (0, _LARGEST)
        if not is_number or not least <= value <= most:
            return f"the project's budget {name} is not a number from {least} to {most:g}; set it anew"
    return None
