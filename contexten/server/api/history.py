"""What answers about events and runs look like: the lines and histories of `contexten_core.events.history`."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, create_model

from contexten.server.api.shapes import Moment, Task, TaskExecutionWithLog
from contexten_core.events.models import Conclusion, EffectStatus, EventProvider, EventStatus, HandlerStatus, RunStatus


class Event(BaseModel):
    """An event in a list. `outcome` is its status in the word that people read."""

    id: UUID
    provider: EventProvider
    event_type: str
    title: str
    status: EventStatus
    outcome: str
    reason: str | None
    repository: str | None
    subject: str | None
    actor: str | None
    delivery_id: str | None
    received_at: Moment
    processed_at: Moment | None
    retry_count: int
    error_message: str | None
    parked_at: Moment | None


class Run(BaseModel):
    """One handling of an event."""

    id: UUID
    name: str
    event_id: UUID
    attempt: int
    status: RunStatus
    conclusion: Conclusion | None
    reason: str | None
    subject: str | None
    commit: str | None
    flow_run_id: UUID | None
    task_id: UUID | None
    started_at: Moment
    finished_at: Moment | None


class Step(BaseModel):
    """One step of a run, with what it found."""

    step: str
    status: HandlerStatus
    started_at: Moment
    duration_ms: float | None
    retries: int
    result: Any
    error: str | None


class FunctionCall(BaseModel):
    """A function registered for an event, how often it was tried again, and what it returned."""

    function: str
    status: HandlerStatus
    started_at: Moment
    duration_ms: float | None
    retries: int
    result: Any
    error: str | None


class Effect(BaseModel):
    """Something that a run has to say to the outside."""

    kind: str
    status: EffectStatus
    content: Any
    attempts: int
    sent_at: Moment | None
    error: str | None
    reason: str | None


class EventHistory(Event):
    """An event with its payload, its runs, the steps of the newest, and the functions registered for it."""

    headers: Any
    payload: Any
    error: Any
    runs: list[Run]
    steps: list[Step]
    explanation: Any
    functions: list[FunctionCall]


class _RunHistory(Run):
    """A run with everything that belongs to it, and why its prompt was selected."""

    explanation: Any
    event: Event
    steps: list[Step]
    effects: list[Effect]


_TASK: dict[str, Any] = {"task": (Task | None, ...), "execution": (TaskExecutionWithLog | None, ...)}
RunHistory = create_model("RunHistory", __base__=_RunHistory, __doc__=_RunHistory.__doc__, __module__=__name__, **_TASK)
