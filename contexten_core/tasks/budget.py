"""How much of a project's budget is left before work starts, and whether trying again can still help.

Settings of a project, of the type `budget`:

- `daily_` and `monthly_` with `dollars`, `tokens`, `minutes`, `runs` or `effects`: for all runs of a day or month in
  UTC. At 80 % of one the explanation and the report say so; at all of it nothing is started, and a run that is started
  before may take no more than what is left.
- `run_` with `dollars`, `tokens`, `minutes` or `effects`: for one run, where its prompt's own limit is not lower.
- `attempts`: how often a prompt is tried on one commit when it fails every time.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.events.ignored import Ignored
from contexten_core.integrations.reports import OUR_WORDS
from contexten_core.prompts.models import Executor
from contexten_core.tasks import budget_store as store
from contexten_core.tasks.forecast import Forecast, Span, forecast

BUDGET = "budget"
MOST_ATTEMPTS = 5
SOFT_SHARE = 0.8

_WHAT = ("dollars", "tokens", "minutes", "runs", "effects")
_OF_PROJECTS = tuple(f"{period}_{what}" for period in ("daily", "monthly") for what in _WHAT)
_OF_RUNS = tuple(f"run_{what}" for what in _WHAT if what != "runs")
# What these do is said beforehand: they try nothing else the next time.
_STEADY = (Executor.COMMAND, Executor.REPLY)
_LARGEST = 1e12
_LARGEST_ATTEMPTS = 1_000
_SAME = 2
_MINUTE = 60.0
_LEAST_SECONDS = 1.0
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
# A budget, its unit, and what of a run counts towards it.
_AMOUNTS = (
    ("dollars", "$", "dollars", 1.0),
    ("tokens", "tokens", "tokens", 1.0),
    ("minutes", "minutes", "seconds", 1 / _MINUTE),
)
_LIMITS = {"max_cost": "${:.2f}", "max_tokens": "{:,} tokens", "wall_seconds": "{:.0f} s"}
_USES_MODELS = frozenset({Executor.LLM, Executor.HTTP})


class Choosing(Protocol):
    """What of a selected prompt is looked at; `contexten_core.prompts.select.Choice` is one."""

    @property
    def prompt_id(self) -> UUID: ...
    @property
    def slug(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def executor(self) -> Executor: ...
    @property
    def limits(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Spent:
    """How much of one budget is used up.

    Attributes:
        unit: `$`, `tokens`, `minutes`, `runs` or `effects`.
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

    @property
    def left(self) -> float:
        return max(self.limit - self.used, 0.0)

    def __str__(self) -> str:
        name = self.name.replace("_", " ")
        if self.unit == "$":
            forecast = f", this run is likely to take ${self.expected:.2f}" if self.expected else ""
            return f"{name}: ${self.used:.2f} of ${self.limit:g} used{forecast}"
        is_told = self.expected and self.unit in ("tokens", "minutes")
        forecast = f", this run is likely to take {_number(self.expected)} {self.unit}" if is_told else ""
        return f"{name}: {_number(self.used)} of {_number(self.limit)} {self.unit} used{forecast}"


def _number(amount: float) -> str:
    return f"{amount:,.0f}" if amount == round(amount) else f"{amount:,.1f}"


@dataclass(frozen=True, slots=True)
class Allowance:
    """Whether one more run is allowed.

    Attributes:
        stop: why not; None when it is.
        notes: the budgets that are nearly used up.
        limits: what its own limits become, so that it takes no more than what is left.
    """

    stop: Ignored | None = None
    notes: tuple[str, ...] = ()
    limits: Mapping[str, Any] = field(default_factory=dict)


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
    usual_seconds: float = math.inf,
    again: bool = False,
) -> Allowance:
    """Return whether the budgets of a project, and the attempts of a subject, allow one more run of a prompt.

    Where a budget is set, no other run of the project is let in before this transaction ends.

    Args:
        config: the project's settings, by type and key.
        usual_seconds: how long a run of its executor may take when the prompt does not say.
        again: whether somebody asked for the event to be handled again: then a repetition is what they want.
    """
    limits = budgets_in(config)
    if problem := _problem(limits):
        return Allowance(Ignored(problem, refused=True))
    spent = await _spent(session, choice, limits, project_id=project_id, run_id=run_id, now=now)
    over = next((one for one in spent if one.is_over), None)
    if over is not None:
        return Allowance(Ignored(f"the project's budget is used up, {over}", refused=True))
    attempts = int(limits.get("attempts", MOST_ATTEMPTS))
    if choice.executor not in _STEADY and subject is not None:
        tried = await store.newest_tries(
            session,
            project_id=project_id,
            subject=subject,
            slug=choice.slug,
            but=run_id,
            limit=max(attempts, _SAME),
        )
        if why := why_stuck(tried, slug=choice.slug, commit=commit, attempts=attempts, again=again):
            return Allowance(Ignored(why, refused=True))
    narrowed = _narrowed(choice, limits, spent, usual_seconds)
    near = [str(one) for one in spent if one.is_near]
    if near and narrowed:
        most = ", ".join(_LIMITS[name].format(value) for name, value in narrowed.items())
        near.append(f"this run may take no more than {most}")
    return Allowance(notes=tuple(near), limits=narrowed)


