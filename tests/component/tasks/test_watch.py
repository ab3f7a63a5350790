import asyncio
from uuid import UUID

import pytest

from contexten_core.db import Database, utc_now
from contexten_core.tasks import store
from contexten_core.tasks.change import change_status, create_task
from contexten_core.tasks.inputs import TaskCreate
from contexten_core.tasks.models import TaskStatus, TaskType
from contexten_core.tasks.watch import unless_ended

NEVER = 3600.0


@pytest.fixture
async def task_id(database: Database) -> UUID:
    async with database.transaction() as session:
        given = TaskCreate(name="Fix it", task_type=TaskType.BUG_FIX, status=TaskStatus.IN_PROGRESS)
        task, _ = await create_task(session, given)
        return task.id


async def _end(database: Database, task_id: UUID) -> None:
    async with database.transaction() as session:
        task = await store.get(session, task_id, lock=True)
        assert task is not None
        await change_status(session, task, TaskStatus.CANCELLED, now=utc_now())


async def test_work_whose_task_goes_on_is_done(database: Database, task_id: UUID) -> None:
    async def work() -> str:
        await asyncio.sleep(0.02)
        return "done"

    assert await unless_ended(database, task_id, work(), every=0.005) == "done"


async def test_work_whose_task_was_ended_is_stopped(database: Database, task_id: UUID) -> None:
    cleaned_up = asyncio.Event()

    async def work() -> str:
        try:
            await _end(database, task_id)
            await asyncio.sleep(NEVER)
        finally:
            cleaned_up.set()
        return "done"

    assert await unless_ended(database, task_id, work(), every=0.005) is None
    assert cleaned_up.is_set()


async def test_what_goes_wrong_in_it_is_told(database: Database, task_id: UUID) -> None:
    async def work() -> None:
        raise ValueError("it broke")

    with pytest.raises(ValueError, match="it broke"):
        await unless_ended(database, task_id, work(), every=NEVER)


async def test_work_is_stopped_with_whoever_waits_for_it(database: Database, task_id: UUID) -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.sleep(NEVER)
        finally:
            stopped.set()

    waiting = asyncio.ensure_future(unless_ended(database, task_id, work(), every=NEVER))
    await started.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert stopped.is_set()
