"""All SQL about deliveries and their leases."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    CursorResult,
    Select,
    Table,
    bindparam,
    case,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import NoResultFound
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from contexten_core.db import utc_now
from contexten_core.db.base import BaseModel
from contexten_core.db.insert import insert_many_once
from contexten_core.db.paging import Page, page
from contexten_core.db.shared import UNKNOWN, ask, recalled, remember
from contexten_core.events.delivery import Delivery
from contexten_core.events.models import (
    EventModel,
    EventPayloadModel,
    EventProvider,
    EventStatus,
)
from contexten_core.events.owners import precedes
from contexten_core.security.encryption import Vault

ENCRYPTED = {"encrypted": True}
_EPOCH = "epoch"

Key = tuple[EventProvider, str]
"""What makes a delivery itself: its provider, and the digest of its signed bytes."""


async def insert_deliveries(
    session: AsyncSession, deliveries: Mapping[Key, Delivery], *, vault: Vault | None = None
) -> set[UUID]:
    """Insert the events of deliveries, with their raw payloads, and return the ids of those that were not there.

    With a vault the raw payloads are kept encrypted.
    """
    now = utc_now()
    # In one order, so that two processes that are sent the same deliveries never wait for each other.
    rows = [_event_row(delivery, key[1], now) for key, delivery in sorted(deliveries.items(), key=lambda item: item[0])]
    new = await insert_many_once(session, EventModel, rows, unique=("provider", "digest"))
    stored = [(key[1], delivery) for key, delivery in deliveries.items() if delivery.event_id in new]
    if stored:
        bodies = [delivery.body for _, delivery in stored]
        if vault is not None:
            bodies = await asyncio.to_thread(lambda: [vault.encrypt(body) for body in bodies])
        raw = [_payload_row(*each, body, vault) for each, body in zip(stored, bodies, strict=True)]
        await session.execute(insert(cast(Table, EventPayloadModel.__table__)), raw)
    return new


def _event_row(delivery: Delivery, digest: str, now: datetime) -> dict[str, Any]:
    is_parked = delivery.parked is not None
    return {
        "id": delivery.event_id,
        "name": delivery.event_type,
        "title": delivery.event_type,
        "event_type": delivery.event_type,
        "provider": delivery.provider,
        "external_id": delivery.external_id,
        "digest": digest,
        "payload": delivery.payload,
        "headers": dict(delivery.headers),
        "status": EventStatus.FAILED if is_parked else EventStatus.PENDING,
        "parked_at": now if is_parked else None,
        "reason": delivery.parked,
        "error_message": delivery.parked,
        "available_at": delivery.received_at,
        "created_at": delivery.received_at,
    }


def _payload_row(digest: str, delivery: Delivery, body: bytes, vault: Vault | None) -> dict[str, Any]:
    checksum = digest if delivery.key == delivery.body else sha256(delivery.body).hexdigest()
    return {
        "name": delivery.event_type,
        "payload_type": delivery.event_type,
        "content_type": delivery.content_type,
        "raw_payload": body,
        "metadata": None if vault is None else ENCRYPTED,
        "size_bytes": len(delivery.body),
        "checksum": f"sha256:{checksum}",
        "event_id": delivery.event_id,
        "created_at": delivery.received_at,
    }


async def find_by_keys(session: AsyncSession, keys: Collection[Key]) -> dict[Key, UUID]:
    """Return the events that were stored of these deliveries."""
    statement = select(EventModel.provider, EventModel.digest, EventModel.id).where(
        EventModel.provider.in_({provider for provider, _ in keys}), EventModel.digest.in_([key[1] for key in keys])
    )
    return {(provider, digest): found for provider, digest, found in await session.execute(statement)}


async def earlier_of_same_id(session: AsyncSession, event_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Return, for those of these events whose delivery id another event has, one such event.

    None of these events is another's.
    """
    rows = await session.execute(_EARLIER, {"ids": list(event_ids)})
    return {event_id: found for event_id, found in rows if found is not None}


def _earlier_of_same_id() -> Select[tuple[UUID, UUID | None]]:
    event, other = EventModel.__table__.c, EventModel.__table__.alias().c
    ids: BindParameter[UUID] = bindparam("ids", expanding=True)
    is_earlier = (other.provider == event.provider, other.external_id == event.external_id, other.id.not_in(ids))
    earlier = select(other.id).where(*is_earlier).limit(1).scalar_subquery()
    return select(event.id, earlier).where(event.id.in_(ids), event.external_id.is_not(None))


# Made once: it takes longer to make than to run.
_EARLIER = _earlier_of_same_id()


async def get(session: AsyncSession, event_id: UUID) -> EventModel | None:
    return await session.get(EventModel, event_id)


async def get_all(session: AsyncSession, event_ids: Collection[UUID]) -> dict[UUID, EventModel]:
    """Return those of these events that there are, by their ids."""
    events = (await session.execute(select(EventModel).where(EventModel.id.in_(event_ids)))).scalars()
    return {event.id: event for event in events}


async def get_locked(session: AsyncSession, event_id: UUID) -> EventModel | None:
    found = recalled(session, EventModel, event_id)
    return await session.get(EventModel, event_id, with_for_update=True) if found is UNKNOWN else found


async def lock_all(
    session: AsyncSession, event_ids: Collection[UUID], *, payloads: bool = True
) -> Sequence[EventModel]:
    """Return events, locked, in one order, so that two who lock the same never wait for each other."""
    statement = select(EventModel).where(EventModel.id.in_(event_ids)).order_by(EventModel.id).with_for_update()
    if not payloads:
        statement = statement.options(defer(EventModel.payload, raiseload=True))
    events = (await session.execute(statement.execution_options(populate_existing=True))).scalars().all()
    for event in events:
        remember(session, EventModel, event.id, value=event)
        remember(session, _EPOCH, event.id, value=event.lease_epoch)
    return events


