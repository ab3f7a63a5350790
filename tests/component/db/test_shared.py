"""Several share one transaction, each as if it had its own: what one writes the others read, and all goes together."""

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import func, select, text

from contexten_core.db import Database
from contexten_core.db.shared import SharedDatabase
from contexten_core.projects.models import ProjectModel

SOON = 30.0


async def add_project(database: Database) -> None:
    async with database.transaction() as session:
        slug = str(uuid4())
        session.add(ProjectModel(id=uuid4(), name=slug, slug=slug))


async def count(database: Database) -> int:
    async with database.reading() as session:
        return (await session.execute(select(func.count()).select_from(ProjectModel))).scalar_one()


async def test_what_all_wrote_with_their_last_transaction_is_read_in_the_next(database: Database) -> None:
    shared = SharedDatabase(database, sharing=3)
    seen = []

    async def member() -> None:
        await add_project(shared)
        await add_project(shared)
        seen.append(await count(shared))
        await shared.leave()

    async with asyncio.timeout(SOON), shared.whole(), asyncio.TaskGroup() as members:
        for _ in range(3):
            members.create_task(member())

    assert seen == [6, 6, 6]
    assert await count(database) == 6


async def test_nothing_is_kept_when_one_breaks(database: Database) -> None:
    async def share() -> None:
        shared = SharedDatabase(database, sharing=1)
        async with shared.whole():
            await add_project(shared)
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await share()

    assert await count(database) == 0


async def test_who_is_made_to_leave_does_not_disturb_who_uses_the_session(database: Database) -> None:
    shared = SharedDatabase(database, sharing=2)
    is_asking = asyncio.Event()
    wait = text("SELECT 1" if database.is_sqlite else "SELECT 1 FROM pg_sleep(0.3)")

    async def asks() -> int:
        await add_project(shared)
        async with shared.reading() as session:
            is_asking.set()
            return int((await session.execute(wait)).scalar_one())

    async def waits() -> None:
        try:
            await add_project(shared)
            await add_project(shared)
        finally:
            await shared.leave()

    async with asyncio.timeout(SOON), shared.whole():
        asking, waiting = asyncio.create_task(asks()), asyncio.create_task(waits())
        await is_asking.wait()
        waiting.cancel()
        assert await asking == 1
        await asyncio.gather(waiting, return_exceptions=True)

    assert await count(database) >= 2
