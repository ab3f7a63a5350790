"""What many add to is locked last, once for each transaction, and by all in the same order."""

import asyncio
from uuid import UUID, uuid4

import pytest

from contexten_core.db import Database, utc_now
from contexten_core.db.sums import add_up
from contexten_core.projects import store
from contexten_core.projects.models import ProjectModel

SOON = 30.0


@pytest.fixture
async def projects(database: Database) -> list[UUID]:
    ids = sorted(uuid4() for _ in range(2))
    async with database.transaction() as session:
        session.add_all([ProjectModel(id=each, name=str(each), slug=str(each)) for each in ids])
    return ids


async def totals(database: Database, projects: list[UUID]) -> list[tuple[int, bool]]:
    async with database.reading() as session:
        found = [await session.get_one(ProjectModel, project_id) for project_id in projects]
    return [(project.total_tasks, project.last_activity_at is not None) for project in found]


async def test_amounts_are_added_once_for_all_at_the_end(database: Database, projects: list[UUID]) -> None:
    one, other = projects
    async with database.transaction() as session:
        for number in (3, -1, 4):
            await store.count(session, one, {"total_tasks": number}, now=utc_now())
        await store.count(session, other, now=utc_now())
        seen = await session.get_one(ProjectModel, one)
        assert (seen.total_tasks, seen.last_activity_at) == (0, None)

    assert await totals(database, projects) == [(6, True), (0, True)]


async def test_what_is_rolled_back_adds_nothing(database: Database, projects: list[UUID]) -> None:
    async def count_and_break() -> None:
        async with database.transaction() as session:
            await store.count(session, projects[0], {"total_tasks": 3}, now=utc_now())
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await count_and_break()

    assert await totals(database, projects) == [(0, False), (0, False)]


async def test_who_adds_in_opposite_orders_waits_for_nobody_for_ever(database: Database, projects: list[UUID]) -> None:
    async def count(order: list[UUID]) -> None:
        for _ in range(5):
            async with database.transaction() as session:
                for project_id in order:
                    await store.count(session, project_id, {"total_tasks": 1}, now=utc_now())
                    await asyncio.sleep(0)

    async with asyncio.timeout(SOON):
        await asyncio.gather(*(count(order) for order in (projects, projects[::-1]) for _ in range(4)))

    assert await totals(database, projects) == [(40, True)] * 2


async def test_nobody_waits_for_who_will_add_to_a_row(database: Database, projects: list[UUID]) -> None:
    if database.is_sqlite:
        return  # One writer at a time, whatever they write.
    async with asyncio.timeout(SOON), database.transaction() as slow:
        await store.count(slow, projects[0], {"total_tasks": 1}, now=utc_now())
        async with database.transaction() as quick:
            await store.count(quick, projects[0], {"total_tasks": 1}, now=utc_now())

    assert await totals(database, projects) == [(2, True), (0, False)]


async def test_a_session_without_a_transaction_of_ours_adds_at_once(database: Database) -> None:
    added: list[float] = []

    async def add(_: object, amounts: object) -> None:
        added.append(dict(amounts)["n"])  # type: ignore[call-overload]

    async with database.reading() as session:
        await add_up(session, "rows", 1, amounts={"n": 2}, add=add)
        await add_up(session, "rows", 1, amounts={"n": 3}, add=add)

    assert added == [2, 3]
