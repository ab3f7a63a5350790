"""All SQL about posts: things of ours outside that are edited instead of made again."""

from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db.insert import insert_once
from contexten_core.events.models import PostModel


async def get(session: AsyncSession, key: str) -> PostModel | None:
    return (await session.execute(select(PostModel).where(PostModel.key == key))).scalar_one_or_none()


async def hold(session: AsyncSession, key: str) -> PostModel:
    """Return the row of a post, made when there is none, locked until this transaction ends."""
    await insert_once(session, PostModel, {"id": uuid4(), "name": key, "key": key}, unique=("key",))
    statement = select(PostModel).where(PostModel.key == key).with_for_update()
    return (await session.execute(statement.execution_options(populate_existing=True))).scalar_one()
