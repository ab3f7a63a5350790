"""Databases for tests: a fresh SQLite file, or a fresh database of a PostgreSQL server that this session starts."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from contexten_core.db import Database, migrate
from contexten_core.db.models import metadata
from contexten_core.errors.breaker import BREAKERS
from contexten_core.settings import DatabaseConfig
from deployments.embedded_postgres import EmbeddedPostgres
from deployments.home import Home
from deployments.supervisor import Supervisor

T = TypeVar("T")
_TEMPLATE = "template_contexten"


class _Loop:
    """An event loop in a thread of its own, for what has to outlive single tests."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], *, seconds: float = 60) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture(autouse=True)
def _closed_breakers() -> None:
    """Let no test meet a circuit breaker that another one opened for the same port."""
    BREAKERS.clear()


@pytest.fixture(scope="session")
def postgresql_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("postgresql") / "home")
    home.create()
    return home


@pytest.fixture(scope="session")
def postgresql(postgresql_home: Home) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL server of this test process, with a migrated database to copy."""
    server = EmbeddedPostgres(postgresql_home)
    loop = _Loop()

    async def start() -> Supervisor:
        await server.prepare()
        supervisor = Supervisor()
        await supervisor.start(server.child())
        await server.create_databases(_TEMPLATE, "contexten")
        return supervisor

    supervisor = loop.run(start())
    try:
        migrate.upgrade(DatabaseConfig(url=SecretStr(server.dsn(_TEMPLATE))))
        yield server
    finally:
        loop.run(supervisor.stop())
        server.close()
        loop.close()


_THROWN_AWAY = "fsync", "full_page_writes", "synchronous_commit"


@pytest.fixture(scope="session")
def postgresql_admin(postgresql: EmbeddedPostgres, postgresql_home: Home) -> str:
    """Connection parameters of that server's administrator, who may create databases."""
    host = str(make_url(postgresql.address("postgres")).query["host"])
    password = postgresql_home.secret("postgres-admin")
    admin = psycopg.conninfo.make_conninfo(host=host, dbname="postgres", user="postgres", password=password)
    with psycopg.connect(admin, autocommit=True) as connection:
        for name in _THROWN_AWAY:
            # Each test makes and drops a database, and nobody will need one after a power cut.
            connection.execute(f"ALTER SYSTEM SET {name} = off".encode())
        connection.execute("SELECT pg_reload_conf()")
    return admin


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate.upgrade(DatabaseConfig(use_sqlite=True, sqlite_path=path))
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_config(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DatabaseConfig]:
    """The address of an empty, migrated database; the test runs once on each kind."""
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        path = tmp_path / "contexten.db"
        path.write_bytes(template.read_bytes())
        yield DatabaseConfig(use_sqlite=True, sqlite_path=path)
        return
    spare: SpareDatabase = request.getfixturevalue("spare_database")
    yield DatabaseConfig(url=SecretStr(spare.take()), pool_size=5)
    spare.give_back()


class SpareDatabase:
    """One database of the server, used by one test after the other: emptied, or made anew where its schema changed.

    Making one takes half a second, emptying one a hundredth of that.
    """

    def __init__(self, server: EmbeddedPostgres, admin: str) -> None:
        self._server = server
        self._admin = admin
        self._name: str | None = None
        self._schema = ""

    def take(self) -> str:
        """Return the address of a database that is migrated and empty."""
        if self._name is None:
            self._name = f"test_{uuid4().hex}"
            with psycopg.connect(self._admin, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {self._name} TEMPLATE {_TEMPLATE} OWNER contexten".encode())
            with self._connected() as connection:
                self._schema = _schema_of(connection)
        return self._server.dsn(self._name)

    def give_back(self) -> None:
        """Empty the database, after ending everything that still uses it; one that was changed is dropped."""
        assert self._name is not None
        with psycopg.connect(self._admin, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (self._name,)
            )
        with self._connected() as connection:
            is_as_before = _schema_of(connection) == self._schema
            if is_as_before:
                connection.execute("SET session_replication_role = replica")
                for table in metadata.tables:
                    connection.execute(f"DELETE FROM {table}".encode())
        if not is_as_before:
            self.drop()

    def drop(self) -> None:
        if self._name is not None:
            with psycopg.connect(self._admin, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {self._name} WITH (FORCE)".encode())
            self._name = None

    def _connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        assert self._name is not None
        return psycopg.connect(psycopg.conninfo.make_conninfo(self._admin, dbname=self._name))


def _schema_of(connection: psycopg.Connection[tuple[Any, ...]]) -> str:
    """Return what tells one schema, and the revision that it is at, from another."""
    row = connection.execute(_SCHEMA).fetchone()
    assert row is not None
    revision = connection.execute("SELECT version_num FROM alembic_version").fetchall() if row[1] else []
    return f"{row[0]} {revision}"


_SCHEMA = """
SELECT md5(string_agg(part, '|' ORDER BY part)), to_regclass('alembic_version') IS NOT NULL
FROM (
    SELECT concat_ws(' ', c.oid, c.relname, a.attname, a.atttypid, a.attnotnull) AS part
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0
    UNION ALL SELECT concat_ws(' ', oid, conname, convalidated) FROM pg_constraint
    UNION ALL SELECT concat_ws(' ', indexrelid, indisvalid) FROM pg_index
    UNION ALL SELECT concat_ws(' ', oid, tgname) FROM pg_trigger
    UNION ALL SELECT concat_ws(' ', oid, nspname) FROM pg_namespace WHERE nspname !~ '^pg_'
) AS parts
"""


@pytest.fixture(scope="session")
def spare_database(postgresql: EmbeddedPostgres, postgresql_admin: str) -> Iterator[SpareDatabase]:
    spare = SpareDatabase(postgresql, postgresql_admin)
    yield spare
    spare.drop()


@pytest.fixture
async def database(database_config: DatabaseConfig) -> AsyncIterator[Database]:
    database = Database(database_config)
    yield database
    await database.close()