async def lock_epochs(session: AsyncSession, event_ids: Collection[UUID]) -> dict[UUID, int]:
    """Lock events in the same order, and return the epochs of their newest claims alone."""
    statement = select(EventModel.id, EventModel.lease_epoch).where(EventModel.id.in_(event_ids))
    rows = await session.execute(statement.order_by(EventModel.id).with_for_update())
    epochs = dict(rows.tuples().all())
    for event_id, epoch in epochs.items():
        remember(session, _EPOCH, event_id, value=epoch)
    return epochs


async def give_back(session: AsyncSession, *, owner: str, event_ids: Collection[UUID]) -> None:
    """Make events that this owner has not finished claimable again."""
    await session.execute(
        update(EventModel)
        .where(
            EventModel.id.in_(event_ids), EventModel.lease_owner == owner, EventModel.status == EventStatus.PROCESSING
        )
        .values(
            status=EventStatus.PENDING,
            lease_owner=None,
            lease_expires_at=None,
            claims=case((EventModel.claims > 0, EventModel.claims - 1), else_=0),
        )
    )


async def expire_leases(session: AsyncSession, *, name: str, heir: str, now: datetime) -> int:
    """End the leases of all owners of that name but one, so that others can take on what those were handling."""
    left = select(EventModel.id).where(
        EventModel.status == EventStatus.PROCESSING,
        precedes(EventModel.lease_owner, name=name, heir=heir),
        EventModel.lease_expires_at > now,
    )
    ended = await session.execute(
        update(EventModel)
        .where(EventModel.id.in_(left.with_for_update(skip_locked=True)))
        .values(lease_expires_at=now, updated_at=EventModel.updated_at)
        .returning(EventModel.id)
    )
    return len(ended.all())


async def current_epoch(session: AsyncSession, event_id: UUID) -> int:
    """Return the epoch of the newest claim, and keep others from claiming until this transaction ends."""
    epoch = recalled(session, _EPOCH, event_id)
    if epoch is UNKNOWN:
        epoch = await ask(session, lock_epochs, event_id)
    if epoch is None:
        raise NoResultFound(f"there is no event {event_id}")
    return int(epoch)


async def newest(
    session: AsyncSession,
    *,
    limit: int,
    status: EventStatus | None = None,
    ours_too: bool = False,
    parked: bool = False,
) -> Sequence[EventModel]:
    """Return the newest events from outside, or with `ours_too` all, without their payloads, which may be large.

    With `parked` only those whose body could not be read.
    """
    statement = select(EventModel).options(defer(EventModel.payload, raiseload=True))
    statement = statement.order_by(EventModel.created_at.desc(), EventModel.id).limit(limit)
    if status is not None:
        statement = statement.where(EventModel.status == status)
    if parked:
        statement = statement.where(EventModel.parked_at.is_not(None))
    if not ours_too:
        statement = statement.where(EventModel.provider != EventProvider.SYSTEM)
    return (await session.execute(statement)).scalars().all()


async def count_by_status(session: AsyncSession) -> dict[EventStatus, int]:
    statement = select(EventModel.status, func.count()).group_by(EventModel.status)
    return {status: count for status, count in await session.execute(statement)}  # noqa: C416 - rows are not pairs


async def with_id_prefix(session: AsyncSession, model: type[BaseModel], prefix: str, *, limit: int) -> Sequence[UUID]:
    """Return ids that lie in the range which a hexadecimal prefix names."""
    low, high = UUID(prefix.ljust(32, "0")), UUID(prefix.ljust(32, "f"))
    statement = select(model.id).where(model.id.between(low, high)).limit(limit)
    return (await session.execute(statement)).scalars().all()


async def page_events(
    session: AsyncSession,
    *,
    limit: int,
    cursor: str | None,
    status: EventStatus | None = None,
    provider: EventProvider | None = None,
    event_type: str | None = None,
    parked: bool | None = None,
) -> Page[EventModel]:
    """Return events, newest first, without their payloads, which may be large."""
    wanted = {"status": status, "provider": provider, "event_type": event_type}
    filters = {column: value for column, value in wanted.items() if value is not None}
    statement = select(EventModel).options(defer(EventModel.payload, raiseload=True)).filter_by(**filters)
    if parked is not None:
        statement = statement.where(EventModel.parked_at.is_not(None) if parked else EventModel.parked_at.is_(None))
    return await page(session, EventModel, statement, limit=limit, cursor=cursor)


async def raw_payload(session: AsyncSession, event_id: UUID, *, vault: Vault) -> bytes | None:
    """Return the bytes of a delivery as they came; None for an event that did not come as one.

    Raises:
        ConfigurationError: they were encrypted with another key than the vault's.
    """
    statement = select(EventPayloadModel).where(EventPayloadModel.event_id == event_id).limit(1)
    payload = (await session.execute(statement)).scalar_one_or_none()
    if payload is None:
        return None
    return vault.decrypt(payload.raw_payload) if payload.metadata_ == ENCRYPTED else payload.raw_payload


async def delete_payloads(session: AsyncSession, *, before: datetime, limit: int) -> int:
    """Delete up to `limit` raw payloads from before that time and return how many; their events and digests stay."""
    oldest = (
        select(EventPayloadModel.id)
        .where(EventPayloadModel.created_at < before)
        .order_by(EventPayloadModel.created_at)
        .limit(limit)
    )
    statement = delete(EventPayloadModel).where(EventPayloadModel.id.in_(oldest))
    result = await session.execute(statement.execution_options(synchronize_session=False))
    return cast(CursorResult[Any], result).rowcount
