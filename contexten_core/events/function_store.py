"""All SQL about functions that are queued for events."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.events.models import EventHandlerModel, EventModel, EventProvider, EventStatus, HandlerStatus

FUNCTION = "function"
UNFINISHED = (HandlerStatus.PENDING, HandlerStatus.RETRYING, HandlerStatus.RUNNING)


async def is_anything_due(session: AsyncSession, *, names: Collection[str], now: datetime) -> bool:
    """Tell whether `unclaimed_events` or `due` would return anything that nobody else has locked."""
    events = exists().where(_is_unclaimed())
    calls = exists().where(_is_function_of(names), _is_due(now))
    return bool((await session.execute(select(or_(events, calls)))).scalar_one())


async def unclaimed_events(session: AsyncSession, *, limit: int) -> Sequence[EventModel]:
    """Return the oldest events of our own that nobody has looked at, locked against others who look."""
    statement = (
        select(EventModel)
        .where(_is_unclaimed())
        .order_by(EventModel.created_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return (await session.execute(statement)).scalars().all()


async def due(
    session: AsyncSession, *, names: Collection[str], now: datetime, limit: int
) -> Sequence[EventHandlerModel]:
    """Return calls of these functions whose time has come, or whose process has fallen silent, locked."""
    statement = (
        select(EventHandlerModel)
        .where(_is_function_of(names), _is_due(now))
        .order_by(EventHandlerModel.available_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return (await session.execute(statement)).scalars().all()


async def calls_of(session: AsyncSession, event_id: UUID) -> Sequence[EventHandlerModel]:
    """Return the calls of functions that an event caused, in order of their names."""
    return (await calls_of_all(session, [event_id]))[event_id]


async def calls_of_all(session: AsyncSession, event_ids: Collection[UUID]) -> dict[UUID, list[EventHandlerModel]]:
    """Return the same of each of these events."""
    statement = select(EventHandlerModel).where(
        EventHandlerModel.event_id.in_(event_ids), EventHandlerModel.handler_type == FUNCTION
    )
    calls: dict[UUID, list[EventHandlerModel]] = {event_id: [] for event_id in event_ids}
    for call in (await session.execute(statement.order_by(EventHandlerModel.handler_name))).scalars():
        calls[call.event_id].append(call)
    return calls


async def lock_all(session: AsyncSession, call_ids: Collection[UUID]) -> dict[UUID, EventHandlerModel]:
    """Return calls as they are now, by their ids, locked in one order."""
    statement = select(EventHandlerModel).where(EventHandlerModel.id.in_(call_ids)).order_by(EventHandlerModel.id)
    statement = statement.with_for_update().execution_options(populate_existing=True)
    return {call.id: call for call in (await session.execute(statement)).scalars()}


def _is_unclaimed() -> ColumnElement[bool]:
    return and_(EventModel.provider == EventProvider.SYSTEM, EventModel.status == EventStatus.PENDING)


def _is_function_of(names: Collection[str]) -> ColumnElement[bool]:
    return and_(EventHandlerModel.handler_type == FUNCTION, EventHandlerModel.handler_name.in_(names))


def _is_due(now: datetime) -> ColumnElement[bool]:
    return or_(
        and_(
            EventHandlerModel.status.in_((HandlerStatus.PENDING, HandlerStatus.RETRYING)),
            EventHandlerModel.available_at <= now,
        ),
        and_(EventHandlerModel.status == HandlerStatus.RUNNING, EventHandlerModel.lease_expires_at < now),
    )
