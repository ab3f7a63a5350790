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


@pytest.fixture(scope="session")
def postgresql_admin(postgresql: EmbeddedPostgres, postgresql_home: Home) -> str:
    """Connection parameters of that server's administrator, who may create databases."""
    host = str(make_url(postgresql.address("postgres")).query["host"])
    password = postgresql_home.secret("postgres-admin")
    return psycopg.conninfo.make_conninfo(host=host, dbname="postgres", user="postgres", password=password)


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
    server: EmbeddedPostgres = request.getfixturevalue("postgresql")
    name = f"test_{uuid4().hex}"
    admin: str = request.getfixturevalue("postgresql_admin")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} OWNER contexten".encode())
    yield DatabaseConfig(url=SecretStr(server.dsn(name)), pool_size=5)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
async def database(database_config: DatabaseConfig) -> AsyncIterator[Database]:
    database = Database(database_config)
    yield database
    await database.close()
