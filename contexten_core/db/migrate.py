"""Bring a database to a revision. Safe to call from several processes at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.pool import NullPool

from contexten_core.db.engine import sync_address
from contexten_core.db.models import metadata
from contexten_core.errors.base import ConfigurationError, ConflictError, NotFoundError
from contexten_core.settings import DatabaseConfig

HEAD = "head"
BASE = "base"
# Any number will do as long as nothing else in the same database uses it.
_ADVISORY_LOCK = 4_171_021


def upgrade(config: DatabaseConfig, revision: str = HEAD) -> None:
    """Apply the migrations up to `revision`, one process at a time; the others wait and then find nothing to do.

    Raises:
        NotFoundError: there is no such revision.
        ConflictError: the database is beyond that revision.
        ConfigurationError: the database is of a newer Contexten.
    """
    with locked(config) as connection:
        upgrade_on(connection, revision)


def downgrade(config: DatabaseConfig, revision: str) -> None:
    """Take back the migrations after `revision`; data that only they had room for is lost.

    Raises:
        NotFoundError: there is no such revision.
        ConflictError: the database has not come that far.
        ConfigurationError: the database is of a newer Contexten.
    """
    with locked(config) as connection:
        downgrade_on(connection, revision)


def upgrade_on(connection: Connection, revision: str = HEAD) -> None:
    """Do what `upgrade` does, in the transaction of this connection."""
    wanted, position = _position(revision), position_of(connection)
    if wanted < position:
        raise ConflictError(
            f"the database is at revision {revision_of(connection)}, which is beyond {revision}",
            hint=f"`contexten db downgrade {revision}` goes back, and loses what later revisions made room for",
        )
    if wanted > position:
        command.upgrade(_alembic(connection), revision)


def downgrade_on(connection: Connection, revision: str) -> None:
    """Do what `downgrade` does, in the transaction of this connection."""
    wanted, position = _position(revision), position_of(connection)
    if wanted > position:
        raise ConflictError(
            f"the database is at revision {revision_of(connection) or BASE}, which is before {revision}",
            hint=f"`contexten db upgrade {revision}` goes forward",
        )
    if wanted < position:
        command.downgrade(_alembic(connection), revision)


def current_revision(config: DatabaseConfig) -> str | None:
    """Return the revision that the database is at, or None when it is empty."""
    with locked(config) as connection:
        return revision_of(connection)


def revision_of(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def position_of(connection: Connection) -> int:
    """Return how many migrations the database has behind it.

    Raises:
        ConfigurationError: the database is at a revision that this program does not know.
    """
    revision = revision_of(connection)
    if revision is None:
        return 0
    if revision not in known_revisions():
        raise ConfigurationError(
            f"the database is at revision {revision}, which this version of Contexten does not know",
            hint="run the newer Contexten that migrated it, or restore a backup that was made before",
        )
    return _position(revision)


def newest_revision() -> str | None:
    return ScriptDirectory.from_config(_alembic(None)).get_current_head()


def known_revisions() -> list[str]:
    """Return every revision, the oldest first."""
    scripts = ScriptDirectory.from_config(_alembic(None))
    return [script.revision for script in scripts.walk_revisions()][::-1]


def differences(config: DatabaseConfig) -> list[Any]:
    """Return how the tables of a migrated database differ from the models: nothing, when all is well."""
    with locked(config) as connection:
        return differences_on(connection)


def differences_on(connection: Connection) -> list[Any]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


@contextmanager
def locked(config: DatabaseConfig) -> Iterator[Connection]:
    """Open a transaction that only one process at a time can have, and that commits when the block ends.

    Other transactions go on. On SQLite foreign keys are not enforced in it, since a migration replaces whole tables.
    """
    address = sync_address(config.address)
    if address.get_backend_name() == "sqlite":
        if address.database:
            Path(address.database).absolute().parent.mkdir(parents=True, exist_ok=True)
        arguments: dict[str, Any] = {"timeout": config.migration_timeout, "isolation_level": None}
        lock = "BEGIN IMMEDIATE"
    else:
        arguments = {
            "connect_timeout": 10,
            "options": f"-c lock_timeout={config.migration_timeout * 1000} -c timezone=UTC",
        }
        lock = f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"
    engine = create_engine(address, poolclass=NullPool, connect_args=arguments)
    if engine.dialect.name == "sqlite":
        # Readers and the writer get along from the first connection on; it cannot be set in a transaction.
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA journal_mode=WAL"))
    try:
        with engine.begin() as connection:
            connection.execute(text(lock))
            yield connection
    finally:
        engine.dispose()


def _position(revision: str) -> int:
    known = known_revisions()
    ends = {BASE: 0, HEAD: len(known)}
    if revision in ends:
        return ends[revision]
    if revision not in known:
        everything = ", ".join([BASE, *known, HEAD])
        raise NotFoundError(f"there is no revision {revision!r}", hint=f"there are {everything}")
    return known.index(revision) + 1


def _alembic(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
