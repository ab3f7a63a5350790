"""Claim events, and open the run that will handle each: the next unfinished one, or a new one."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import Database
from contexten_core.errors import ConflictError, NotFoundError, UnavailableError
from contexten_core.events import run_store, store
from contexten_core.events.models import EventModel, EventStatus, RunModel, RunStatus
from contexten_core.events.normalise import NOBODY, NormalisedEvent, Own
from contexten_core.events.normalise_any import normalise
from contexten_core.events.receive_deployment import SOURCE_HEADER
from contexten_core.runtime import Runtime


@dataclass(frozen=True, slots=True)
class RunRef:
    """A run in progress, with the proof (`epoch`) that it is still ours.

    `abandoned_flow_run_id` is the Prefect flow run of the worker that it was taken over from.
    """

    run_id: UUID
    event_id: UUID
    epoch: int
    name: str
    attempt: int
    tags: tuple[str, ...] = ()
    abandoned_flow_run_id: UUID | None = None


async def claim_events(runtime: Runtime, *, limit: int) -> list[RunRef]:
    """Take up to `limit` events for this worker: those that wait, and those whose worker has fallen silent."""
    async with runtime.database.transaction() as session:
        now = await runtime.database.now(session)
        events = await store.claimable(session, now=now, limit=limit)
        claimed = [await _take(session, runtime, event, now) for event in events]
    for run in claimed:
        runtime.leases.hold(run.event_id)
    return claimed


async def begin_run(runtime: Runtime, *, event_id: UUID, flow_run_id: UUID) -> RunRef:
    """Return the run that a Prefect flow run is to carry out.

    The dispatcher has opened one already. A flow run that a person started claims the event here.

    Raises:
        NotFoundError: no such event.
        ConflictError: it did not come from outside.
        UnavailableError: another worker is handling the event.
    """
    async with runtime.database.transaction() as session:
        event = await store.get_locked(session, event_id)
        if event is None:
            raise NotFoundError(f"there is no event {event_id}", hint="`contexten events list` shows the newest")
        _must_be_for_a_flow(event)
        opened = await run_store.by_flow_run(session, flow_run_id)
        if opened is not None:
            ours = event.status is EventStatus.PROCESSING and event.lease_owner == runtime.leases.owner
            if ours and opened.status is RunStatus.RUNNING:
                return _reference(opened, event)
            if opened.status is not RunStatus.RUNNING:
                raise UnavailableError(f"run {opened.id} has ended", hint="start another run of the event")
            raise UnavailableError(f"run {opened.id} is no longer this worker's", hint="another worker continues it")
        now = await runtime.database.now(session)
        if event.status == EventStatus.PROCESSING and event.lease_expires_at and event.lease_expires_at > now:
            raise UnavailableError(
                f"event {event_id} is being handled by {event.lease_owner}",
                hint="wait for its run to end, or look at it with `contexten events show`",
            )
        run = await _take(session, runtime, event, now)
        await attach_flow_run(session, run_id=run.run_id, flow_run_id=flow_run_id)
    runtime.leases.hold(event_id)
    return run


async def attach_flow_run(session: AsyncSession, *, run_id: UUID, flow_run_id: UUID) -> None:
    """Remember which Prefect flow run carries this run out."""
    run = await run_store.get(session, run_id)
    if run is None:
        raise NotFoundError(f"there is no run {run_id}")
    run.flow_run_id = flow_run_id


async def replay_event(database: Database, event_id: UUID) -> None:
    """Have an event that has ended handled again, as a new run. One that was parked is read again from its bytes.

    Raises:
        NotFoundError: no such event.
        ConflictError: it has not ended yet, or did not come from outside.
    """
    async with database.transaction() as session:
        event = await store.get_locked(session, event_id)
        if event is None:
            raise NotFoundError(f"there is no event {event_id}", hint="`contexten events list` shows the newest")
        if event.status not in (EventStatus.COMPLETED, EventStatus.FAILED, EventStatus.SKIPPED):
            raise ConflictError(
                f"event {event_id} is {event.status.value}; only an event that has ended is replayed",
                hint="wait for its run to end",
            )
        _must_be_for_a_flow(event)
        event.status = EventStatus.PENDING
        event.available_at = await database.now(session)
        event.parked_at = event.reason = event.error_message = event.error_details = None


async def _take(session: AsyncSession, runtime: Runtime, event: EventModel, now: datetime) -> RunRef:
    event.status = EventStatus.PROCESSING
    event.lease_owner = runtime.leases.owner
    event.lease_epoch += 1
    event.lease_expires_at = now + runtime.leases.duration
    run = await run_store.latest_of(session, event.id)
    if run is None or run.status is not RunStatus.RUNNING:
        said = normalised(event)
        event.retry_count = 0
        run = RunModel(
            id=uuid4(),
            name=said.name,
            event_id=event.id,
            attempt=1 if run is None else run.attempt + 1,
            status=RunStatus.RUNNING,
            subject=said.subject,
            started_at=now,
        )
        session.add(run)
        return _reference(run, event)
    return replace(_reference(run, event), abandoned_flow_run_id=run.flow_run_id)


def _must_be_for_a_flow(event: EventModel) -> None:
    if event.is_record:
        raise ConflictError(f"event {event.id} did not come from outside, so no flow handles it")


def normalised(event: EventModel, *, own: Own = NOBODY) -> NormalisedEvent:
    """Return what a stored event says."""
    source = (event.headers or {}).get(SOURCE_HEADER)
    return normalise(event.provider, event.event_type, event.payload, source=source, own=own)


def _reference(run: RunModel, event: EventModel) -> RunRef:
    said = normalised(event)
    tags = [event.provider.value, event.event_type, *([said.repository] if said.repository else [])]
    return RunRef(run.id, event.id, event.lease_epoch, run.name, run.attempt, tuple(tags))
