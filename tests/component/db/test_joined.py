"""Transactions of many, which do not know of each other, go together, and each is still its own."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import Database
from contexten_core.db.joined import JoinedDatabase
from contexten_core.projects.models import ProjectModel

SOON = 30.0


async def add_project(session: AsyncSession) -> UUID:
    row_id = uuid4()
    session.add(ProjectModel(id=row_id, name=str(row_id), slug=str(row_id)))
    return row_id


async def stored(database: Database) -> set[UUID]:
    async with database.reading() as session:
        return set((await session.execute(select(ProjectModel.id))).scalars())


@contextmanager
def counted_commits(database: Database) -> Iterator[list[None]]:
    commits: list[None] = []

    def note(_: object) -> None:
        commits.append(None)

    event.listen(database.engine.sync_engine, "commit", note)
    try:
        yield commits
    finally:
        event.remove(database.engine.sync_engine, "commit", note)


async def test_what_is_asked_for_at_once_is_one_transaction(database: Database) -> None:
    joined = JoinedDatabase(database)
    with counted_commits(database) as commits:
        async with asyncio.timeout(SOON):
            added = await asyncio.gather(*(joined.transact(add_project) for _ in range(5)))

    assert await stored(database) == set(added)
    assert len(commits) == 1


async def test_what_breaks_one_is_its_own(database: Database) -> None:
    joined = JoinedDatabase(database)

    async def breaks(session: AsyncSession) -> UUID:
        await add_project(session)
        raise ValueError("no")

    async with asyncio.timeout(SOON):
        first, broken, last = await asyncio.gather(
            joined.transact(add_project),
            joined.transact(breaks),
            joined.transact(add_project),
            return_exceptions=True,
        )

    assert isinstance(broken, ValueError)
    assert await stored(database) == {first, last}


async def test_who_is_cancelled_while_it_waits_writes_nothing(database: Database) -> None:
    joined = JoinedDatabase(database)
    async with asyncio.timeout(SOON):
        going, stopped = (asyncio.create_task(joined.transact(add_project)) for _ in range(2))
        await asyncio.sleep(0)
        stopped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopped
        added = await going
    assert await stored(database) == {added}


async def test_who_is_cancelled_while_it_is_written_ends_after_that(database: Database) -> None:
    joined = JoinedDatabase(database)
    is_written, may_go_on = asyncio.Event(), asyncio.Event()

    async def waits(session: AsyncSession) -> UUID:
        is_written.set()
        await may_go_on.wait()
        return await add_project(session)

    async with asyncio.timeout(SOON):
        tasks = [asyncio.create_task(joined.transact(waits)) for _ in range(2)]
        await is_written.wait()
        tasks[0].cancel()
        done, _ = await asyncio.wait(tasks, timeout=0.05)
        assert not done
        may_go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert await tasks[1] in await stored(database)

    async with database.reading() as session:
        assert (await session.execute(select(func.count()).select_from(ProjectModel))).scalar_one() == 2
