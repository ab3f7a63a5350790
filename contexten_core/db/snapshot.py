"""Read a database as it is at one moment, without keeping anybody from writing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

from contexten_core.db.engine import sync_address
from contexten_core.errors.base import NotFoundError
from contexten_core.settings import DatabaseConfig

_CONNECT_SECONDS = 10
_BUSY_SECONDS = 30


@contextmanager
def snapshot(config: DatabaseConfig) -> Iterator[Connection]:
    """Open a connection that only reads, and that sees none of what others commit meanwhile.

    Raises:
        NotFoundError: there is no such SQLite file; none is made.
    """
    address = sync_address(config.address)
    if address.get_backend_name() == "sqlite":
        if not address.database or not Path(address.database).exists():
            raise NotFoundError(
                f"there is no database {address.database}", hint="`contexten db upgrade` makes one, as `serve` does"
            )
        engine = create_engine(
            address, poolclass=NullPool, connect_args={"timeout": _BUSY_SECONDS, "isolation_level": None}
        )
    else:
        engine = create_engine(
            address,
            poolclass=NullPool,
            isolation_level="REPEATABLE READ",
            connect_args={
                "connect_timeout": _CONNECT_SECONDS,
                "application_name": "contexten",
                "options": "-c default_transaction_read_only=on -c timezone=UTC",
            },
        )
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA query_only=ON")
                connection.exec_driver_sql("BEGIN")
            yield connection
    finally:
        engine.dispose()
