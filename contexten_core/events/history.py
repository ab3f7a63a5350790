"""What happened, for people: the one place that pages, API and command line read runs and events from."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import utc_now
from contexten_core.db.base import BaseModel
from contexten_core.errors import NotFoundError
from contexten_core.events import explain_store, function_store, outbox_store, run_store, store
from contexten_core.events.models import (
    Conclusion,
    EventHandlerModel,
    EventModel,
    EventStatus,
    OutboxModel,
    RunModel,
    RunStatus,
)
from contexten_core.events.steps import failures_of
from contexten_core.tasks import store as task_store
from contexten_core.tasks.models import TaskExecutionModel, TaskModel

M = TypeVar("M", bound=BaseModel)
_PREFIX = re.compile(r"[0-9a-f]{4,32}")
_AMBIGUOUS = 2


@dataclass(frozen=True, slots=True)
class RunHistory:
    """A run with everything that belongs to it.

    `log` is the newest execution's; `successor` is the newest run of the event that made this one pointless.
    """

    run: RunModel
    event: EventModel
    steps: list[EventHandlerModel]
    effects: list[OutboxModel]
    task: TaskModel | None
    executions: list[TaskExecutionModel]
    log: str
    successor: RunModel | None = None

    def as_dict(self) -> dict[str, Any]:
        execution = self.executions[-1] if self.executions else None
        return {
            **run_line(self.run),
            "successor": str(self.successor.id) if self.successor else None,
            "explanation": self.run.explanation,
            "event": event_line(self.event, self.run),
            "steps": [step_line(step) for step in self.steps],
            "effects": [effect_line(effect) for effect in self.effects],
            "task": None if self.task is None else self.task.to_dict(),
            "execution": None if execution is None else {**execution.to_dict(), "logs": self.log},
        }


@dataclass(frozen=True, slots=True)
class EventHistory:
    """An event with its runs, the newest of them in full, and the calls of functions registered for it.

    `ahead` is the event of the same subject that has to end first, while this one waits.
    """

    event: EventModel
    runs: list[RunModel]
    newest: RunHistory | None
    functions: list[EventHandlerModel]
    ahead: EventModel | None = None

    @property
    def outcome(self) -> str:
        return outcome_of(self.event, self.newest.run if self.newest else None)

    def as_dict(self) -> dict[str, Any]:
        return {
            **event_line(self.event, self.newest.run if self.newest else None),
            "waits_for": str(self.ahead.id) if self.ahead else None,
            "causes": self.event.causes or [],
            "headers": self.event.headers,
            "payload": self.event.payload,
            "error": self.event.error_details,
            "runs": [run_line(run) for run in self.runs],
            "steps": self.newest.as_dict()["steps"] if self.newest else [],
            "explanation": self.newest.run.explanation if self.newest else None,
            "functions": [function_line(call) for call in self.functions],
        }


async def run_history(session: AsyncSession, run_id: UUID) -> RunHistory:
    """Collect a run. Raises NotFoundError when there is none of that id."""
    run = await run_store.get(session, run_id)
    if run is None:
        raise NotFoundError(f"there is no run {run_id}", hint="`contexten runs list` shows the newest")
    event = await run_store.event_of(session, run_id)
    task = await task_store.get(session, run.task_id) if run.task_id else None
    executions = list(await task_store.executions_of(session, task.id)) if task else []
    return RunHistory(
        run=run,
        event=event,
        steps=list(await run_store.steps(session, run_id)),
        effects=list(await outbox_store.of_run(session, run_id)),
        task=task,
        executions=executions,
        log=await task_store.log_of(session, executions[-1]) if executions else "",
        successor=await run_store.latest_of(session, run.superseded_by) if run.superseded_by else None,
    )


async def event_history(session: AsyncSession, event_id: UUID) -> EventHistory:
    """Collect an event. Raises NotFoundError when there is none of that id."""
    event = await store.get(session, event_id)
    if event is None:
        raise NotFoundError(f"there is no event {event_id}", hint="`contexten events list` shows the newest")
    runs = list(await run_store.of_event(session, event_id))
    return EventHistory(
        event=event,
        runs=runs,
        newest=await run_history(session, runs[-1].id) if runs else None,
        functions=list(await function_store.calls_of(session, event_id)),
        ahead=await explain_store.ahead_of(session, event, now=utc_now()),
    )


async def resolve_id(session: AsyncSession, model: type[M], given: str) -> UUID:
    """Return the id that a person means: whole, or its first four or more characters where only one begins so."""
    what = model.__tablename__.rstrip("s")
    try:
        return UUID(given)
    except ValueError:
        prefix = given.replace("-", "").lower()
    if not _PREFIX.fullmatch(prefix):
        raise NotFoundError(f"{given[:80]!r} is no id", hint="give a whole id, or at least its first four characters")
    found = await store.with_id_prefix(session, model, prefix, limit=_AMBIGUOUS)
    if not found:
        raise NotFoundError(f"there is no {what} {given}", hint=f"`contexten {what}s list` shows the newest")
    if len(found) == _AMBIGUOUS:
        raise NotFoundError(f"more than one {what} begins with {given}", hint="give more of the id")
    return found[0]


def outcome_of(event: EventModel, newest: RunModel | None = None) -> str:
    """Return an event's status in the word that people read: a skipped event was ignored, superseded or cancelled.

    Args:
        newest: its newest run, which tells the last from the first.
    """
    if event.status is not EventStatus.SKIPPED:
        return event.status.value
    if event.superseded_by is not None:
        return RunStatus.SUPERSEDED.value
    if newest is not None and newest.status is RunStatus.CANCELLED:
        return RunStatus.CANCELLED.value
    return "ignored"


async def event_lines(session: AsyncSession, events: Sequence[EventModel]) -> list[dict[str, Any]]:
    """Return a line for each of these events."""
    runs = await newest_of_skipped(session, events)
    return [event_line(event, runs.get(event.id)) for event in events]


async def newest_of_skipped(session: AsyncSession, events: Iterable[EventModel]) -> dict[UUID, RunModel]:
    """Return the newest runs of those of these events whose outcome they tell."""
    asked = [event.id for event in events if event.status is EventStatus.SKIPPED and event.superseded_by is None]
    return await run_store.latest_of_all(session, asked) if asked else {}


def result_of(run: RunModel) -> str:
    """Return one word for how a run stands: its conclusion once it has one, its status until then."""
    return result_word(run.status, run.conclusion)


def result_word(status: RunStatus, conclusion: Conclusion | None) -> str:
    return conclusion.value if status is RunStatus.COMPLETED and conclusion is not None else status.value


def event_line(event: EventModel, newest: RunModel | None = None) -> dict[str, Any]:
    """Return an event as one object; `newest` is its newest run."""
    return {
        "id": str(event.id),
        "provider": event.provider.value,
        "event_type": event.event_type,
        "title": event.title,
        "status": event.status.value,
        "outcome": outcome_of(event, newest),
        "reason": event.reason,
        "repository": event.source_repository,
        "subject": event.subject,
        "actor": event.source_user,
        "delivery_id": event.external_id,
        "received_at": event.created_at.isoformat(),
        "processed_at": event.processed_at.isoformat() if event.processed_at else None,
        "retry_count": event.retry_count,
        "error_message": event.error_message,
        "parked_at": event.parked_at.isoformat() if event.parked_at else None,
        "superseded_by": str(event.superseded_by) if event.superseded_by else None,
    }


def run_line(run: RunModel) -> dict[str, Any]:
    return {
        "id": str(run.id),
        "name": run.name,
        "event_id": str(run.event_id),
        "attempt": run.attempt,
        "status": run.status.value,
        "conclusion": run.conclusion.value if run.conclusion else None,
        "reason": run.reason,
        "subject": run.subject,
        "commit": run.commit_sha,
        "flow_run_id": str(run.flow_run_id) if run.flow_run_id else None,
        "task_id": str(run.task_id) if run.task_id else None,
        "started_at": run.started_at.isoformat(),
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
        "causes": run.causes or [],
        "superseded_by": str(run.superseded_by) if run.superseded_by else None,
        "cancel_requested_at": run.cancel_requested_at.isoformat() if run.cancel_requested_at else None,
        "cancel_by": run.cancel_by,
        "cancel_reason": run.cancel_reason,
    }


def step_line(step: EventHandlerModel) -> dict[str, Any]:
    return {
        "step": step.handler_name,
        "status": step.status.value,
        "started_at": step.started_at.isoformat(),
        "duration_ms": step.duration_ms,
        "retries": step.retry_count,
        "failures": failures_of(step),
        "result": step.output_data,
        "error": step.error_message,
    }


def function_line(call: EventHandlerModel) -> dict[str, Any]:
    """Return the call of a registered function, without the stack trace of its failure."""
    return {
        "function": call.handler_name,
        "status": call.status.value,
        "started_at": call.started_at.isoformat(),
        "duration_ms": call.duration_ms,
        "retries": call.retry_count,
        "result": (call.output_data or {}).get("result"),
        "error": call.error_message,
    }


def effect_line(effect: OutboxModel) -> dict[str, Any]:
    return {
        "kind": effect.kind,
        "status": effect.status.value,
        "content": effect.content,
        "attempts": effect.attempts,
        "sent_at": effect.sent_at.isoformat() if effect.sent_at else None,
        "error": effect.last_error,
        "reason": effect.reason,
    }


async def lifecycle_result(session: AsyncSession, flow_run_id: UUID) -> dict[str, Any] | None:
    """Return how the run ended that a Prefect flow run carried out."""
    run = await run_store.by_flow_run(session, flow_run_id)
    return None if run is None else run_line(run)
