"""Leases: an event belongs to the worker that claimed it for as long as that worker keeps saying so.

A lease is an owner, an epoch that grows with every claim, and an expiry by the database's clock. Whoever writes for a
run proves that the epoch is still its own; a worker that was thought dead finds that it is not.
"""

import asyncio
import logging
from datetime import timedelta
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from contexten_core.db import Database
from contexten_core.events import store
from contexten_core.settings import Settings

logger = logging.getLogger(__name__)


class LeaseKeeper:
    """Renews every lease of one owner with one statement per heartbeat, from the first lease it is given to hold."""

    def __init__(self, database: Database, *, owner: str, settings: Settings) -> None:
        self.owner = owner
        self.duration = timedelta(seconds=settings.lease_seconds)
        self._database = database
        self._interval = settings.heartbeat_seconds
        self._held: set[UUID] = set()
        self._beating: asyncio.Task[None] | None = None

    def hold(self, event_id: UUID) -> None:
        """Renew this event's lease from now on. Must be called in a running event loop."""
        self._held.add(event_id)
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat(), name="lease-heartbeat")

    def release(self, event_id: UUID) -> None:
        self._held.discard(event_id)

    async def close(self) -> None:
        """Stop renewing, and give back what is still held so that another worker can take it at once."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait([self._beating])
            self._beating = None
        if self._held:
            async with self._database.transaction() as session:
                await store.give_back(session, owner=self.owner, event_ids=self._held)
            self._held.clear()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            if not self._held:
                continue
            try:
                async with self._database.transaction() as session:
                    expires_at = await self._database.now(session) + self.duration
                    await store.renew(session, owner=self.owner, event_ids=self._held, expires_at=expires_at)
            except SQLAlchemyError as error:
                logger.warning("could not renew %d leases, will try again: %s", len(self._held), error)
