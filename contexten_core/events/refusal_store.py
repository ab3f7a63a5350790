"""All SQL about deliveries that were refused."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast
from uuid import uuid4

from sqlalchemy import CursorResult, Table, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import utc_now
from contexten_core.db.paging import Page, page
from contexten_core.events.models import RefusalModel
from contexten_core.events.refusals import Refusal

_UNIQUE = ("hour", "provider", "code", "address")


async def add(session: AsyncSession, refusals: Sequence[Refusal]) -> None:
    """Count refusals in the rows of their hour, provider, code and address."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(cast(Table, RefusalModel.__table__))
    replaced = {name: statement.excluded[name] for name in ("reason", "headers", "last_seen_at", "updated_at")}
    statement = statement.on_conflict_do_update(
        index_elements=_UNIQUE, set_={"count": RefusalModel.count + statement.excluded.count, **replaced}
    )
    # In one order, so that two processes never wait for each other.
    rows = [_row(refusal) for refusal in sorted(refusals, key=lambda refusal: refusal.key)]
    await session.execute(statement, rows)


def _row(refusal: Refusal) -> dict[str, Any]:
    return {
        "id": uuid4(),
        "name": f"{refusal.provider}:{refusal.code}",
        "provider": refusal.provider,
        "code": refusal.code,
        "address": refusal.address,
        "hour": refusal.hour,
        "count": refusal.count,
        "reason": refusal.reason,
        "headers": refusal.headers,
        "last_seen_at": refusal.last_seen_at,
        "updated_at": utc_now(),
    }


async def newest(session: AsyncSession, *, limit: int) -> Sequence[RefusalModel]:
    """Return what was refused last."""
    statement = select(RefusalModel).order_by(RefusalModel.last_seen_at.desc(), RefusalModel.id).limit(limit)
    return (await session.execute(statement)).scalars().all()


async def page_refusals(
    session: AsyncSession, *, limit: int, cursor: str | None, provider: str | None = None, code: str | None = None
) -> Page[RefusalModel]:
    wanted = {"provider": provider, "code": code}
    statement = select(RefusalModel).filter_by(**{name: value for name, value in wanted.items() if value is not None})
    return await page(session, RefusalModel, statement, limit=limit, cursor=cursor)


async def count_since(session: AsyncSession, since: datetime) -> int:
    """Return how many deliveries were refused since then, to the hour."""
    statement = select(func.coalesce(func.sum(RefusalModel.count), 0)).where(RefusalModel.last_seen_at >= since)
    return int((await session.execute(statement)).scalar_one())


async def delete_older(session: AsyncSession, *, before: datetime, limit: int) -> int:
    """Delete up to `limit` rows that nothing was added to since that time, and return how many."""
    oldest = (
        select(RefusalModel.id)
        .where(RefusalModel.last_seen_at < before)
        .order_by(RefusalModel.last_seen_at)
        .limit(limit)
    )
    statement = delete(RefusalModel).where(RefusalModel.id.in_(oldest)).execution_options(synchronize_session=False)
    return cast(CursorResult[Any], await session.execute(statement)).rowcount
