"""What is kept for a while only: the bytes of deliveries, and what was refused."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import Database, utc_now
from contexten_core.events import refusal_store, store

REFUSALS_KEPT: Final = timedelta(days=35)
_BATCH: Final = 500


async def prune_deliveries(database: Database, *, days: int, now: datetime | None = None) -> int:
    """Delete the raw payloads older than that and return how many; events and their digests stay."""
    before = (now or utc_now()) - timedelta(days=days)
    return await _in_batches(database, partial(store.delete_payloads, before=before, limit=_BATCH))


async def prune_refusals(database: Database, *, now: datetime | None = None) -> int:
    """Delete what is known of refusals older than `REFUSALS_KEPT` and return how many rows that was."""
    before = (now or utc_now()) - REFUSALS_KEPT
    return await _in_batches(database, partial(refusal_store.delete_older, before=before, limit=_BATCH))


async def _in_batches(database: Database, delete: Callable[[AsyncSession], Awaitable[int]]) -> int:
    """Delete in several short transactions, so that nobody waits long."""
    total, batch = 0, _BATCH
    while batch == _BATCH:
        async with database.transaction() as session:
            batch = await delete(session)
        total += batch
    return total
