"""Connections of an event loop that has ended or is blocked: closed without it, so that they keep nothing locked."""

from collections.abc import Sequence
from typing import Any

import aiosqlite
import psycopg
from sqlalchemy import event, func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.pool import ConnectionPoolEntry

_JOIN_SECONDS = 5.0


class Strays:
    """Knows every connection of the engines that it watches.

    A loop that ends cancels its tasks, also one that is in the middle of a transaction. The connection then belongs to
    nobody: SQLite's write lock would stay with it until the garbage collector came by.
    """

    def __init__(self) -> None:
        # Not weakly: one that nobody else refers to may still be open.
        self._connections: list[Any] = []

    def watch(self, engine: AsyncEngine) -> None:
        event.listen(engine.sync_engine, "connect", self._add)

    def close(self, *, loop_is_closed: bool) -> list[int]:
        """Close them all; blocks.

        Returns:
            The process ids at the PostgreSQL server of those whose loop is only blocked: they may be in the middle of a
            query, whose locks nobody else should wait for; see `terminate`.
        """
        left = []
        for connection in self._connections:
            if isinstance(connection, aiosqlite.Connection):
                _close_sqlite(connection)
            elif isinstance(connection, psycopg.AsyncConnection):
                if not loop_is_closed and not connection.closed:
                    left.append(connection.info.backend_pid)
                connection.pgconn.finish()
        self._connections.clear()
        return left

    def _add(self, _: object, record: ConnectionPoolEntry) -> None:
        self._connections = [*filter(_is_open, self._connections), record.driver_connection]


async def terminate(session: AsyncSession, backends: Sequence[int]) -> None:
    """Have the PostgreSQL server end connections of ours; whoever goes on with one is told that it is gone."""
    for backend in backends:
        await session.execute(select(func.pg_terminate_backend(backend)))


def _is_open(connection: Any) -> bool:
    if isinstance(connection, aiosqlite.Connection):
        return connection._connection is not None  # noqa: SLF001 - see below
    return not connection.closed


def _close_sqlite(connection: aiosqlite.Connection) -> None:
    thread = connection._thread  # noqa: SLF001 - there is no public way to end a connection without its loop
    if thread.is_alive():
        connection.stop()
        thread.join(_JOIN_SECONDS)
    # The thread ends early when it has an answer for a loop that is closed.
    if (left := connection._connection) is not None:  # noqa: SLF001
        left.close()
