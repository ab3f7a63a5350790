"""Set aside events that seem to kill whoever handles them, with the evidence, until a person has looked."""

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import Database, utc_now
from contexten_core.errors import ConflictError, NotFoundError
from contexten_core.events import dispatch_store, run_store, store
from contexten_core.events.claim import with_claim
from contexten_core.events.finish import close, end_task
from contexten_core.events.models import (
    Conclusion,
    EventModel,
    EventStatus,
    HandlerStatus,
    RunStatus,
)
from contexten_core.integrations import reports
from contexten_core.runtime import Runtime
from contexten_core.tasks.models import TaskStatus


async def park_suspects(runtime: Runtime, *, limit: int) -> list[UUID]:
    """Park the events whose workers fell silent three times without getting on, and return them."""
    async with runtime.database.transaction() as session:
        now = await runtime.database.now(session)
        events = await dispatch_store.abandoned(session, now=now, limit=limit, suspects=True, held=runtime.leases.held)
        for event in events:
            await _park(session, runtime, event)
        return [event.id for event in events]


async def discard_event(database: Database, event_id: UUID, *, by: str) -> None:
    """Give a parked event up, whatever it is: it stays to be seen, and is not handled again by itself.

    Raises:
        NotFoundError: no such event.
        ConflictError: it is not parked.
    """
    async with database.transaction() as session:
        event = await store.get_locked(session, event_id)
        if event is None:
            raise NotFoundError(f"there is no event {event_id}", hint="`contexten events list --parked` shows them")
        if event.parked_at is None:
            raise ConflictError(
                f"event {event_id} is not parked", hint="`contexten events list --parked` shows those that are"
            )
        event.status, event.processed_at, event.parked_at = EventStatus.SKIPPED, utc_now(), None
        event.reason = f"discarded by {by}: {event.reason}" if event.reason else f"discarded by {by}"


async def _park(session: AsyncSession, runtime: Runtime, event: EventModel) -> None:
    run = await run_store.latest_of(session, event.id)
    assert run is not None
    evidence = await _evidence(session, event, run.id)
    event.error_details = {**with_claim(event), **evidence}
    step = evidence.get("step") or "its first step"
    event.reason = event.error_message = (
        f"its worker went away {event.claims} times during {step}; it is set aside lest it take more of them along"
    )
    event.lease_epoch += 1
    close(event, run, RunStatus.FAILED, EventStatus.FAILED)
    event.parked_at = utc_now()
    run.conclusion, run.reason = Conclusion.ERROR, event.reason
    await end_task(session, run, TaskStatus.FAILED)
    await reports.broken(session, runtime, run.id, told=f"Contexten: {event.reason}")


async def _evidence(session: AsyncSession, event: EventModel, run_id: UUID) -> dict[str, Any]:
    steps = await run_store.steps(session, run_id)
    at = next((step for step in reversed(steps) if step.status is HandlerStatus.RUNNING), None)
    return {
        "code": "kills_its_worker",
        "times": event.claims,
        "run_id": str(run_id),
        "step": None if at is None else at.handler_name,
        "started_at": None if at is None else at.started_at.isoformat(),
    }
