"""What each page shows, read through the stores and the history."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from contexten.server.dashboard.format import pretty_json, web_link
from contexten.server.dashboard.log import LogView, view_log
from contexten.server.dashboard.timeline import Bar, timeline
from contexten_core.errors import NotFoundError
from contexten_core.events import explain_store, run_store, store
from contexten_core.events.history import (
    EventHistory,
    RunHistory,
    event_history,
    newest_of_skipped,
    outcome_of,
    result_of,
    result_word,
    run_history,
)
from contexten_core.events.models import Conclusion, EffectStatus, EventModel, EventStatus, RunModel, RunStatus
from contexten_core.events.steps import Step
from contexten_core.events.summary import evidence
from contexten_core.learning import store as learning_store
from contexten_core.learning.models import LearningPatternModel
from contexten_core.settings import Settings
from contexten_core.tasks import store as task_store
from contexten_core.tasks.models import TaskExecutionModel
from deployments.prefect_server import ui_url

_SHOWN_RUNS = 50
_SHOWN_FAILURES = 6
_SHOWN_EVENTS = 8
_SHOWN_PATTERNS = 8
PAYLOAD_LIMIT = 200_000


class Result(StrEnum):
    """How a run stands, the worst first."""

    FAILURE = "failure"
    ERROR = "error"
    FAILED = "failed"
    RUNNING = "running"
    SUCCESS = "success"
    IGNORED = "ignored"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"

    @property
    def meaning(self) -> str:
        return _MEANINGS[self]


_MEANINGS = {
    Result.FAILURE: "the command failed",
    Result.ERROR: "the command could not be run",
    Result.FAILED: "Contexten could not finish the run",
    Result.RUNNING: "not ended yet",
    Result.SUCCESS: "the command succeeded",
    Result.IGNORED: "there was nothing to do",
    Result.SUPERSEDED: "a newer push made it pointless",
    Result.CANCELLED: "somebody had it stopped",
}
_FAILING = (Result.FAILURE, Result.ERROR, Result.FAILED)
_OUTCOMES = {
    Result.FAILURE: (RunStatus.COMPLETED, Conclusion.FAILURE),
    Result.ERROR: (RunStatus.COMPLETED, Conclusion.ERROR),
    Result.FAILED: (RunStatus.FAILED, None),
    Result.RUNNING: (RunStatus.RUNNING, None),
    Result.SUCCESS: (RunStatus.COMPLETED, Conclusion.SUCCESS),
    Result.IGNORED: (RunStatus.IGNORED, None),
    Result.SUPERSEDED: (RunStatus.SUPERSEDED, None),
    Result.CANCELLED: (RunStatus.CANCELLED, None),
}
_WAITING = (EventStatus.PENDING, EventStatus.RETRYING)


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run in a list. `headline` says what failed, where something did and the list has room for it."""

    run: RunModel
    headline: str | None = None

    @property
    def result(self) -> str:
        return result_of(self.run)

    @property
    def prompt(self) -> str | None:
        winner = (self.run.explanation or {}).get("winner")
        return winner if isinstance(winner, str) else None


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event in a list, with its outcome."""

    event: EventModel
    outcome: str


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The first page."""

    result: Result | None
    total: int
    counts: dict[Result, int]
    failing: list[RunRow]
    rows: list[RunRow]
    event_counts: dict[EventStatus, int]
    waiting: int
    not_handled: list[EventRow]
    patterns: Sequence[LearningPatternModel]

    @property
    def is_empty(self) -> bool:
        return not self.total and not self.event_counts

    @property
    def failing_count(self) -> int:
        return sum(self.counts[result] for result in _FAILING)

    @property
    def is_live(self) -> bool:
        handling = self.event_counts.get(EventStatus.PROCESSING, 0)
        return bool(self.is_empty or self.waiting or handling or self.counts[Result.RUNNING])


@dataclass(frozen=True, slots=True)
class RunPage:
    """A run with what its page derives from the stored rows. `outcome` is the stored result of the fifth step."""

    history: RunHistory
    result: str
    bars: list[Bar]
    outcome: Mapping[str, Any]
    failure: Mapping[str, Any]
    command: Any
    execution: TaskExecutionModel | None
    log: LogView
    repository_link: str | None
    commit_link: str | None
    source_link: str | None
    prefect_link: str | None

    @property
    def is_to_end(self) -> bool:
        run = self.history.run
        return run.status is RunStatus.RUNNING and run.cancel_requested_at is not None

    @property
    def is_live(self) -> bool:
        to_report = any(effect.status is EffectStatus.PENDING for effect in self.history.effects)
        return to_report or self.history.run.status is RunStatus.RUNNING


