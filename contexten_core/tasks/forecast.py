"""What a run is likely to take, by what the newest runs of the same version of its prompt took."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Self
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.tasks import budget_store as store

FEWEST = 3
"""With fewer past runs nothing is said."""

_NEWEST = 100
_WINDOW = timedelta(days=30)
_HIGH = 0.9
_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Span:
    """The median of past runs, and what nine of ten of them stayed within."""

    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        ordered = sorted(values)
        return cls(_ranked(ordered, 0.5), _ranked(ordered, _HIGH))


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run is likely to take; the spans are None where too few runs are known.

    Attributes:
        runs: how many it is taken from, at most 100 of the last 30 days.
        seconds: by the wall clock.
        tokens: of models, in and out.
        dollars: what models cost.
    """

    runs: int = 0
    seconds: Span | None = None
    tokens: Span | None = None
    dollars: Span | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON's types; `told` reads that."""
        return asdict(self)


UNKNOWN = Forecast()


async def forecast(session: AsyncSession, *, prompt_id: UUID, version: int, now: datetime) -> Forecast:
    """Return what a run of this version of a prompt is likely to take, in whichever project."""
    taken = await store.newest_taken(session, prompt_id=prompt_id, version=version, since=now - _WINDOW, limit=_NEWEST)
    if len(taken) < FEWEST:
        return Forecast(len(taken))
    return Forecast(
        runs=len(taken),
        seconds=Span.of([one.seconds for one in taken]),
        tokens=Span.of([one.tokens for one in taken]),
        dollars=Span.of([one.dollars for one in taken]),
    )


def told(found: Mapping[str, Any] | None) -> str:
    """Return in words what `Forecast.as_dict` says: the median, and in brackets what nine of ten stay within."""
    spans = {name: (found or {}).get(name) for name in ("seconds", "tokens", "dollars")}
    if not found or not isinstance(spans["seconds"], Mapping):
        return f"unknown, fewer than {FEWEST} past runs"
    writers = {"seconds": _time, "tokens": _tokens, "dollars": _dollars}
    parts = [
        f"{writers[name](span['median'])} (up to {writers[name](span['high'])})"
        for name, span in spans.items()
        if isinstance(span, Mapping) and (name == "seconds" or span["high"])
    ]
    return f"{', '.join(parts)}; by {found['runs']} past runs"


def _ranked(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that this share of all values does not exceed."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < _MINUTE else f"{seconds / _MINUTE:.1f} min"


def _tokens(count: float) -> str:
    return f"{count:,.0f} tokens"


def _dollars(amount: float) -> str:
    return f"${amount:.4f}" if amount < 1 else f"${amount:.2f}"
