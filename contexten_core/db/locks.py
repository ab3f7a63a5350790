"""Locks on what has no row of its own."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db.shared import ask

_HOLD = text("SELECT pg_advisory_xact_lock(hashtextextended(name, 0)) FROM unnest(CAST(:names AS text[])) AS name")


async def hold(session: AsyncSession, name: str) -> None:
    """Wait until no other transaction holds this name, and hold it until this one ends; holding it twice is no harm.

    PostgreSQL keeps such a lock by a 64-bit hash, so that two names may, very rarely, wait for each other. SQLite has
    one writer at a time as it is.
    """
    if session.get_bind().dialect.name == "postgresql":
        await ask(session, _hold_all, name)


async def _hold_all(session: AsyncSession, names: Sequence[str]) -> dict[str, None]:
    # In one order, so that two who hold the same never wait for each other.
    await session.execute(_HOLD, {"names": sorted(names)})
    return {}