def budgets_in(config: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
    """Return the budgets among a project's settings, by their names."""
    return {key: value for (kind, key), value in config.items() if kind == BUDGET}


async def effects_left(
    session: AsyncSession, limits: Mapping[str, Any], *, project_id: UUID, now: datetime
) -> Spent | None:
    """Return the budget that leaves one run the fewest effects; None where it may have as many as its prompt says."""
    if _problem(limits):
        return Spent("effects", 0, 0, "effects")
    found = [Spent("run_effects", 0, limits["run_effects"], "effects")] if "run_effects" in limits else []
    for name, since in _periods("effects", limits, now):
        used = await store.effects_since(session, project_id, since, without=_REPORTS, keys=OUR_WORDS)
        found.append(Spent(name, used, limits[name], "effects"))
    return min(found, key=lambda one: one.left, default=None)


def why_stuck(
    tried: Sequence[store.Tried], *, slug: str, commit: str, attempts: int, again: bool = False
) -> str | None:
    """Return why trying again cannot help, or None.

    A prompt that failed on this very commit as often as it may be tried has had its attempts; one whose last two tries
    proposed the same change and failed in the same way makes no progress, whatever was pushed in between.

    Args:
        tried: newest first.
    """
    here = [one for one in tried[:attempts] if one.commit == commit and one.fingerprint is not None]
    if len(here) >= attempts:
        if len({one.fingerprint for one in here}) == 1:
            return f"no progress: {slug} failed {attempts} times in the same way on {commit[:7]}"
        return f"{slug} failed {attempts} times on {commit[:7]}, and is not tried again there"
    last = {(one.change, one.fingerprint) for one in tried[:_SAME]}
    if len(tried) >= _SAME and len(last) == 1 and None not in next(iter(last)) and not again:
        return f"no progress: {slug} proposed the same change twice and failed in the same way; a rerun tries it again"
    return None


async def _spent(
    session: AsyncSession,
    choice: Choosing,
    limits: Mapping[str, Any],
    *,
    project_id: UUID,
    run_id: UUID,
    now: datetime,
) -> list[Spent]:
    if not limits.keys() & set(_OF_PROJECTS):
        return []
    # Two that are let in at once would not count each other.
    await store.hold_project(session, project_id)
    spent = []
    expected: Forecast | None = None
    for what, unit, part, scale in _AMOUNTS:
        for name, since in _periods(what, limits, now):
            expected = expected or await forecast(session, prompt_id=choice.prompt_id, version=choice.version, now=now)
            used = getattr(await store.taken_since(session, project_id, since), part) * scale
            spent.append(Spent(name, used, limits[name], unit, _median(getattr(expected, part)) * scale))
    for name, since in _periods("runs", limits, now):
        used = await store.runs_since(session, project_id, since, but=run_id)
        spent.append(Spent(name, used, limits[name], "runs", 1))
    for name, since in _periods("effects", limits, now):
        used = await store.effects_since(session, project_id, since, without=_REPORTS, keys=OUR_WORDS)
        spent.append(Spent(name, used, limits[name], "effects"))
    return spent


def _periods(what: str, limits: Mapping[str, Any], now: datetime) -> list[tuple[str, datetime]]:
    """Return the budgets that are set of the day and the month, and when those began."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    begins = {f"daily_{what}": today, f"monthly_{what}": today.replace(day=1)}
    return [(name, since) for name, since in begins.items() if name in limits]


def _median(span: Span | None) -> float:
    return span.median if span is not None else 0.0


def _narrowed(
    choice: Choosing, limits: Mapping[str, Any], spent: Sequence[Spent], usual_seconds: float
) -> dict[str, Any]:
    """Return those of a prompt's limits that budgets make lower."""
    left: dict[str, float] = {}
    for what, unit, _, _ in _AMOUNTS:
        amounts = [one.left for one in spent if one.unit == unit]
        left[what] = min([*amounts, limits.get(f"run_{what}", math.inf)])
    found: dict[str, Any] = {}
    if choice.executor in _USES_MODELS and left["dollars"] < choice.limits.get("max_cost", math.inf):
        found["max_cost"] = left["dollars"]
    if choice.executor in _USES_MODELS and left["tokens"] < choice.limits.get("max_tokens", math.inf):
        found["max_tokens"] = max(int(left["tokens"]), 1)
    seconds = max(left["minutes"] * _MINUTE, _LEAST_SECONDS)
    if seconds < choice.limits.get("wall_seconds", usual_seconds):
        found["wall_seconds"] = seconds
    return found


def _problem(limits: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a budget: one that cannot be kept must not be taken for none."""
    for name in (*_OF_PROJECTS, *_OF_RUNS, "attempts"):
        value = limits.get(name, 1)
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        least, most = (1, _LARGEST_ATTEMPTS) if name == "attempts" else (0, _LARGEST)
        if not is_number or not least <= value <= most:
            return f"the project's budget {name} is not a number from {least} to {most:g}; set it anew"
    return None
