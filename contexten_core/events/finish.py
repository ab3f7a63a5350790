"""End a run: completed, ignored with the reason, or failed; and the event with it, in one transaction."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import utc_now
from contexten_core.errors import ContextenError, LeaseLostError
from contexten_core.errors.http_status import asked_to_wait
from contexten_core.errors.retries import may_pass
from contexten_core.events import run_store, store
from contexten_core.events.claim import RunRef
from contexten_core.events.ignored import Ignored
from contexten_core.events.models import Conclusion, EventModel, EventStatus, RunModel, RunStatus
from contexten_core.integrations import reports
from contexten_core.runtime import Runtime
from contexten_core.security.text import shorten
from contexten_core.tasks import store as task_store
from contexten_core.tasks.change import change_status
from contexten_core.tasks.models import TaskStatus

__all__ = ["Ignored", "LifecycleResult", "complete_run", "fail_run", "hand_back", "ignore_run"]

_FIRST_DELAY = timedelta(seconds=2)
_LONGEST_DELAY = timedelta(minutes=5)
_LONGEST_WAIT = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class LifecycleResult:
    """How a run ended. `reason` says why an ignored run was ignored."""

    run_id: UUID
    event_id: UUID
    status: RunStatus
    conclusion: Conclusion | None = None
    reason: str | None = None


async def complete_run(runtime: Runtime, run: RunRef, conclusion: Conclusion) -> LifecycleResult:
    return await _finish(runtime, run, RunStatus.COMPLETED, EventStatus.COMPLETED, conclusion=conclusion)


async def ignore_run(runtime: Runtime, run: RunRef, ignored: Ignored) -> LifecycleResult:
    """End a run that does nothing; where somebody expects an answer, they are told why."""
    return await _finish(
        runtime, run, RunStatus.IGNORED, EventStatus.SKIPPED, reason=ignored.reason, is_refused=ignored.refused
    )


async def _finish(
    runtime: Runtime,
    run: RunRef,
    status: RunStatus,
    event_status: EventStatus,
    *,
    conclusion: Conclusion | None = None,
    reason: str | None = None,
    is_refused: bool = False,
) -> LifecycleResult:
    async with runtime.database.transaction() as session:
        event, model = await ours(session, run)
        close(event, model, status, event_status)
        event.error_message = event.error_details = None
        model.conclusion = conclusion
        model.reason = event.reason = reason
        if is_refused:
            await reports.refused(session, runtime, run.run_id)
    return LifecycleResult(run.run_id, run.event_id, status, conclusion, reason)


async def fail_run(runtime: Runtime, run: RunRef, error: BaseException) -> None:
    """Note that a run broke: to be taken up again later when that can help, failed for good when it cannot.

    Nothing is written when another worker has taken the run over meanwhile.
    """
    expected = isinstance(error, ContextenError)
    message = error.message if isinstance(error, ContextenError) else f"{type(error).__name__}: {error}"
    message = runtime.redactor.redact(message)
    # What an unexpected error says may hold anything, a password too, and a report is public.
    told = f"Contexten: {message}" if expected else "Contexten could not finish this; its run page says why"
    async with runtime.database.transaction() as session:
        try:
            event, model = await ours(session, run)
        except LeaseLostError:
            return
        event.error_message = shorten(message, 2_000)
        event.error_details = {"type": type(error).__name__, "transient": may_pass(error)}
        if may_pass(error) and event.retry_count < event.max_retries:
            now = await runtime.database.now(session)
            delay = min(_FIRST_DELAY * 2 ** min(event.retry_count, 10), _LONGEST_DELAY)
            asked = timedelta(seconds=asked_to_wait(error, now=now) or 0)
            event.status = EventStatus.RETRYING
            event.available_at = now + max(delay, min(asked, _LONGEST_WAIT))
            event.retry_count += 1
            event.lease_owner = event.lease_expires_at = None
            return
        close(event, model, RunStatus.FAILED, EventStatus.FAILED)
        model.conclusion = Conclusion.ERROR
        model.reason = event.reason = event.error_message
        await end_task(session, model, TaskStatus.FAILED)
        await reports.broken(session, runtime, run.run_id, told=told)


async def hand_back(runtime: Runtime, *runs: RunRef) -> None:
    """Let other workers continue runs that this one was made to stop, or could not start."""
    for run in runs:
        runtime.leases.release(run.event_id)
    async with runtime.database.transaction() as session:
        await store.give_back(session, owner=runtime.leases.owner, event_ids=[run.event_id for run in runs])


async def ours(session: AsyncSession, run: RunRef) -> tuple[EventModel, RunModel]:
    """Return the event and the run, locked.

    Raises:
        LeaseLostError: another worker has claimed the event since, or it has ended: by a commit, say, whose answer was
            lost.
    """
    event = await store.get_locked(session, run.event_id)
    model = await run_store.get(session, run.run_id)
    if event is None or model is None or event.lease_epoch != run.epoch:
        raise LeaseLostError(f"run {run.run_id} was taken over by another worker")
    if event.status is not EventStatus.PROCESSING:
        raise LeaseLostError(f"run {run.run_id} is not in progress any more: its event is {event.status.value}")
    return event, model


async def end_task(session: AsyncSession, model: RunModel, status: TaskStatus) -> None:
    """End the task of a run that did not finish it, unless the run got so far as to end it, or somebody else did."""
    task = await task_store.get(session, model.task_id, lock=True) if model.task_id else None
    if task is not None and task.status is TaskStatus.IN_PROGRESS:
        now = utc_now()
        await task_store.abandon_running(session, task.id, now=now, reason="its run ended")
        given = {"error_message": model.reason}
        await change_status(session, task, status, now=now, data={"run_id": str(model.id)}, given=given)


def close(event: EventModel, model: RunModel, status: RunStatus, event_status: EventStatus) -> None:
    """End a run and its event, and let go of its lease."""
    now = utc_now()
    model.status = status
    model.finished_at = now
    event.status = event_status
    event.processed_at = now
    event.processing_duration_ms = (now - model.started_at).total_seconds() * 1000
    event.lease_owner = event.lease_expires_at = None
    event.claims = 0
    event.project_id = model.project_id or event.project_id
    event.task_id = model.task_id
