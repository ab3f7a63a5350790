"""Bring a database to the newest revision. Safe to call from several processes at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from contexten_core.db.engine import sync_address
from contexten_core.db.models import metadata
from contexten_core.settings import DatabaseConfig

# Any number will do as long as nothing else in the same database uses it.
_ADVISORY_LOCK = 4_171_021


def upgrade(config: DatabaseConfig, revision: str = "head") -> None:
    """Apply the migrations up to `revision`, one process at a time; the others wait and then find nothing to do."""
    with _locked_connection(config) as connection:
        command.upgrade(_alembic(connection), revision)


def downgrade(config: DatabaseConfig, revision: str) -> None:
    """Take back the migrations after `revision`; data that only they had room for is lost."""
    with _locked_connection(config) as connection:
        command.downgrade(_alembic(connection), revision)


def current_revision(config: DatabaseConfig) -> str | None:
    """Return the revision that the database is at, or None when it is empty."""
    with _locked_connection(config) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def newest_revision() -> str | None:
    return ScriptDirectory.from_config(_alembic(None)).get_current_head()


def differences(config: DatabaseConfig) -> list[Any]:
    """Return how the tables of a migrated database differ from the models: nothing, when all is well."""
    with _locked_connection(config) as connection:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))


def _alembic(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


@contextmanager
def _locked_connection(config: DatabaseConfig) -> Iterator[Connection]:
    address = sync_address(config.address)
    if address.get_backend_name() == "sqlite":
        if address.database:
            Path(address.database).absolute().parent.mkdir(parents=True, exist_ok=True)
        arguments: dict[str, Any] = {"timeout": config.migration_timeout, "isolation_level": None}
        lock = "BEGIN IMMEDIATE"
    else:
        arguments = {"connect_timeout": 10, "options": f"-c lock_timeout={config.migration_timeout * 1000}"}
        lock = f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"
    engine = create_engine(address, poolclass=NullPool, connect_args=arguments)
    try:
        with engine.begin() as connection:
            connection.execute(text(lock))
            yield connection
    finally:
        engine.dispose()
