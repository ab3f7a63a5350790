"""Connections and transactions. Whoever opens a transaction here is the boundary; nobody else commits."""

import asyncio
import json
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from psycopg.pq import TransactionStatus
from pydantic_core import from_json
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from contexten_core.db.base import utc_now
from contexten_core.db.sums import open_sums, write_sums
from contexten_core.errors import ConfigurationError, ConflictError
from contexten_core.faults import fault_point
from contexten_core.settings import DatabaseConfig

logger = logging.getLogger(__name__)
T = TypeVar("T")

_SQLITE_BUSY_MILLISECONDS = 30_000
_IDLE_SECONDS = 15
_READ_ONLY = {"contexten_read_only": True}


class DatabaseNotOpenError(ConfigurationError, InvalidRequestError):  # type: ignore[misc]  # both have a `code`
    """Nobody has opened the database yet, or it is closed again; for whoever uses it, it does not answer."""

    def __str__(self) -> str:
        return self.message


class Database:
    """One database and its pool of connections.

    SQLite transactions that write take the write lock when they begin, so that two of them queue instead of failing
    halfway with "database is locked". Those of one process queue in order here, since SQLite itself only has every
    waiter try again after a while, and may pass one over for half a minute.

    A database made without a configuration is opened later. Its connections belong to one event loop; to go on in
    another, close it there and open it again.
    """

    def __init__(self, config: DatabaseConfig | None = None) -> None:
        self._open: _Open | None = None
        if config is not None:
            self.open(config)

    def open(self, config: DatabaseConfig) -> None:
        """Get ready to connect; nothing connects before the first query."""
        address = config.address
        is_sqlite = address.get_backend_name() == "sqlite"
        connect_args = _sqlite_arguments() if is_sqlite else _postgresql_arguments(config)
        engine = (_sqlite_engine if is_sqlite else _postgresql_engine)(address, config, connect_args)
        self._open = _Open(
            address=address,
            is_sqlite=is_sqlite,
            engine=engine,
            connect_args=connect_args,
            sessions=async_sessionmaker(engine, expire_on_commit=False),
            readers=async_sessionmaker(engine.execution_options(**_READ_ONLY), expire_on_commit=False),
            writing=asyncio.Lock() if is_sqlite else None,
        )

    @property
    def is_open(self) -> bool:
        return self._open is not None

    @property
    def engine(self) -> AsyncEngine:
        return self._opened.engine

    @property
    def address(self) -> URL:
        return self._opened.address

    @property
    def is_sqlite(self) -> bool:
        return self._opened.is_sqlite

    @property
    def _opened(self) -> "_Open":
        if self._open is None:
            raise DatabaseNotOpenError("the database is not open", hint="call `await app.initialize()` first")
        return self._open

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Open a transaction that commits when the block ends and rolls back when it raises.

        Raises:
            ConflictError: on SQLite, this code holds a transaction already, and would wait for itself.
        """
        opened = self._opened
        async with self._turn(opened), opened.sessions() as session:
            async with session.begin():
                open_sums(session)
                yield session
                await write_sums(session)
                await fault_point("before commit")
            await fault_point("after commit")

    async def transact(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        """Do work that can be done again in a transaction, and return what it returns.

        Where many do so at once, the database may have their work share one: see `JoinedDatabase`.
        """
        async with self.transaction() as session:
            return await work(session)

    @asynccontextmanager
    async def _turn(self, opened: "_Open") -> AsyncIterator[None]:
        """Wait for this process's turn to write, where there is only one writer."""
        if opened.writing is None:
            yield
            return
        held = _held.get()
        if held is not None and held.lock is opened.writing and held.is_active:
            raise ConflictError(
                "this code holds a transaction of the same SQLite database, and would wait for itself",
                hint="use the session that is open, or end it first",
            )
        async with opened.writing:
            turn = _Turn(opened.writing)
            _held.set(turn)
            try:
                yield
            finally:
                turn.is_active = False

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Open a session for reading only: nothing in it is committed. What it read stays readable afterwards.

        It connects with the first question: one that is not needed takes no connection from others.
        """
        async with self._opened.readers() as session:
            yield session

    @contextmanager
    def reading_now(self) -> Iterator[Session]:
        """Open a session for reading without async, on a connection of its own; blocks the calling thread."""
        engine = self.engine_beside()
        try:
            with Session(engine) as session:
                yield session
        finally:
            engine.dispose()

    def engine_beside(self) -> Engine:
        """Return an engine without async, for a thread of its own: one connection at most, the caller's to dispose."""
        opened = self._opened
        return create_engine(
            sync_address(opened.address),
            pool_size=1,
            max_overflow=0,
            pool_pre_ping=True,
            connect_args=opened.connect_args,
        )

    async def now(self, session: AsyncSession) -> datetime:
        """Return the database's clock, which all processes share; SQLite has only its own process's."""
        if self.is_sqlite:
            return utc_now()
        moment: datetime = (await session.execute(text("SELECT clock_timestamp()"))).scalar_one()
        return moment

    async def ping(self) -> None:
        """Run the smallest query.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: when the database does not answer.
        """
        async with self.reading() as session:
            await session.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close every connection, those in use as soon as they are not. Closing what is not open does nothing."""
        if self._open is not None:
            opened, self._open = self._open, None
            event.listen(opened.engine.sync_engine, "checkin", _close_returned)
            await opened.engine.dispose()


@dataclass(frozen=True, slots=True)
class _Open:
    address: URL
    is_sqlite: bool
    engine: AsyncEngine
    connect_args: dict[str, Any]
    sessions: async_sessionmaker[AsyncSession]
    readers: async_sessionmaker[AsyncSession]
    writing: asyncio.Lock | None


@dataclass(slots=True)
class _Turn:
    """A writer's turn; tasks that it starts meanwhile know of it too."""

    lock: asyncio.Lock
    is_active: bool = True


