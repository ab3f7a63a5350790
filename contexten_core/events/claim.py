"""Claim events, and open the run that will handle each: the next unfinished one, or a new one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import Database
from contexten_core.errors import ConflictError, NotFoundError, UnavailableError
from contexten_core.events import dispatch_store, run_store, store
from contexten_core.events.models import EventModel, EventStatus, RunModel, RunStatus
from contexten_core.events.normalise import NOBODY, NormalisedEvent, Own
from contexten_core.events.normalise_any import normalise
from contexten_core.events.receive_deployment import SOURCE_HEADER
from contexten_core.runtime import Runtime

_MOST_TOLD = 10


@dataclass(frozen=True, slots=True)
class RunRef:
    """A run in progress, with the proof (`epoch`) that it is still ours.

    Attributes:
        abandoned_flow_run_id: the Prefect flow run of the worker that it was taken over from.
        claims: how often the event was claimed since a step of it was last finished, this time included.
        is_cancelled: whether somebody asked for its end before this worker took it up.
    """

    run_id: UUID
    event_id: UUID
    epoch: int
    name: str
    attempt: int
    tags: tuple[str, ...] = ()
    abandoned_flow_run_id: UUID | None = None
    claims: int = 1
    is_cancelled: bool = False


async def claim_events(runtime: Runtime, *, limit: int) -> list[RunRef]:
    """Take up to `limit` events for this worker: those whose worker has fallen silent, then those that wait.

    An event that has been claimed too often without getting on is left to `park_suspects`.
    """
    settings = runtime.settings
    try:
        async with runtime.database.transaction() as session:
            now = await runtime.database.now(session)
            held = runtime.leases.held
            events = list(await dispatch_store.abandoned(session, now=now, limit=limit, suspects=False, held=held))
            if len(events) < limit:
                events += await dispatch_store.claimable(
                    session,
                    now=now,
                    limit=limit - len(events),
                    per_project=settings.max_concurrent_per_project,
                    per_provider=settings.max_concurrent_per_provider,
                )
            claimed = await _take_all(session, runtime, events, now)
    except IntegrityError:
        # Another worker has taken another event of a lane at the same moment; there is a next time.
        return []
    for run in claimed:
        runtime.leases.hold(run.event_id, epoch=run.epoch)
    return claimed


async def _take_all(
    session: AsyncSession, runtime: Runtime, events: Sequence[EventModel], now: datetime
) -> list[RunRef]:
    latest = await run_store.latest_of_all(session, [event.id for event in events]) if events else {}
    return [_take(session, runtime, event, latest.get(event.id), now) for event in events]


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
                return reference(opened, event)
            if opened.status is not RunStatus.RUNNING:
                raise UnavailableError(f"run {opened.id} has ended", hint="start another run of the event")
            raise UnavailableError(f"run {opened.id} is no longer this worker's", hint="another worker continues it")
        now = await runtime.database.now(session)
        if event.status == EventStatus.PROCESSING and event.lease_expires_at and event.lease_expires_at > now:
            raise UnavailableError(
                f"event {event_id} is being handled by {event.lease_owner}",
                hint="wait for its run to end, or look at it with `contexten events show`",
            )
        if await dispatch_store.is_lane_taken(session, event):
            raise UnavailableError(
                f"another event of {event.subject} is being handled",
                hint="wait for its run to end; `contexten runs list` shows it",
            )
        if event.rank_at is None:
            said = normalised(event)
            event.name, event.subject, event.source_repository = said.name, said.subject, said.repository
        run = _take(session, runtime, event, await run_store.latest_of(session, event.id), now)
        await session.flush()
        await attach_flow_run(session, run_id=run.run_id, flow_run_id=flow_run_id)
    runtime.leases.hold(event_id, epoch=run.epoch)
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
        event.claims, event.causes, event.superseded_by = 0, None, None
        event.parked_at = event.reason = event.error_message = event.error_details = None


def _take(session: AsyncSession, runtime: Runtime, event: EventModel, run: RunModel | None, now: datetime) -> RunRef:
    if event.status is EventStatus.PROCESSING:
        event.error_details = with_claim(event)
    event.status = EventStatus.PROCESSING
    event.lease_owner = runtime.leases.owner
    event.lease_epoch += 1
    event.lease_expires_at = now + runtime.leases.duration
    event.claims += 1
    if run is None or run.status is not RunStatus.RUNNING:
        event.retry_count = 0
        run = RunModel(
            id=uuid4(),
            name=event.name,
            event_id=event.id,
            attempt=1 if run is None else run.attempt + 1,
            status=RunStatus.RUNNING,
            subject=event.subject,
            causes=event.causes,
            started_at=now,
        )
        session.add(run)
        return reference(run, event)
    return replace(reference(run, event), abandoned_flow_run_id=run.flow_run_id)


def with_claim(event: EventModel) -> dict[str, Any]:
    """Return what is known of how an event broke, with the claim that just came to nothing added."""
    details = dict(event.error_details or {})
    silent = {"owner": event.lease_owner, "until": event.lease_expires_at and event.lease_expires_at.isoformat()}
    return {**details, "claims": [*details.get("claims", ()), silent][-_MOST_TOLD:]}


def _must_be_for_a_flow(event: EventModel) -> None:
    if event.is_record:
        raise ConflictError(f"event {event.id} did not come from outside, so no flow handles it")


def normalised(event: EventModel, *, own: Own = NOBODY) -> NormalisedEvent:
    """Return what a stored event says."""
    source = (event.headers or {}).get(SOURCE_HEADER)
    return normalise(event.provider, event.event_type, event.payload, source=source, own=own)


def reference(run: RunModel, event: EventModel) -> RunRef:
    """Return a run in progress as its worker knows it."""
    tags = [event.provider.value, event.event_type, *([event.source_repository] if event.source_repository else [])]
    return RunRef(
        run.id,
        event.id,
        event.lease_epoch,
        run.name,
        run.attempt,
        tuple(tags),
        claims=event.claims,
        is_cancelled=run.cancel_requested_at is not None,
    )
