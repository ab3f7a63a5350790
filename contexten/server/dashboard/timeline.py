"""The seven steps of a run as bars over time, each with what it found in one line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contexten.server.dashboard.format import NOTHING, counted, plain, short_commit
from contexten_core.events.history import RunHistory
from contexten_core.events.models import EventHandlerModel, HandlerStatus, RunStatus
from contexten_core.events.steps import Step

_NARROWEST_PERCENT = 0.6


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
    is_running = history.run.status is RunStatus.RUNNING
    records = {record.handler_name: record for record in history.steps}
    ends = [_end(record, now) for record in history.steps]
    start = min([history.run.started_at, *(record.started_at for record in history.steps)])
    end = max([now if is_running else history.run.finished_at or start, *ends])
    span = max((end - start).total_seconds(), 0.001)
    return [
        _bar(step, records[step], start=start, span=span, now=now)
        if step in records
        else Bar(step, state="waiting" if is_running else "not reached")
        for step in Step
    ]


def found(step: Step, data: Mapping[str, Any]) -> str:
    """Say in one line what a step's stored result holds; a result of another version may lack parts."""
    if set(data) == {"reason"}:
        return plain(data["reason"])
    return plain(_SENTENCES[step](data))


def _bar(step: Step, record: EventHandlerModel, *, start: datetime, span: float, now: datetime) -> Bar:
    seconds = max((_end(record, now) - record.started_at).total_seconds(), 0.0)
    width = max(100 * seconds / span, _NARROWEST_PERCENT)
    left = 100 * (record.started_at - start).total_seconds() / span
    data = record.output_data if record.status is HandlerStatus.COMPLETED else None
    return Bar(
        step,
        state=_state(record, data),
        left=round(min(left, 100 - min(width, 100)), 2),
        width=round(min(width, 100), 2),
        seconds=seconds,
        retries=record.retry_count,
        found=found(step, data) if data else plain(record.error_message or ""),
    )


def _end(record: EventHandlerModel, now: datetime) -> datetime:
    if record.status is HandlerStatus.RUNNING:
        return now
    return record.completed_at or record.started_at


def _state(record: EventHandlerModel, data: Mapping[str, Any] | None) -> str:
    if data and set(data) == {"reason"}:
        return "ignored"
    verdict = data.get("conclusion") if data else None
    return verdict if isinstance(verdict, str) else record.status.value


def _said(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    return NOTHING if value is None else plain(value)


def _number(data: Mapping[str, Any], key: str) -> int:
    value = data.get(key)
    return value if isinstance(value, int) else 0


def _ingested(data: Mapping[str, Any]) -> str:
    what = " ".join(plain(data[key]) for key in ("type", "action") if data.get(key))
    by = f" by {data['actor']}" if data.get("actor") else ""
    return f"{what}{by}: {data['title']}" if data.get("title") else f"{what}{by}"


def _resolved(data: Mapping[str, Any]) -> str:
    ref = f", {data['ref']}" if data.get("ref") else ""
    return (
        f"{_said(data, 'repository')} at {short_commit(data.get('commit'))}{ref}, project {_said(data, 'project_slug')}"
    )


def _selected(data: Mapping[str, Any]) -> str:
    return f"{_said(data, 'slug')}, version {_said(data, 'version')}, by the {_said(data, 'executor')} executor"


def _analysed(data: Mapping[str, Any]) -> str:
    counts = ", ".join(
        counted(_number(data, key), noun)
        for key, noun in (("files", "file"), ("lines", "line"), ("functions", "function"))
    )
    language = f", mostly {data['primary_language']}" if data.get("primary_language") else ""
    return f"{counts}, {_number(data, 'classes'):,} classes{language}; {_number(data, 'analysed'):,} files newly read"


def _executed(data: Mapping[str, Any]) -> str:
    return _said(data, "headline")


def _recorded(data: Mapping[str, Any]) -> str:
    return f"{'to report' if data.get('reported') else 'reported before'}: {_said(data, 'description')}"


def _mined(data: Mapping[str, Any]) -> str:
    if not data.get("pattern"):
        return "no failure to remember"
    seen = counted(_number(data, "occurrences"), "time")
    return f"{'known' if data.get('known') else 'new'} failure, seen {seen}: {data['pattern']}"


_SENTENCES: dict[Step, Callable[[Mapping[str, Any]], str]] = {
    Step.INGEST_EVENT: _ingested,
    Step.RESOLVE_PROJECT: _resolved,
    Step.SELECT_PROMPT: _selected,
    Step.ANALYSE_CODEBASE: _analysed,
    Step.EXECUTE_TASK: _executed,
    Step.RECORD_ANALYTICS: _recorded,
    Step.MINE_PATTERNS: _mined,
}
