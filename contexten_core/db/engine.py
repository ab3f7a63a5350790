"""Connections and transactions. Whoever opens a transaction here is the boundary; nobody else commits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from contexten_core.db.base import utc_now
from contexten_core.settings import DatabaseConfig

_SQLITE_BUSY_MILLISECONDS = 30_000
_READ_ONLY = {"contexten_read_only": True}


class Database:
    """One database and its pool of connections.

    SQLite transactions that write take the write lock when they begin, so that two of them queue instead of failing
    halfway with "database is locked".
    """

    def __init__(self, config: DatabaseConfig) -> None:
        self.address = config.address
        self.is_sqlite = self.address.get_backend_name() == "sqlite"
        self.engine = (
            _sqlite_engine(self.address, config) if self.is_sqlite else _postgresql_engine(self.address, config)
        )
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Open a transaction that commits when the block ends and rolls back when it raises."""
        async with self._sessions.begin() as session:
            yield session

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Open a session for reading only: nothing in it is committed. What it read stays readable afterwards."""
        async with self._sessions() as session:
            await session.connection(execution_options=_READ_ONLY)
            yield session

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
        await self.engine.dispose()


def async_address(address: URL) -> URL:
    return address.set(drivername="sqlite+aiosqlite" if _is_sqlite(address) else "postgresql+psycopg")


def sync_address(address: URL) -> URL:
    return address.set(drivername="sqlite+pysqlite" if _is_sqlite(address) else "postgresql+psycopg")


def _is_sqlite(address: URL) -> bool:
    return address.get_backend_name() == "sqlite"


def _postgresql_engine(address: URL, config: DatabaseConfig) -> AsyncEngine:
    return create_async_engine(
        async_address(address),
        echo=config.echo_sql,
        pool_size=config.pool_size,
        max_overflow=config.max_overflow,
        pool_timeout=config.pool_timeout,
        pool_recycle=config.pool_recycle,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": 10,
            "application_name": "contexten",
            "options": f"-c statement_timeout={config.query_timeout * 1000} -c timezone=UTC",
        },
    )


def _sqlite_engine(address: URL, config: DatabaseConfig) -> AsyncEngine:
    if address.database:
        Path(address.database).absolute().parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(
        async_address(address),
        echo=config.echo_sql,
        pool_size=config.pool_size,
        max_overflow=config.max_overflow,
        pool_timeout=config.pool_timeout,
        connect_args={"timeout": _SQLITE_BUSY_MILLISECONDS / 1000},
    )
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


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
