"""Locks on what has no row of its own."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


async def hold(session: AsyncSession, name: str) -> None:
    """Wait until no other transaction holds this name, and hold it until this one ends; holding it twice is no harm.

    PostgreSQL keeps such a lock by a 64-bit hash, so that two names may, very rarely, wait for each other. SQLite has
    one writer at a time as it is.
    """
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})