_held: ContextVar[_Turn | None] = ContextVar("held", default=None)


def async_address(address: URL) -> URL:
    return address.set(drivername="sqlite+aiosqlite" if _is_sqlite(address) else "postgresql+psycopg")


def sync_address(address: URL) -> URL:
    return address.set(drivername="sqlite+pysqlite" if _is_sqlite(address) else "postgresql+psycopg")


def _is_sqlite(address: URL) -> bool:
    return address.get_backend_name() == "sqlite"


def _postgresql_arguments(config: DatabaseConfig) -> dict[str, Any]:
    return {
        "connect_timeout": 10,
        "application_name": "contexten",
        # A process that is stopped in the middle of a transaction keeps its locks from others no longer than a lease.
        "options": f"-c statement_timeout={config.query_timeout * 1000} -c timezone=UTC "
        f"-c idle_in_transaction_session_timeout={_IDLE_SECONDS * 1000}",
    }


def _sqlite_arguments() -> dict[str, Any]:
    return {"timeout": _SQLITE_BUSY_MILLISECONDS / 1000, "factory": _SqliteConnection}


class _SqliteConnection(sqlite3.Connection):
    """Ends its transaction when it is closed: SQLite does not while a cursor is left, in some traceback say."""

    def close(self) -> None:
        with suppress(sqlite3.ProgrammingError):
            self.rollback()
        super().close()


def _postgresql_engine(address: URL, config: DatabaseConfig, connect_args: dict[str, Any]) -> AsyncEngine:
    engine = create_async_engine(
        async_address(address),
        echo=config.echo_sql,
        pool_size=config.pool_size,
        max_overflow=config.max_overflow,
        pool_timeout=config.pool_timeout,
        pool_recycle=config.pool_recycle,
        pool_pre_ping=True,
        connect_args=connect_args,
        json_deserializer=_read_json,
    )
    event.listen(engine.sync_engine, "checkin", _close_busy)
    return engine


def _sqlite_engine(address: URL, config: DatabaseConfig, connect_args: dict[str, Any]) -> AsyncEngine:
    if address.database:
        Path(address.database).absolute().parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(
        async_address(address),
        echo=config.echo_sql,
        pool_size=config.pool_size,
        max_overflow=config.max_overflow,
        pool_timeout=config.pool_timeout,
        connect_args=connect_args,
        json_deserializer=_read_json,
    )
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _read_json(text: str | bytes) -> Any:
    try:
        return from_json(text)
    except ValueError:
        # The faster one refuses what is nested in more than some two hundred levels.
        return json.loads(text)


def _close_returned(connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
    """Close what comes back to a pool that has been disposed of, which would leave it to the garbage collector."""
    if connection is not None:
        record.close()


def _close_busy(connection: Any, record: ConnectionPoolEntry) -> None:
    """Close what comes back in the midst of a statement that was broken off, of which the next user would fail."""
    if connection is not None and connection.info.transaction_status is TransactionStatus.ACTIVE:
        logger.warning("a connection came back to the pool in the midst of a statement, and was closed")
        record.close()


def _prepare_sqlite(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:  # noqa: ARG001
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        f"busy_timeout={_SQLITE_BUSY_MILLISECONDS}",
        "foreign_keys=ON",
        "synchronous=FULL",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    options: Any = connection.get_execution_options()
    connection.exec_driver_sql("BEGIN" if options.get("contexten_read_only") else "BEGIN IMMEDIATE")
