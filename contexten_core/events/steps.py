"""Step records: each step of a run is done once, and a run that is taken over goes on at its first unfinished step."""

import asyncio
import logging
import random
import traceback
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from enum import StrEnum
from functools import cache, partial
from time import monotonic
from typing import Any, TypeVar, cast
from uuid import uuid4

from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import utc_now
from contexten_core.errors import ContextenError, LeaseLostError
from contexten_core.errors.breaker import BREAKERS, DependencyKind, refused_for
from contexten_core.errors.retries import Retries
from contexten_core.events import dispatch_store, run_store, store
from contexten_core.events.claim import RunRef
from contexten_core.events.models import EventHandlerModel, HandlerStatus, RunModel
from contexten_core.runtime import Runtime
from contexten_core.security.text import shorten

logger = logging.getLogger(__name__)
T = TypeVar("T")
_TRACE_LIMIT = 8_000
_FAILURES_KEPT = 5
_FAILURE_LIMIT = 300
_WAIT_SPREAD = 1.25


class Step(StrEnum):
    """The seven steps of the lifecycle, in order."""

    INGEST_EVENT = "ingest-event"
    RESOLVE_PROJECT = "resolve-project"
    SELECT_PROMPT = "select-prompt"
    ANALYSE_CODEBASE = "analyse-codebase"
    EXECUTE_TASK = "execute-task"
    RECORD_ANALYTICS = "record-analytics"
    MINE_PATTERNS = "mine-patterns"


RETRIES: Mapping[Step, Retries] = {
    Step.INGEST_EVENT: Retries(most=3, seconds=60),
    Step.RESOLVE_PROJECT: Retries(most=3, seconds=120),
    Step.SELECT_PROMPT: Retries(most=3, seconds=120),
    Step.ANALYSE_CODEBASE: Retries(most=2, seconds=300),
    Step.EXECUTE_TASK: Retries(most=2, seconds=600),
    Step.RECORD_ANALYTICS: Retries(most=3, seconds=60),
    Step.MINE_PATTERNS: Retries(most=3, seconds=60),
}
"""How often each step is tried again in place. What is still failing then is for the event's own retries."""


class StepRecord:
    """One step in progress: what its core function needs, and how it says that it is done."""

    def __init__(self, runtime: Runtime, run: RunRef, step: Step, *, started_at: datetime) -> None:
        self.runtime = runtime
        self.run = run
        self.step = step
        self.started_at = started_at
        self.completed = False
        self.row: EventHandlerModel | None = None

    @property
    def retries(self) -> int:
        """How often this step was tried before, under this claim."""
        return 0 if self.row is None else self.row.retry_count

    async def complete(self, session: AsyncSession, result: T) -> T:
        """Store the step's result in the transaction that holds its writes, so that both happen or neither does.

        Raises:
            LeaseLostError: another worker has claimed the event since; the transaction must roll back.
        """
        await self.prove(session)
        now = utc_now()
        values = {
            "status": HandlerStatus.COMPLETED,
            "completed_at": now,
            "duration_ms": (now - self.started_at).total_seconds() * 1000,
            "output_data": _adapter(cast(Any, type(result))).dump_python(result, mode="json"),
            "error_message": None,
            "error_stack_trace": None,
        }
        if not await run_store.set_step(session, self.row, run_id=self.run.run_id, name=self.step, values=values):
            raise LeaseLostError(f"step {self.step} of run {self.run.run_id} has no record")
        if self.run.claims > 1:
            await dispatch_store.got_on(session, self.run.event_id)
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

    A failure is written to the record and raised again; whoever called tries again as `RETRIES` says. What a circuit
    breaker refuses is no attempt, and is waited for here. `result_type` is what `work` returns; a union is allowed.
    """
    record = StepRecord(runtime, run, step, started_at=utc_now())
    row = record.row = await _patiently(step, partial(_begin, record))
    if row.status is HandlerStatus.COMPLETED:
        return cast(T, _adapter(result_type).validate_python(row.output_data))
    clock = monotonic()
    try:
        result = await _patiently(step, partial(work, record))
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


def failures_of(row: EventHandlerModel) -> list[dict[str, Any]]:
    """Return what the last failed attempts at a step failed of, oldest first: `at`, `claim`, `attempt` and `error`."""
    return list((row.input_data or {}).get("failures", []))


async def _patiently(step: Step, call: Callable[[], Awaitable[T]]) -> T:
    """Call; where a breaker refuses, wait as it says and call again, as long as the step's budget of time lasts."""
    ends_at = monotonic() + RETRIES[step].seconds
    while True:
        try:
            return await call()
        except Exception as error:
            seconds = refused_for(error)
            if seconds is None or monotonic() + seconds > ends_at:
                raise
            # Not all of those who wait at once.
            await asyncio.sleep(seconds * random.uniform(1, _WAIT_SPREAD))  # noqa: S311 - spreads callers out


async def _begin(record: StepRecord) -> EventHandlerModel:
    """Return the step's row: completed, or running from now on."""
    database, run = record.runtime.database, record.run

    async def begin(session: AsyncSession) -> EventHandlerModel:
        await record.prove(session)
        row = await run_store.step(session, run_id=run.run_id, name=record.step)
        if row is not None and row.status is HandlerStatus.COMPLETED:
            return row
        if row is None:
            row = EventHandlerModel(
                id=uuid4(),
                name=record.step.value,
                handler_name=record.step.value,
                handler_type="step",
                retry_count=0,
                event_id=run.event_id,
                run_id=run.run_id,
            )
            await run_store.add_step(session, row)
        before = row.input_data or {}
        if before.get("epoch") == run.epoch:
            row.retry_count += 1
        row.status = HandlerStatus.RUNNING
        row.started_at = record.started_at
        row.input_data = {**before, "epoch": run.epoch}
        return row

    with BREAKERS.calling(DependencyKind.DATABASE, database.engine.dialect.name):
        return await database.transact(begin)


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
        failure = {
            "at": row.completed_at.isoformat(),
            "claim": record.run.epoch,
            "attempt": row.retry_count + 1,
            "error": shorten(row.error_message, _FAILURE_LIMIT),
        }
        row.input_data = {**(row.input_data or {}), "failures": [*failures_of(row), failure][-_FAILURES_KEPT:]}
        row.error_stack_trace = redact("".join(traceback.format_exception(error)))[-_TRACE_LIMIT:]


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
