"""All SQL about deliveries and their leases."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from contexten_core.db.base import BaseModel
from contexten_core.db.insert import insert_once
from contexten_core.db.paging import Page, page
from contexten_core.events.models import (
    SIMULATED,
    EventModel,
    EventPayloadModel,
    EventProvider,
    EventStatus,
)
from contexten_core.security.encryption import Vault

ENCRYPTED = {"encrypted": True}


async def insert_delivery(
    session: AsyncSession,
    *,
    event_id: UUID,
    provider: EventProvider,
    event_type: str,
    external_id: str | None,
    digest: str,
    payload: Mapping[str, Any],
    headers: Mapping[str, str],
    body: bytes,
    content_type: str,
    now: datetime,
    vault: Vault | None = None,
) -> bool:
    """Insert an event with its raw payload; return whether it is new, by provider and digest of the signed body.

    With a vault the raw payload is kept encrypted.
    """
    inserted = await insert_once(
        session,
        EventModel,
        {
            "id": event_id,
            "name": event_type,
            "title": event_type,
            "event_type": event_type,
            "provider": provider,
            "external_id": external_id,
            "digest": digest,
            "payload": payload,
            "headers": headers,
            "available_at": now,
        },
        unique=("provider", "digest"),
    )
    if inserted is None:
        return False
    session.add(
        EventPayloadModel(
            id=uuid4(),
            name=event_type,
            payload_type=event_type,
            content_type=content_type,
            raw_payload=body if vault is None else vault.encrypt(body),
            metadata_=None if vault is None else ENCRYPTED,
            size_bytes=len(body),
            checksum=f"sha256:{digest}",
            event_id=event_id,
        )
    )
    return True


async def find_by_digest(session: AsyncSession, *, provider: EventProvider, digest: str) -> UUID:
    statement = select(EventModel.id).where(EventModel.provider == provider, EventModel.digest == digest)
    return (await session.execute(statement)).scalar_one()


async def get(session: AsyncSession, event_id: UUID) -> EventModel | None:
    return await session.get(EventModel, event_id)


async def get_locked(session: AsyncSession, event_id: UUID) -> EventModel | None:
    return await session.get(EventModel, event_id, with_for_update=True)


async def claimable(session: AsyncSession, *, now: datetime, limit: int) -> Sequence[EventModel]:
    """Return the oldest events that wait for a flow, or whose worker has fallen silent, locked against others."""
    statement = (
        select(EventModel)
        .where(
            EventModel.provider != EventProvider.SYSTEM,
            or_(EventModel.external_id.is_(None), ~EventModel.external_id.startswith(SIMULATED, autoescape=True)),
            or_(
                and_(
                    EventModel.status.in_((EventStatus.PENDING, EventStatus.RETRYING)), EventModel.available_at <= now
                ),
                and_(EventModel.status == EventStatus.PROCESSING, EventModel.lease_expires_at < now),
            ),
        )
        .order_by(EventModel.created_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return (await session.execute(statement)).scalars().all()


async def renew(session: AsyncSession, *, owner: str, event_ids: Collection[UUID], expires_at: datetime) -> None:
    """Renew the leases of these events, but for those that a step is writing to now: they wait for the next time.

    Waiting for one while holding others would lock heartbeat and steps out of each other.
    """
    free = select(EventModel.id).where(
        EventModel.id.in_(event_ids), EventModel.lease_owner == owner, EventModel.status == EventStatus.PROCESSING
    )
    await session.execute(
        update(EventModel)
        .where(EventModel.id.in_(free.with_for_update(skip_locked=True)))
        .values(lease_expires_at=expires_at)
        .execution_options(synchronize_session=False)
    )


async def give_back(session: AsyncSession, *, owner: str, event_ids: Collection[UUID]) -> None:
    """Make events that this owner has not finished claimable again."""
    await session.execute(
        update(EventModel)
        .where(
            EventModel.id.in_(event_ids), EventModel.lease_owner == owner, EventModel.status == EventStatus.PROCESSING
        )
        .values(status=EventStatus.PENDING, lease_owner=None, lease_expires_at=None)
    )


async def current_epoch(session: AsyncSession, event_id: UUID) -> int:
    """Return the epoch of the newest claim, and keep others from claiming until this transaction ends."""
    statement = select(EventModel.lease_epoch).where(EventModel.id == event_id).with_for_update()
    return (await session.execute(statement)).scalar_one()


async def newest(
    session: AsyncSession, *, limit: int, status: EventStatus | None = None, ours_too: bool = False
) -> Sequence[EventModel]:
    """Return the newest events from outside, or with `ours_too` all, without their payloads, which may be large."""
    statement = select(EventModel).options(defer(EventModel.payload, raiseload=True))
    statement = statement.order_by(EventModel.created_at.desc(), EventModel.id).limit(limit)
    if status is not None:
        statement = statement.where(EventModel.status == status)
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
) -> Page[EventModel]:
    """Return events, newest first, without their payloads, which may be large."""
    wanted = {"status": status, "provider": provider, "event_type": event_type}
    filters = {column: value for column, value in wanted.items() if value is not None}
    statement = select(EventModel).options(defer(EventModel.payload, raiseload=True)).filter_by(**filters)
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
