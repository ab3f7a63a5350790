"""Tell other processes that there is something for them: PostgreSQL's NOTIFY, which leaves with the transaction.

SQLite has nothing of the kind, and a notice may be lost with its connection; so whoever waits looks again by itself
after a while.
"""

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress
from typing import Self

import psycopg
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db.engine import Database, sync_address

logger = logging.getLogger(__name__)

EVENTS = "contexten_events"
CANCELS = "contexten_cancels"
OUTBOX = "contexten_outbox"

_AGAIN_SECONDS = 1.0
_CONNECT_SECONDS = 10


async def notify(session: AsyncSession, channel: str) -> None:
    """Wake whoever listens to a channel once this transaction commits; on SQLite nobody does."""
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": channel})


class Listener:
    """Hears notices for one process, on a connection of its own, which is made again whenever it breaks."""

    def __init__(self, database: Database, channels: Collection[str]) -> None:
        self._address = None if database.is_sqlite else database.address
        self._heard = {channel: asyncio.Event() for channel in channels}
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._address is not None:
            self._listening = asyncio.create_task(self._listen(), name="listener")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._listening is not None:
            while not self._listening.done():
                # Before Python 3.12 `asyncio.wait_for`, which connecting uses, may lose a cancellation.
                self._listening.cancel()
                await asyncio.wait([self._listening], timeout=_AGAIN_SECONDS)
            self._listening = None

    async def wait(self, channel: str, *, seconds: float) -> bool:
        """Wait for a notice, for so long at most, and tell whether there was one; one from before counts once."""
        heard = self._heard[channel]
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await heard.wait()
        was_heard = heard.is_set()
        heard.clear()
        return was_heard

    async def _listen(self) -> None:
        assert self._address is not None
        address = sync_address(self._address).set(drivername="postgresql").render_as_string(hide_password=False)
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(
                    address, autocommit=True, connect_timeout=_CONNECT_SECONDS, application_name="contexten-listener"
                )
                async with connection:
                    for channel in self._heard:
                        await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                    # What came while nobody listened.
                    for heard in self._heard.values():
                        heard.set()
                    async for notice in connection.notifies():
                        self._heard[notice.channel].set()
            except psycopg.Error as error:
                logger.info("cannot hear notices, will look instead until it works again: %s", error)
            await asyncio.sleep(_AGAIN_SECONDS)
