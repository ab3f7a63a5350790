"""Step records: each step of a run is done once, and a run that is taken over goes on at its first unfinished step."""

import logging
import traceback
from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import StrEnum
from time import monotonic
from typing import Any, TypeVar, cast
from uuid import uuid4

from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import utc_now
from contexten_core.errors import ContextenError, LeaseLostError
from contexten_core.events import run_store, store
from contexten_core.events.claim import RunRef
from contexten_core.events.models import EventHandlerModel, HandlerStatus, RunModel
from contexten_core.runtime import Runtime
from contexten_core.security.text import shorten

logger = logging.getLogger(__name__)
T = TypeVar("T")
_TRACE_LIMIT = 8_000


class Step(StrEnum):
    """The seven steps of the lifecycle, in order."""

    INGEST_EVENT = "ingest-event"
    RESOLVE_PROJECT = "resolve-project"
    SELECT_PROMPT = "select-prompt"
    ANALYSE_CODEBASE = "analyse-codebase"
    EXECUTE_TASK = "execute-task"
    RECORD_ANALYTICS = "record-analytics"
    MINE_PATTERNS = "mine-patterns"


class StepRecord:
    """One step in progress: what its core function needs, and how it says that it is done."""

    def __init__(self, runtime: Runtime, run: RunRef, step: Step, *, started_at: datetime) -> None:
        self.runtime = runtime
        self.run = run
        self.step = step
        self.started_at = started_at
        self.completed = False

    async def complete(self, session: AsyncSession, result: T) -> T:
        """Store the step's result in the transaction that holds its writes, so that both happen or neither does.

        Raises:
            LeaseLostError: another worker has claimed the event since; the transaction must roll back.
        """
        await self.prove(session)
        row = await run_store.step(session, run_id=self.run.run_id, name=self.step)
        if row is None:
            raise LeaseLostError(f"step {self.step} of run {self.run.run_id} has no record")
        row.status = HandlerStatus.COMPLETED
        row.completed_at = utc_now()
        row.duration_ms = (row.completed_at - self.started_at).total_seconds() * 1000
        row.output_data = _adapter(type(result)).dump_python(result, mode="json")
        row.error_message = row.error_stack_trace = None
        self.completed = True
        return result

    async def prove(self, session: AsyncSession) -> None:
        """Make sure, for the rest of this transaction, that the run is still ours."""
        epoch = await store.current_epoch(session, self.run.event_id)
        if epoch != self.run.epoch:
            raise LeaseLostError(
                f"run {self.run.run_id} was taken over by another worker (claim {epoch}, ours is {self.run.epoch})"
            )

    async def model(self, session: AsyncSession) -> RunModel:
        run = await run_store.get(session, self.run.run_id)
        if run is None:
            raise LeaseLostError(f"run {self.run.run_id} is gone")
        return run


async def run_step(
    runtime: Runtime,
    run: RunRef,
    step: Step,
    result_type: Any,
    work: Callable[[StepRecord], Awaitable[T]],
) -> T:
    """Do `work` unless this step of this run was completed before, in which case its stored result is returned.

    A failure is written to the record and raised again. `result_type` is what `work` returns; a union is allowed.
    """
    started_at = utc_now()
    record = StepRecord(runtime, run, step, started_at=started_at)
    async with runtime.database.transaction() as session:
        await record.prove(session)
        row = await run_store.step(session, run_id=run.run_id, name=step)
        if row is not None and row.status is HandlerStatus.COMPLETED:
            return cast(T, _adapter(result_type).validate_python(row.output_data))
        if row is None:
            row = EventHandlerModel(
                id=uuid4(),
                name=step.value,
                handler_name=step.value,
                handler_type="step",
                event_id=run.event_id,
                run_id=run.run_id,
            )
            session.add(row)
        else:
            row.retry_count += 1
        row.status = HandlerStatus.RUNNING
        row.started_at = started_at
        row.input_data = {"epoch": run.epoch}
    clock = monotonic()
    try:
        result = await work(record)
    except LeaseLostError:
        raise
    except Exception as error:
        _measure(record, clock, succeeded=False)
        await _note_failure(record, error)
        raise
    _measure(record, clock, succeeded=True)
    if not record.completed:
        raise LeaseLostError(f"step {step} of run {run.run_id} ended without storing its result")
    return result


def _measure(record: StepRecord, since: float, *, succeeded: bool) -> None:
    # How long a prompt's command takes is no sign of trouble; its analytics row says it.
    if record.runtime.performance is not None and record.step is not Step.EXECUTE_TASK:
        record.runtime.performance.record(f"step {record.step}", monotonic() - since, success=succeeded)


async def _note_failure(record: StepRecord, error: Exception) -> None:
    message = error.message if isinstance(error, ContextenError) else f"{type(error).__name__}: {error}"
    await record.runtime.errors.record(
        error,
        context={"step": record.step.value, "run_id": str(record.run.run_id), "event_id": str(record.run.event_id)},
    )
    async with record.runtime.database.transaction() as session:
        await record.prove(session)
        row = await run_store.step(session, run_id=record.run.run_id, name=record.step)
        if row is None or row.status is HandlerStatus.COMPLETED:
            return
        row.status = HandlerStatus.FAILED
        row.completed_at = utc_now()
        redact = record.runtime.redactor.redact
        row.error_message = shorten(redact(message), 2_000)
        row.error_stack_trace = redact("".join(traceback.format_exception(error)))[-_TRACE_LIMIT:]


def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
