"""All SQL about access tokens."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db.insert import insert_once
from contexten_core.db.paging import Page, page
from contexten_core.security.models import AccessTokenModel


async def add(
    session: AsyncSession, *, name: str, digest: str, role: str, expires_at: datetime | None
) -> AccessTokenModel | None:
    """Insert a token, or return None when the name is taken, by a revoked token too."""
    values = {"id": uuid4(), "name": name, "digest": digest, "role": role, "expires_at": expires_at}
    inserted = await insert_once(session, AccessTokenModel, values, unique=("name",))
    return None if inserted is None else await session.get_one(AccessTokenModel, inserted)


async def get(session: AsyncSession, token_id: UUID) -> AccessTokenModel | None:
    return await session.get(AccessTokenModel, token_id)


async def by_name(session: AsyncSession, name: str) -> AccessTokenModel | None:
    statement = select(AccessTokenModel).where(AccessTokenModel.name == name)
    return (await session.execute(statement)).scalar_one_or_none()


async def by_digest(session: AsyncSession, digest: str) -> AccessTokenModel | None:
    statement = select(AccessTokenModel).where(AccessTokenModel.digest == digest)
    return (await session.execute(statement)).scalar_one_or_none()


async def page_tokens(session: AsyncSession, *, limit: int, cursor: str | None) -> Page[AccessTokenModel]:
    return await page(session, AccessTokenModel, select(AccessTokenModel), limit=limit, cursor=cursor)


async def revoke(session: AsyncSession, name: str, *, now: datetime) -> bool:
    """Revoke a token and return whether one of that name is revoked now; the first time counts."""
    statement = (
        update(AccessTokenModel)
        .where(AccessTokenModel.name == name, AccessTokenModel.revoked_at.is_(None))
        .values(revoked_at=now)
    )
    await session.execute(statement)
    return await by_name(session, name) is not None


async def mark_used(session: AsyncSession, token_id: UUID, *, now: datetime, unless_since: datetime) -> None:
    """Note that a token was used, unless that was noted after `unless_since`."""
    seen = AccessTokenModel.last_used_at
    await session.execute(
        update(AccessTokenModel)
        .where(AccessTokenModel.id == token_id, or_(seen.is_(None), seen < unless_since))
        .values(last_used_at=now)
    )
