"""Leases: an event belongs to the worker that claimed it for as long as that worker keeps saying so.

A lease is an owner, an epoch that grows with every claim, and an expiry by the database's clock. Whoever writes for a
run proves that the epoch is still its own; a worker that was thought dead finds that it is not.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from contexten_core.db import Database
from contexten_core.events import lease_store, outbox_store, store
from contexten_core.settings import Settings

logger = logging.getLogger(__name__)

_END_SECONDS = 15.0


class LeaseKeeper:
    """Renews every lease of one owner with one statement per heartbeat, from the first lease it is given to hold.

    It does so in a thread of its own, with a connection of its own: work that keeps the event loop busy costs no lease.

    Attributes:
        lost: is called in that thread with an event whose lease turns out to be another worker's, or nobody's.
    """

    def __init__(self, database: Database, *, owner: str, settings: Settings) -> None:
        self.owner = owner
        self.duration = timedelta(seconds=settings.lease_seconds)
        self.lost: Callable[[UUID], None] = _say_lost
        self._database = database
        self._interval = settings.heartbeat_seconds
        self._held: dict[UUID, int] = {}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._beating: threading.Thread | None = None

    def hold(self, event_id: UUID, *, epoch: int) -> None:
        """Renew this event's lease from now on."""
        with self._lock:
            self._held[event_id] = epoch
            if self._beating is None:
                self._ending.clear()
                self._beating = threading.Thread(target=self._beat, name="lease-heartbeat", daemon=True)
                self._beating.start()

    @property
    def held(self) -> list[UUID]:
        """The events whose leases are renewed."""
        with self._lock:
            return list(self._held)

    def holds(self, event_id: UUID, *, epoch: int) -> bool:
        """Tell whether this claim's lease is still renewed."""
        with self._lock:
            return self._held.get(event_id) == epoch

    def release(self, event_id: UUID) -> None:
        with self._lock:
            self._held.pop(event_id, None)

    async def succeed(self, name: str) -> tuple[int, int]:
        """End the leases of this process's predecessors of that name, which have all ended.

        Returns:
            How many events they were handling, and how many effects they were carrying out.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database does not answer.
        """
        async with self._database.transaction() as session:
            now = await self._database.now(session)
            events = await store.expire_leases(session, name=name, heir=self.owner, now=now)
            return events, await outbox_store.expire_leases(session, name=name, heir=self.owner, now=now)

    async def close(self) -> None:
        """Stop renewing, and give back what is still held so that another worker can take it at once."""
        if self._beating is not None:
            self._ending.set()
            await asyncio.to_thread(self._beating.join, _END_SECONDS)
            self._beating = None
        if self._held:
            async with self._database.transaction() as session:
                await store.give_back(session, owner=self.owner, event_ids=list(self._held))
            self._held.clear()

    def _beat(self) -> None:
        with lease_store.Renewal(self._database, owner=self.owner) as renewal:
            while not self._ending.wait(self._interval):
                with self._lock:
                    held = dict(self._held)
                if not held:
                    continue
                try:
                    lost = renewal.renew(held, duration=self.duration)
                except SQLAlchemyError as error:
                    logger.warning("could not renew %d leases, will try again: %s", len(held), error)
                    continue
                for event_id in lost:
                    with self._lock:
                        still_held = self._held.get(event_id) == held[event_id] and self._held.pop(event_id)
                    if still_held:
                        self.lost(event_id)


def _say_lost(event_id: UUID) -> None:
    logger.warning("the lease of event %s is no longer this worker's", event_id)
