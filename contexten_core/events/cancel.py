"""Cancel runs: somebody asks for it, the worker that carries the run out hears of it, and the run ends accordingly."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import utc_now
from contexten_core.db.notify import CANCELS, EVENTS, notify
from contexten_core.errors import ConflictError, LeaseLostError, NotFoundError
from contexten_core.events import outbox_store, run_store, store
from contexten_core.events.claim import RunRef, normalised
from contexten_core.events.finish import close, end_task, ours
from contexten_core.events.models import EventModel, EventStatus, RunModel, RunStatus
from contexten_core.integrations import reports
from contexten_core.integrations.statuses import COMMIT_STATUS
from contexten_core.runtime import Runtime
from contexten_core.security.text import shorten
from contexten_core.tasks.models import TaskStatus

MOST_CAUSES = 100
"""So many events at most are remembered of those that another one stands for: the newest."""

_LONGEST_REASON = 500


async def request_cancel(
    session: AsyncSession, run_id: UUID, *, by: str, reason: str, superseded_by: UUID | None = None
) -> bool:
    """Have a run cancelled, and tell whether it can be: one that has ended cannot.

    The worker that carries it out ends it within a second or so. One that waits, to be tried again or because its
    worker is gone, is ended by whichever worker takes it up, which is now.
    """
    run = await run_store.get(session, run_id)
    if run is None or run.status is not RunStatus.RUNNING:
        return False
    event = await store.get_locked(session, run.event_id)
    await session.refresh(run)
    if event is None or run.status is not RunStatus.RUNNING:
        return False
    if run.cancel_requested_at is None:
        run.cancel_requested_at = utc_now()
        run.cancel_by, run.cancel_reason = shorten(by, _LONGEST_REASON), shorten(reason, _LONGEST_REASON)
        run.superseded_by = superseded_by
    if event.status is EventStatus.PROCESSING:
        await notify(session, CANCELS)
    else:
        event.available_at = utc_now() - timedelta(seconds=1)
        await notify(session, EVENTS)
    return True


async def cancel_run(session: AsyncSession, run_id: UUID, *, by: str) -> RunModel:
    """Have a run cancelled because somebody asks for it.

    Raises:
        NotFoundError: there is none.
        ConflictError: it has ended.
    """
    if not await request_cancel(session, run_id, by=by, reason=f"cancelled by {by}"):
        run = await run_store.get(session, run_id)
        if run is None:
            raise NotFoundError(f"there is no run {run_id}", hint="`contexten runs list` shows the newest")
        raise ConflictError(f"run {run_id} has ended: {run.status.value}", hint="only a run in progress is cancelled")
    run = await run_store.get(session, run_id)
    assert run is not None
    return run


async def requested_cancels(session: AsyncSession, run_ids: Collection[UUID]) -> list[UUID]:
    """Return those of these runs that somebody wants cancelled and that have not ended."""
    return await run_store.to_be_cancelled(session, run_ids)


async def end_or_hand_back(runtime: Runtime, run: RunRef) -> RunStatus | None:
    """End a run that was made to stop if that was asked for, and say so where it had said that it began.

    Otherwise this worker stops, and the run is handed back to be continued by another one.

    Returns:
        How it ended; None when it did not, or is another worker's.
    """
    async with runtime.database.transaction() as session:
        try:
            event, model = await ours(session, run)
        except LeaseLostError:
            return None
        if model.cancel_requested_at is None:
            await store.give_back(session, owner=runtime.leases.owner, event_ids=[run.event_id])
            return None
        status = RunStatus.CANCELLED if model.superseded_by is None else RunStatus.SUPERSEDED
        close(event, model, status, EventStatus.SKIPPED)
        model.reason = event.reason = model.cancel_reason
        event.superseded_by = model.superseded_by
        event.error_message = event.error_details = None
        await end_task(session, model, TaskStatus.CANCELLED)
        successor = None if model.superseded_by is None else await _successor(session, model.superseded_by)
        if successor is not None:
            await _pass_on(session, event, model, successor)
        await reports.broken(session, runtime, run.run_id, told=_told(model, successor))
        return status


def cause_of(event: EventModel, run_id: UUID) -> dict[str, Any]:
    """Return what a later event, and its run, remember of one that they stand for."""
    return {
        "event_id": str(event.id),
        "run_id": str(run_id),
        "name": event.name,
        "received_at": event.created_at.isoformat(),
    }


async def _successor(session: AsyncSession, event_id: UUID) -> EventModel | None:
    """Return, locked, the event that made a run pointless; or the one that made that pointless meanwhile, and so on."""
    event = await store.get_locked(session, event_id)
    for _ in range(MOST_CAUSES):
        later = None if event is None or event.superseded_by is None else event.superseded_by
        if later is None:
            break
        event = await store.get_locked(session, later)
    return event


async def _pass_on(session: AsyncSession, event: EventModel, run: RunModel, successor: EventModel) -> None:
    """Have the successor speak for a run that never came to speak, and for those that it stood for itself."""
    is_waiting = successor.status in (EventStatus.PENDING, EventStatus.RETRYING)
    if is_waiting and not await outbox_store.of_run(session, run.id, kind=COMMIT_STATUS):
        known = successor.causes or []
        successor.causes = [*(run.causes or []), cause_of(event, run.id), *known][-MOST_CAUSES:]


def _told(run: RunModel, successor: EventModel | None) -> str:
    if run.status is RunStatus.CANCELLED:
        return f"Cancelled: {run.cancel_reason}"
    commit = normalised(successor).commit if successor is not None else None
    return reports.superseded_by(commit) if commit else "Superseded by a newer push"
