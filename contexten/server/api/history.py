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
    superseded_by: UUID | None


class Cause(BaseModel):
    """An earlier event that another one stands for, and the run in which it was superseded."""

    event_id: UUID
    run_id: UUID
    name: str
    received_at: Moment


class Run(BaseModel):
    """One handling of an event. `superseded_by` is the event that made it pointless, or is about to."""

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
    causes: list[Cause]
    superseded_by: UUID | None
    cancel_requested_at: Moment | None
    cancel_by: str | None
    cancel_reason: str | None


class StepFailure(BaseModel):
    """What one attempt at a step failed of; `claim` counts the workers that had the run."""

    at: Moment
    claim: int
    attempt: int
    error: str


class Step(BaseModel):
    """One step of a run, with what it found, and what its last failed attempts failed of."""

    step: str
    status: HandlerStatus
    started_at: Moment
    duration_ms: float | None
    retries: int
    failures: list[StepFailure]
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
    """An event with its payload, its runs, the steps of the newest, and the functions registered for it.

    `waits_for` is another event of its subject that has to end first; `causes` are those that its next run stands for.
    """

    waits_for: UUID | None
    causes: list[Cause]
    headers: Any
    payload: Any
    error: Any
    runs: list[Run]
    steps: list[Step]
    explanation: Any
    functions: list[FunctionCall]


class _RunHistory(Run):
    """A run with everything that belongs to it, and why its prompt was selected.

    `successor` is the newest run of the event that superseded it.
    """

    successor: UUID | None
    explanation: Any
    event: Event
    steps: list[Step]
    effects: list[Effect]


_TASK: dict[str, Any] = {"task": (Task | None, ...), "execution": (TaskExecutionWithLog | None, ...)}
RunHistory = create_model("RunHistory", __base__=_RunHistory, __doc__=_RunHistory.__doc__, __module__=__name__, **_TASK)
