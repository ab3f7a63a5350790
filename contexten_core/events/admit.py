"""Give new events their place among those that wait: lane and rank, and which earlier ones they make pointless."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.events import dispatch_store, run_store
from contexten_core.events.cancel import MOST_CAUSES, cause_of, request_cancel
from contexten_core.events.claim import normalised
from contexten_core.events.models import EventModel, EventPriority, EventProvider, EventStatus, RunModel, RunStatus
from contexten_core.events.normalise import NormalisedEvent, Own
from contexten_core.events.subjects import HEAD_STARTS, is_older, standing_of
from contexten_core.runtime import Runtime

SERVICE = "Contexten"
"""Who supersedes."""

_LONGEST_DEBOUNCE = 5
"""So many times the pause is waited at most, however fast pushes follow one another."""


async def admit_events(runtime: Runtime, *, limit: int) -> int:
    """Admit the oldest new events, at most `limit`, and return how many they were; one worker at a time does."""
    async with runtime.database.transaction() as session:
        if not await dispatch_store.take_turn_to_admit(session):
            return 0
        events = await dispatch_store.unadmitted(session, limit=limit)
        if not events:
            return 0
        now = await runtime.database.now(session)
        own = Own.of(runtime.settings)
        said = {event.id: normalised(event, own=own) for event in events}
        projects = await _projects(session, said.values())
        for event in events:
            _place(event, said[event.id], projects, pause=timedelta(seconds=runtime.settings.debounce_seconds))
        superseding = [event for event in events if event.supersedes]
        if superseding:
            await _supersede(session, superseding, said, now)
        return len(events)


async def _projects(session: AsyncSession, said: Any) -> Mapping[str, UUID]:
    named = {each.repository for each in said if each.provider is EventProvider.GITHUB and each.repository}
    return await dispatch_store.projects_of(session, named) if named else {}


def _place(event: EventModel, said: NormalisedEvent, projects: Mapping[str, UUID], *, pause: timedelta) -> None:
    standing = standing_of(said, event.payload)
    event.name, event.title, event.subject = said.name, said.title or said.name, said.subject
    event.source_repository = said.repository
    event.project_id = projects.get((said.repository or "").lower())
    event.lane, event.supersedes, event.happened_at = standing.lane, standing.supersedes, standing.happened_at
    if event.priority is EventPriority.MEDIUM:
        event.priority = standing.priority
    event.rank_at = event.created_at - HEAD_STARTS[event.priority]
    if standing.supersedes:
        event.available_at = max(event.available_at, event.created_at + pause)


async def _supersede(
    session: AsyncSession, events: Sequence[EventModel], said: Mapping[UUID, NormalisedEvent], now: datetime
) -> None:
    """End what newer events of the same lanes make pointless, and have cancelled what of it is being handled."""
    lanes = {event.lane for event in events if event.lane is not None}
    ours = {event.id: event for event in events}
    by_lane: dict[str, list[EventModel]] = {}
    await session.flush()
    for event in await dispatch_store.open_in_lanes(session, lanes):
        by_lane.setdefault(event.lane or "", []).append(ours.get(event.id, event))
    for open_events in by_lane.values():
        newest = open_events[0]
        for event in open_events[1:]:
            newest = event if is_older(_when(newest), _when(event)) else newest
        for event in open_events:
            if event is newest:
                continue
            if event.status is EventStatus.PROCESSING:
                await _cancel(session, event, newest, said)
            else:
                await _end(session, event, newest, now)
        _debounce(newest)


def _when(event: EventModel) -> tuple[datetime | None, datetime]:
    return event.happened_at, event.created_at


async def _cancel(
    session: AsyncSession, event: EventModel, newest: EventModel, said: Mapping[UUID, NormalisedEvent]
) -> None:
    run = await run_store.latest_of(session, event.id)
    commit = said[newest.id].commit if newest.id in said else None
    if run is not None and (commit is None or run.commit_sha != commit):
        await request_cancel(session, run.id, by=SERVICE, reason=_reason(newest), superseded_by=newest.id)


async def _end(session: AsyncSession, event: EventModel, newest: EventModel, now: datetime) -> None:
    """End an event that nobody is handling, with a run that tells of it."""
    run = await run_store.latest_of(session, event.id)
    if run is not None and run.status is RunStatus.RUNNING:
        # It has begun, and may have said so: whoever continues it next ends it, and says that.
        await request_cancel(session, run.id, by=SERVICE, reason=_reason(newest), superseded_by=newest.id)
        return
    ended = RunModel(
        id=uuid4(),
        name=event.name,
        event_id=event.id,
        attempt=1 if run is None else run.attempt + 1,
        status=RunStatus.SUPERSEDED,
        subject=event.subject,
        project_id=event.project_id,
        reason=_reason(newest),
        superseded_by=newest.id,
        started_at=now,
        finished_at=now,
    )
    session.add(ended)
    event.status, event.processed_at = EventStatus.SKIPPED, now
    event.reason, event.superseded_by = ended.reason, newest.id
    newest.causes = [*(newest.causes or []), *(event.causes or []), cause_of(event, ended.id)][-MOST_CAUSES:]
    event.causes = None


def _debounce(newest: EventModel) -> None:
    """Do not put off for ever what is pushed to again and again."""
    if newest.status is not EventStatus.PENDING or not newest.causes:
        return
    first = min(datetime.fromisoformat(cause["received_at"]) for cause in newest.causes)
    pause = newest.available_at - newest.created_at
    newest.available_at = min(newest.available_at, max(first + _LONGEST_DEBOUNCE * pause, newest.created_at))


def _reason(newest: EventModel) -> str:
    return f"superseded by {newest.name}, event {newest.id}"
