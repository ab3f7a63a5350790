"""The SQL that only explaining an event needs."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.events.models import EventPayloadModel


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
