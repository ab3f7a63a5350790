"""The seven steps of a run as bars over time, each with what it found in one line."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contexten.server.dashboard.format import plain
from contexten_core.events.history import RunHistory
from contexten_core.events.ignored import is_ignored
from contexten_core.events.models import EventHandlerModel, HandlerStatus, RunModel, RunStatus
from contexten_core.events.steps import Step
from contexten_core.events.summary import summarise_step

_NARROWEST_PERCENT = 0.6
_SHORTEST_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Bar:
    """One step. `left` and `width` are percent of the run's time; a step that was not reached has neither.

    Attributes:
        state: its status; for a step whose result is a verdict, that verdict.
        seconds: how long it took or has taken so far.
        found: what it found, or why it failed.
    """

    step: Step
    state: str
    left: float = 0.0
    width: float = 0.0
    seconds: float | None = None
    retries: int = 0
    found: str = ""


def timeline(history: RunHistory, now: datetime) -> list[Bar]:
    """Lay out all seven steps between the start of the run and its end, or `now` while it goes on."""
    run = history.run
    is_running = run.status is RunStatus.RUNNING
    present = now if is_running else run.finished_at or now
    records = {record.handler_name: record for record in history.steps}
    start = min([run.started_at, *(record.started_at for record in history.steps)])
    end = max([present, *(_end(record, present) for record in history.steps)])
    span = max((end - start).total_seconds(), _SHORTEST_SECONDS)
    return [
        _bar(step, records[step], run, start=start, span=span, present=present)
        if step in records
        else Bar(step, state="waiting" if is_running else "not reached")
        for step in Step
    ]


def _bar(
    step: Step, record: EventHandlerModel, run: RunModel, *, start: datetime, span: float, present: datetime
) -> Bar:
    seconds = max((_end(record, present) - record.started_at).total_seconds(), 0.0)
    width = min(max(100 * seconds / span, _NARROWEST_PERCENT), 100.0)
    left = 100 * (record.started_at - start).total_seconds() / span
    result = (record.output_data if record.status is HandlerStatus.COMPLETED else None) or {}
    return Bar(
        step,
        state=_state(record, result, run),
        left=round(min(left, 100 - width), 2),
        width=round(width, 2),
        seconds=seconds,
        retries=record.retry_count,
        found=plain(record.error_message or summarise_step(step, result)),
    )


def _end(record: EventHandlerModel, present: datetime) -> datetime:
    if record.status is HandlerStatus.RUNNING:
        return present
    return record.completed_at or record.started_at


def _state(record: EventHandlerModel, result: Mapping[str, Any], run: RunModel) -> str:
    if record.status is HandlerStatus.RUNNING and run.status is not RunStatus.RUNNING:
        # It was left unfinished.
        return run.status.value
    if is_ignored(result):
        return "ignored"
    verdict = result.get("conclusion")
    return verdict if isinstance(verdict, str) else record.status.value
