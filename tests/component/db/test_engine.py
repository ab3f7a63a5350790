import asyncio
import time
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from contexten_core.db import Database, utc_now
from contexten_core.db.insert import insert_once
from contexten_core.errors import ConflictError, is_transient
from contexten_core.events.models import RunModel
from contexten_core.projects import store
from contexten_core.projects.models import ProjectModel
from contexten_core.settings import DatabaseConfig

WRITERS = 20
TIMES = 5


async def _add_project(database: Database, slug: str = "cashbox") -> UUID:
    async with database.transaction() as session:
        project = ProjectModel(id=uuid4(), name=slug, slug=slug)
        session.add(project)
    return project.id


async def _total(database: Database, project_id: UUID) -> int:
    async with database.reading() as session:
        project = await store.get(session, project_id)
    assert project is not None
    return project.total_tasks


async def test_twenty_writers_of_one_row_lose_no_update(database_config: DatabaseConfig, database: Database) -> None:
    other = Database(database_config)
    project_id = await _add_project(database)

    async def write(mine: Database) -> None:
        for _ in range(TIMES):
            async with mine.transaction() as session:
                project = await store.get(session, project_id, lock=True)
                assert project is not None
                seen = project.total_tasks
                await asyncio.sleep(0)
                project.total_tasks = seen + 1

    try:
        await asyncio.gather(*(write(database if number % 2 else other) for number in range(WRITERS)))
    finally:
        await other.close()

    assert await _total(database, project_id) == WRITERS * TIMES


async def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    project_id = await _add_project(database)
    async with database.transaction() as session:
        project = await store.get(session, project_id, lock=True)
        assert project is not None
        project.total_tasks = 7
        await session.flush()
        async with asyncio.timeout(30):
            assert await _total(database, project_id) == 0

    assert await _total(database, project_id) == 7


async def test_a_transaction_that_raises_leaves_nothing(database: Database) -> None:
    async def write_and_break() -> None:
        async with database.transaction() as session:
            session.add(ProjectModel(name="cashbox", slug="cashbox"))
            await session.flush()
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await write_and_break()
    async with database.reading() as session:
        assert await store.by_slug(session, "cashbox") is None


async def test_what_is_written_while_reading_is_not_kept(database: Database) -> None:
    async with database.reading() as session:
        session.add(ProjectModel(name="cashbox", slug="cashbox"))
        await session.flush()
    async with database.reading() as session:
        assert await store.by_slug(session, "cashbox") is None


async def test_what_was_read_can_be_read_when_the_session_is_over(database: Database) -> None:
    project_id = await _add_project(database)
    async with database.transaction() as session:
        project = await store.get(session, project_id)

    assert project is not None
    assert project.to_dict()["slug"] == "cashbox"
    assert project.to_dict()["created_at"].endswith("+00:00")


async def test_a_row_for_something_that_does_not_exist_is_refused(database: Database) -> None:
    with pytest.raises(IntegrityError):
        async with database.transaction() as session:
            session.add(RunModel(name="run", event_id=uuid4(), attempt=1, started_at=utc_now()))


async def test_of_many_that_insert_the_same_one_does(database: Database) -> None:
    async def insert() -> UUID | None:
        values = {"id": uuid4(), "name": "cashbox", "slug": "cashbox"}
        async with database.transaction() as session:
            return await insert_once(session, ProjectModel, values, unique=("slug",))

    inserted = await asyncio.gather(*(insert() for _ in range(10)))
    (winner,) = [project_id for project_id in inserted if project_id is not None]
    async with database.reading() as session:
        project = await store.by_slug(session, "cashbox")
    assert project is not None
    assert (project.id, project.total_tasks) == (winner, 0)
    assert project.created_at.tzinfo is UTC


async def test_the_clock_is_aware_and_goes_on_within_a_transaction(database: Database) -> None:
    async with database.transaction() as session:
        first = await database.now(session)
        await asyncio.sleep(0.01)
        second = await database.now(session)

    assert timedelta(milliseconds=10) <= second - first < timedelta(seconds=30)
    assert abs(second - utc_now()) < timedelta(seconds=30)
    assert second.utcoffset() == timedelta(0)


async def test_a_database_that_answers(database: Database) -> None:
    await database.ping()


async def test_what_is_in_use_when_it_is_closed_is_closed_afterwards(database: Database) -> None:
    async with database.transaction() as session:
        session.add(ProjectModel(id=uuid4(), name="late", slug="late"))
        await session.flush()
        raw = await (await session.connection()).get_raw_connection()
        driver: Any = raw.driver_connection
        await database.close()

    is_closed = driver.closed if isinstance(driver, psycopg.AsyncConnection) else not driver._running
    assert is_closed


async def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    nowhere = Database(DatabaseConfig(host=str(tmp_path), name="ci", user="ci", password=SecretStr("hunter2")))
    try:
        with pytest.raises(SQLAlchemyError) as caught:
            await nowhere.ping()
    finally:
        await nowhere.close()

    assert is_transient(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_sqlite_keeps_what_it_has_promised(tmp_path: Path) -> None:
    database = Database(DatabaseConfig(use_sqlite=True, sqlite_path=tmp_path / "new folder/contexten.db"))
    try:
        async with database.reading() as session:
            found = {
                pragma: (await session.execute(text(f"PRAGMA {pragma}"))).scalar_one()
                for pragma in ("journal_mode", "synchronous", "foreign_keys")
            }
    finally:
        await database.close()

    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


@pytest.mark.parametrize("database_config", ["postgresql"], indirect=True)
async def test_a_statement_that_takes_too_long_is_ended(database_config: DatabaseConfig) -> None:
    database = Database(database_config.model_copy(update={"query_timeout": 1}))
    started_at = time.monotonic()
    try:
        with pytest.raises(OperationalError):
            async with database.reading() as session:
                await session.execute(text("SELECT pg_sleep(30)"))
    finally:
        await database.close()

    assert time.monotonic() - started_at < 20


async def test_whoever_would_wait_for_itself_is_told(tmp_path: Path) -> None:
    database = Database(DatabaseConfig(use_sqlite=True, sqlite_path=tmp_path / "one.db"))

    async def write() -> None:
        async with database.transaction() as session:
            await session.execute(text("SELECT 1"))

    async with database.transaction():
        with pytest.raises(ConflictError, match="would wait for itself"):
            await write()
        with pytest.raises(ConflictError, match="would wait for itself"):
            await asyncio.create_task(write())
    await write()
    await database.close()


async def test_a_task_that_outlives_the_transaction_it_began_in_takes_its_turn(tmp_path: Path) -> None:
    database = Database(DatabaseConfig(use_sqlite=True, sqlite_path=tmp_path / "one.db"))
    ended = asyncio.Event()

    async def write_afterwards() -> None:
        await ended.wait()
        async with database.transaction() as session:
            await session.execute(text("SELECT 1"))

    async with database.transaction():
        task = asyncio.create_task(write_afterwards())
    async with database.transaction():
        ended.set()
        await asyncio.sleep(0.01)
    await task
    await database.close()


async def test_a_connection_left_in_the_midst_of_a_statement_is_lent_to_nobody(database: Database) -> None:
    if database.is_sqlite:
        return
    for _ in range(database.engine.pool.size()):  # type: ignore[attr-defined]  # of a queue
        async with database.engine.connect() as connection:
            raw = await connection.get_raw_connection()
            assert raw.driver_connection is not None
            raw.driver_connection.pgconn.send_query(b"SELECT pg_sleep(60)")

    async with asyncio.timeout(30):
        await database.ping()
