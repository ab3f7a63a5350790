"""All SQL about the outbox."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import exists, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from contexten_core.db import utc_now
from contexten_core.db.insert import insert_once
from contexten_core.db.shared import UNKNOWN, is_shared, recalled, remember
from contexten_core.events.models import EffectStatus, OutboxModel
from contexten_core.events.owners import precedes


async def enqueue(
    session: AsyncSession,
    *,
    kind: str,
    effect_key: str,
    stream: str,
    position: int,
    content: Mapping[str, Any],
    run_id: UUID | None,
) -> bool:
    """Write down an effect to be carried out after this transaction; return False when it was written before.

    Where the transaction is shared, one that was written before breaks it.
    """
    values = {
        "id": uuid4(),
        "name": f"{kind} {effect_key}",
        "kind": kind,
        "effect_key": effect_key,
        "stream": stream,
        "position": position,
        "content": dict(content),
        "run_id": run_id,
        "available_at": utc_now(),
    }
    if is_shared(session):
        session.add(OutboxModel(**values))
        return True
    return await insert_once(session, OutboxModel, values, unique=("effect_key",)) is not None


async def due(
    session: AsyncSession, *, now: datetime, limit: int, but_not: Collection[str] = ()
) -> Sequence[OutboxModel]:
    """Return effects whose time has come, at most the first of each stream, locked against other dispatchers.

    Args:
        but_not: services that are left out; a service is what an effect's kind begins with, up to the dot.
    """
    earlier = aliased(OutboxModel)
    statement = (
        select(OutboxModel)
        .where(
            OutboxModel.status == EffectStatus.PENDING,
            OutboxModel.available_at <= now,
            ~exists().where(
                earlier.stream == OutboxModel.stream,
                earlier.status == EffectStatus.PENDING,
                tuple_(earlier.created_at, earlier.position, earlier.id)
                < tuple_(OutboxModel.created_at, OutboxModel.position, OutboxModel.id),
            ),
            *(~OutboxModel.kind.startswith(f"{service}.", autoescape=True) for service in but_not),
        )
        .order_by(OutboxModel.created_at, OutboxModel.position)
        .limit(limit)
        .with_for_update(skip_locked=True, of=OutboxModel)
    )
    return (await session.execute(statement)).scalars().all()


async def expire_leases(session: AsyncSession, *, name: str, heir: str, now: datetime) -> int:
    """End the claims of all owners of that name but one, whose effects can then be looked up at once."""
    left = select(OutboxModel.id).where(
        OutboxModel.status == EffectStatus.PENDING,
        precedes(OutboxModel.lease_owner, name=name, heir=heir),
    )
    ended = await session.execute(
        update(OutboxModel)
        .where(OutboxModel.id.in_(left.with_for_update(skip_locked=True)))
        .values(available_at=now, lease_owner=None)
        .returning(OutboxModel.id)
    )
    return len(ended.all())


async def get(session: AsyncSession, effect_id: UUID) -> OutboxModel | None:
    return await session.get(OutboxModel, effect_id, with_for_update=True)


async def of_run(session: AsyncSession, run_id: UUID, *, kind: str | None = None) -> Sequence[OutboxModel]:
    known = recalled(session, OutboxModel, run_id)
    if known is not UNKNOWN:
        found: Sequence[OutboxModel] = [effect for effect in known if kind in (None, effect.kind)]
        return found
    statement = select(OutboxModel).where(OutboxModel.run_id == run_id)
    if kind is not None:
        statement = statement.where(OutboxModel.kind == kind)
    return (await session.execute(statement.order_by(OutboxModel.created_at, OutboxModel.position))).scalars().all()


async def recall_all(session: AsyncSession, run_ids: Collection[UUID]) -> None:
    """Read at once, for the rest of this transaction, the effects that runs had when it began."""
    order = (OutboxModel.created_at, OutboxModel.position)
    found: dict[UUID, list[OutboxModel]] = {run_id: [] for run_id in run_ids}
    for effect in (
        await session.execute(select(OutboxModel).where(OutboxModel.run_id.in_(run_ids)).order_by(*order))
    ).scalars():
        if effect.run_id is not None:
            found[effect.run_id].append(effect)
    for run_id, effects in found.items():
        remember(session, OutboxModel, run_id, value=effects)


async def count_waiting(session: AsyncSession) -> int:
    waiting = select(func.count()).select_from(OutboxModel).where(OutboxModel.status == EffectStatus.PENDING)
    return (await session.execute(waiting)).scalar_one()
