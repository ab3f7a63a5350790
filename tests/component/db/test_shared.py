"""Several share one transaction, each as if it had its own: what one writes the others read, and all goes together."""

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import Database
from contexten_core.db.shared import SharedDatabase, ask, load, share
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


class Question:
    """A question that remembers for whom it was asked; of the number 13 it knows nothing."""

    def __init__(self) -> None:
        self.asked: list[Sequence[int]] = []

    async def __call__(self, session: AsyncSession, keys: Sequence[int]) -> dict[int, int]:
        self.asked.append(sorted(keys))
        await session.execute(text("SELECT 1"))
        return {key: 2 * key for key in keys if key != 13}


async def test_what_all_ask_is_asked_once(database: Database) -> None:
    question = Question()

    async def work(number: int, shared: SharedDatabase) -> tuple[int | None, int | None]:
        async with shared.transaction() as session:
            first = await ask(session, question, number)
            return first, await ask(session, question, 7)

    works = [lambda shared, number=number: work(number, shared) for number in (1, 2, 13)]
    async with asyncio.timeout(SOON):
        assert await share(database, works) == [(2, 14), (4, 14), (None, 14)]

    assert question.asked == [[1, 2, 13], [7]]


async def test_who_asks_nothing_keeps_nobody_waiting(database: Database) -> None:
    question = Question()

    async def asks(shared: SharedDatabase) -> int | None:
        async with shared.transaction() as session:
            return await ask(session, question, 5)

    async def is_done_at_once(_: SharedDatabase) -> int | None:
        return None

    async def writes_only(shared: SharedDatabase) -> int | None:
        await add_project(shared)
        return None

    async with asyncio.timeout(SOON):
        assert await share(database, [asks, is_done_at_once, writes_only]) == [10, None, None]


async def test_one_alone_asks_for_itself(database: Database) -> None:
    question = Question()
    async with database.reading() as session:
        assert await ask(session, question, 3) == 6
        assert await ask(session, question, 13) is None

    assert question.asked == [[3], [13]]


async def test_a_question_that_cannot_be_answered_breaks_it_for_all(database: Database) -> None:
    async def refuse(_: AsyncSession, keys: Sequence[int]) -> dict[int, int]:
        raise ValueError(f"no answer for {len(keys)}")

    async def work(shared: SharedDatabase) -> None:
        await add_project(shared)
        async with shared.transaction() as session:
            await ask(session, refuse, 1)

    async with asyncio.timeout(SOON):
        with pytest.raises(ExceptionGroup) as caught:
            await share(database, [work, work])

    assert [str(error) for error in caught.value.exceptions] == ["no answer for 1"]
    assert await count(database) == 0


async def test_rows_are_loaded_together(database: Database) -> None:
    ids = [uuid4(), uuid4()]
    async with database.transaction() as session:
        session.add_all(ProjectModel(id=row_id, name=str(row_id), slug=str(row_id)) for row_id in ids)

    async def name_of(row_id: UUID, shared: SharedDatabase) -> str | None:
        async with shared.transaction() as session:
            found = await load(session, ProjectModel, row_id)
            assert found is await load(session, ProjectModel, row_id)
            return None if found is None else found.name

    works = [lambda shared, row_id=row_id: name_of(row_id, shared) for row_id in (*ids, uuid4())]
    async with asyncio.timeout(SOON):
        assert await share(database, works) == [str(ids[0]), str(ids[1]), None]