@dataclass(frozen=True, slots=True)
class EventPage:
    """An event with its runs, the newest first, and how the workers fared that claimed it."""

    history: EventHistory
    rows: list[RunRow]
    source_link: str | None
    payload: str
    payload_is_cut: bool
    evidence: list[str]

    @property
    def is_live(self) -> bool:
        return self.history.event.status in (*_WAITING, EventStatus.PROCESSING)


def parse_result(given: str | None) -> Result | None:
    """Read the filter of the address; an empty one is none. Raises NotFoundError for a word that is no result."""
    if not given:
        return None
    try:
        return Result(given)
    except ValueError:
        known = ", ".join(f"`{result}`" for result in Result)
        raise NotFoundError(f"no run has the result {given[:80]!r}", hint=f"the results are {known}") from None


async def collect_dashboard(session: AsyncSession, result: Result | None) -> Dashboard:
    counts: Counter[str] = Counter()
    for status, conclusion, count in await run_store.count_by_outcome(session):
        counts[result_word(status, conclusion)] += count
    failing = await run_store.newest_failing(session, limit=_SHOWN_FAILURES) if result is None else []
    event_counts = await store.count_by_status(session)
    return Dashboard(
        result=result,
        total=counts.total(),
        counts={known: counts[known] for known in Result},
        failing=[await _with_headline(session, run) for run in failing],
        rows=await _rows(session, result),
        event_counts=event_counts,
        waiting=sum(event_counts.get(status, 0) for status in _WAITING),
        not_handled=await _not_handled(session),
        patterns=await learning_store.patterns(session, limit=_SHOWN_PATTERNS),
    )


async def collect_run(session: AsyncSession, settings: Settings, run_id: UUID, *, now: datetime) -> RunPage:
    """Collect a run's page. Raises NotFoundError when there is no such run."""
    history = await run_history(session, run_id)
    execution = history.executions[-1] if history.executions else None
    outcome = next((step.output_data or {} for step in history.steps if step.handler_name == Step.EXECUTE_TASK), {})
    failure = outcome.get("failure") or {}
    repository_link = _repository_link(history.event)
    commit = history.run.commit_sha
    return RunPage(
        history=history,
        result=result_of(history.run),
        bars=timeline(history, now),
        outcome=outcome,
        failure=failure,
        command=((execution.input_parameters if execution else None) or {}).get("command"),
        execution=execution,
        log=view_log(history.log, failure),
        repository_link=repository_link,
        commit_link=f"{repository_link}/commit/{commit}" if repository_link and commit else None,
        source_link=web_link(history.event.source_url),
        prefect_link=_prefect_link(settings, history.run),
    )


async def collect_event(session: AsyncSession, event_id: UUID) -> EventPage:
    """Collect an event's page. Raises NotFoundError when there is no such event."""
    history = await event_history(session, event_id)
    payload, is_cut = pretty_json(history.event.payload, PAYLOAD_LIMIT)
    return EventPage(
        history=history,
        rows=[await _with_headline(session, run) for run in reversed(history.runs[-_SHOWN_RUNS:])],
        source_link=web_link(history.event.source_url),
        payload=payload,
        payload_is_cut=is_cut,
        evidence=evidence(history.event),
    )


async def _rows(session: AsyncSession, result: Result | None) -> list[RunRow]:
    status, conclusion = (None, None) if result is None else _OUTCOMES[result]
    runs = await run_store.newest(session, limit=_SHOWN_RUNS, status=status, conclusion=conclusion)
    return [await _with_headline(session, run) if result in _FAILING else RunRow(run) for run in runs]


async def _with_headline(session: AsyncSession, run: RunModel) -> RunRow:
    task = await task_store.get(session, run.task_id) if run.task_id else None
    return RunRow(run, run.reason or (task.error_message if task else None))


async def _not_handled(session: AsyncSession) -> list[EventRow]:
    events = await explain_store.not_handled(session, limit=_SHOWN_EVENTS)
    runs = await newest_of_skipped(session, events)
    return [EventRow(event, outcome_of(event, runs.get(event.id))) for event in events]


def _repository_link(event: EventModel) -> str | None:
    repository = event.payload.get("repository")
    return web_link(repository.get("html_url")) if isinstance(repository, Mapping) else None


def _prefect_link(settings: Settings, run: RunModel) -> str | None:
    if settings.prefect_api_url is None or run.flow_run_id is None:
        return None
    return web_link(f"{ui_url(settings.prefect_api_url)}/runs/flow-run/{run.flow_run_id}")
