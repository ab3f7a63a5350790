"""The SQL that only telling people about events needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from contexten_core.events.models import EventModel, EventPayloadModel, EventProvider, EventStatus

_WAITING = (EventStatus.PENDING, EventStatus.RETRYING)


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is known of the bytes of a delivery, without them."""

    content_type: str
    size_bytes: int


async def arrival(session: AsyncSession, event_id: UUID) -> Arrival | None:
    """Return what came; None for an event that did not come as a delivery, or whose bytes are no longer kept."""
    statement = select(EventPayloadModel.content_type, EventPayloadModel.size_bytes)
    row = (await session.execute(statement.where(EventPayloadModel.event_id == event_id).limit(1))).first()
    return None if row is None else Arrival(*row)


async def ahead_of(session: AsyncSession, event: EventModel, *, now: datetime) -> EventModel | None:
    """Return the event of the same lane that a waiting one waits for: one being handled, or the next one to be."""
    if event.lane is None or event.status not in _WAITING:
        return None
    came_before = or_(
        EventModel.created_at < event.created_at,
        and_(EventModel.created_at == event.created_at, EventModel.id < event.id),
    )
    statement = (
        select(EventModel)
        .options(defer(EventModel.payload, raiseload=True))
        .where(
            EventModel.lane == event.lane,
            EventModel.id != event.id,
            or_(
                EventModel.status == EventStatus.PROCESSING,
                and_(EventModel.status.in_(_WAITING), EventModel.available_at <= now, came_before),
            ),
        )
        .order_by((EventModel.status == EventStatus.PROCESSING).desc(), EventModel.created_at, EventModel.id)
        .limit(1)
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def not_handled(session: AsyncSession, *, limit: int) -> Sequence[EventModel]:
    """Return the newest events from outside that were ignored, cancelled or failed, without payloads.

    Superseded ones are not among them: what came of those, came of their successors.
    """
    statement = (
        select(EventModel)
        .options(defer(EventModel.payload, raiseload=True))
        .where(
            EventModel.status.in_((EventStatus.FAILED, EventStatus.SKIPPED)),
            EventModel.superseded_by.is_(None),
            EventModel.provider != EventProvider.SYSTEM,
        )
        .order_by(EventModel.created_at.desc(), EventModel.id)
        .limit(limit)
    )
    return (await session.execute(statement)).scalars().all()
