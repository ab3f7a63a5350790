"""All SQL about the outbox."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from contexten_core.db import utc_now
from contexten_core.db.insert import insert_once
from contexten_core.events.models import EffectStatus, OutboxModel


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
    """Write down an effect to be carried out after this transaction; return False when it was written before."""
    inserted = await insert_once(
        session,
        OutboxModel,
        {
            "id": uuid4(),
            "name": f"{kind} {effect_key}",
            "kind": kind,
            "effect_key": effect_key,
            "stream": stream,
            "position": position,
            "content": dict(content),
            "run_id": run_id,
            "available_at": utc_now(),
        },
        unique=("effect_key",),
    )
    return inserted is not None


async def due(session: AsyncSession, *, now: datetime, limit: int) -> Sequence[OutboxModel]:
    """Return effects whose time has come, at most the first of each stream, locked against other dispatchers."""
    earlier = aliased(OutboxModel)
    statement = (
        select(OutboxModel)
        .where(
            OutboxModel.status == EffectStatus.PENDING,
            OutboxModel.available_at <= now,
            ~exists().where(
                earlier.stream == OutboxModel.stream,
                earlier.status == EffectStatus.PENDING,
                (earlier.created_at < OutboxModel.created_at)
                | ((earlier.created_at == OutboxModel.created_at) & (earlier.position < OutboxModel.position)),
            ),
        )
        .order_by(OutboxModel.created_at, OutboxModel.position)
        .limit(limit)
        .with_for_update(skip_locked=True, of=OutboxModel)
    )
    return (await session.execute(statement)).scalars().all()


async def get(session: AsyncSession, effect_id: UUID) -> OutboxModel | None:
    return await session.get(OutboxModel, effect_id, with_for_update=True)


async def of_run(session: AsyncSession, run_id: UUID, *, kind: str | None = None) -> Sequence[OutboxModel]:
    statement = select(OutboxModel).where(OutboxModel.run_id == run_id)
    if kind is not None:
        statement = statement.where(OutboxModel.kind == kind)
    return (await session.execute(statement.order_by(OutboxModel.created_at, OutboxModel.position))).scalars().all()


async def count_waiting(session: AsyncSession) -> int:
    waiting = select(func.count()).select_from(OutboxModel).where(OutboxModel.status == EffectStatus.PENDING)
    return (await session.execute(waiting)).scalar_one()
