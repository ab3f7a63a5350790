import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.sql import ClauseElement

from contexten_core.db import Database
from contexten_core.errors import store
from contexten_core.errors.classify import classify
from contexten_core.errors.describe import ErrorRecord, describe
from contexten_core.errors.models import ErrorCountModel, ErrorModel
from contexten_core.settings import DatabaseConfig

NOW = datetime(2026, 1, 7, 10, 0, tzinfo=UTC)


def record(error: Exception | None = None, *, at: datetime = NOW, **context: Any) -> ErrorRecord:
    failed = error or ValueError("x")
    return describe(failed, context, classification=classify(failed), component=None, now=at)


async def _counts(database: Database) -> dict[str, int]:
    async with database.reading() as session:
        rows = await session.execute(select(ErrorCountModel.day, ErrorCountModel.name, ErrorCountModel.count))
        return {f"{day} {name}": count for day, name, count in rows.tuples()}


async def _kept(database: Database) -> int:
    async with database.reading() as session:
        return (await session.execute(select(func.count()).select_from(ErrorModel))).scalar_one()


async def test_an_error_is_kept_as_it_was_and_counted_on_its_day(database: Database) -> None:
    one = replace(
        record(repository="acme/cashbox", text="a\x00b"),
        recovery_attempted=True,
        recovery_details={"success": False, "strategy": "api_timeout"},
    )

    async with database.transaction() as session:
        await store.add(session, [one, record(at=NOW - timedelta(days=1)), record(KeyError("x"))])
    async with database.reading() as session:
        row = await store.get(session, one.error_id)

    assert row is not None
    assert (row.name, row.message, row.created_at, row.occurred_at) == ("ValueError", "x", NOW, NOW)
    assert row.context == {"repository": "acme/cashbox", "text": "a�b"}
    assert row.recovery_details == {"success": False, "strategy": "api_timeout"}
    assert await _counts(database) == {
        "2026-01-06 validation:ValueError": 1,
        "2026-01-07 validation:ValueError": 1,
        "2026-01-07 validation:KeyError": 1,
    }


async def test_an_error_that_is_stored_twice_is_counted_once(database: Database) -> None:
    one = record()
    for _ in range(2):
        async with database.transaction() as session:
            await store.add(session, [one, one])

    assert await _kept(database) == 1
    assert await _counts(database) == {"2026-01-07 validation:ValueError": 1}


async def test_fifty_writers_lose_no_count_and_never_wait_for_each_other_in_a_circle(
    database_config: DatabaseConfig, database: Database
) -> None:
    other = Database(database_config)
    errors = [ValueError("x"), KeyError("x"), TypeError("x"), TimeoutError()]

    async def write(number: int) -> None:
        mixed = [record(errors[(number + shift) % 4]) for shift in range(4)]
        async with (other if number % 2 else database).transaction() as session:
            await store.add(session, mixed if number % 3 else mixed[::-1])

    try:
        await asyncio.gather(*(write(number) for number in range(50)))
    finally:
        await other.close()

    assert await _kept(database) == 200
    assert set((await _counts(database)).values()) == {50}


async def test_old_errors_are_deleted_in_batches_the_oldest_first(database: Database) -> None:
    old = [record(at=NOW - timedelta(days=number)) for number in range(1, 6)]
    async with database.transaction() as session:
        await store.add(session, [record(), *old])

    async with database.transaction() as session:
        assert await store.delete_older(session, before=NOW, limit=3) == 3
    async with database.reading() as session:
        assert await store.get(session, old[0].error_id) is not None
        assert await store.get(session, old[4].error_id) is None
    async with database.transaction() as session:
        assert await store.delete_older(session, before=NOW, limit=3) == 2

    assert await _kept(database) == 1
    assert sum((await _counts(database)).values()) == 6


async def _plan(database: Database, statement: ClauseElement) -> str:
    words = statement.compile(dialect=database.engine.dialect, compile_kwargs={"literal_binds": True})
    explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
    async with database.reading() as session:
        rows = await session.execute(text(f"{explain} {words}".replace(":", r"\:")))
        return "\n".join(str(row[-1]) for row in rows)


@pytest.fixture
async def filled(database: Database) -> Database:
    """A database with enough errors for its planner to care."""
    row = store._row(record())
    rows = [
        row | {"id": uuid4(), "error_id": f"err_{number}", "created_at": NOW - timedelta(seconds=number)}
        for number in range(2_000)
    ]
    async with database.transaction() as session:
        await session.execute(insert(ErrorModel), rows)
        await store.add(session, [record(at=NOW + timedelta(seconds=1))])
    async with database.transaction() as session:
        await session.execute(text("ANALYZE"))
    return database


async def test_the_last_errors_are_found_by_their_index(filled: Database) -> None:
    plan = await _plan(filled, store.recent_statement())

    assert "ix_errors_created_at" in plan
    assert "Seq Scan on errors" not in plan
    assert "SCAN errors\n" not in f"{plan}\n"


@pytest.mark.parametrize("statement", [store.kinds_statement(), store.patterns_statement()], ids=["kinds", "patterns"])
async def test_the_counts_are_read_without_looking_at_the_errors(filled: Database, statement: ClauseElement) -> None:
    plan = await _plan(filled, statement)

    assert "error_counts" in plan
    assert "errors" not in plan


async def test_old_errors_are_found_by_their_index(filled: Database) -> None:
    plan = await _plan(filled, store.older_statement(before=NOW - timedelta(minutes=30), limit=100))

    assert "ix_errors_created_at" in plan
