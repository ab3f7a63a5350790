"""Dependencies between tasks in a real database."""

import asyncio
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from contexten_core.db import Database
from contexten_core.errors import ConflictError, DependencyError, InvalidInputError, NotFoundError
from contexten_core.inputs import checked
from contexten_core.tasks import dependencies
from contexten_core.tasks.change import create_task, delete_task, update_task
from contexten_core.tasks.dependencies import (
    add_dependency,
    dependencies_of,
    ready_tasks,
    remove_dependency,
    unmet,
)
from contexten_core.tasks.inputs import DependencyCreate, TaskCreate, TaskUpdate
from contexten_core.tasks.models import TaskDependencyModel, TaskModel

NOBODY = UUID("ffffffff-ffff-4fff-bfff-ffffffffffff")


async def create(database: Database, name: str = "task", **fields: Any) -> UUID:
    async with database.transaction() as session:
        task, _ = await create_task(session, checked(TaskCreate, {"name": name, "task_type": "testing", **fields}))
    return task.id


async def walk(database: Database, task_id: UUID, *statuses: str) -> None:
    for status in statuses:
        async with database.transaction() as session:
            await update_task(session, task_id, checked(TaskUpdate, {"status": status}))


async def depend(database: Database, task_id: UUID, other_id: UUID, **fields: Any) -> TaskDependencyModel:
    data = checked(DependencyCreate, {"depends_on_task_id": str(other_id), **fields})
    async with database.transaction() as session:
        return await add_dependency(session, task_id, data)


async def waits_for(database: Database, task_id: UUID) -> list[UUID]:
    async with database.reading() as session:
        return [task.id for task in await unmet(session, task_id)]


async def test_a_dependency_is_kept_as_it_was_given(database: Database) -> None:
    task_id, first, second = [await create(database) for _ in range(3)]
    await depend(database, task_id, first)
    await depend(database, task_id, second, dependency_type="informs", is_hard_dependency=False, name="Read the report")
    async with database.reading() as session:
        hard, soft = await dependencies_of(session, task_id)

    assert (hard.task_id, hard.depends_on_task_id) == (task_id, first)
    assert (hard.name, hard.dependency_type, hard.is_hard_dependency) == ("blocks", "blocks", True)
    assert (soft.name, soft.dependency_type, soft.is_hard_dependency) == ("Read the report", "informs", False)
    assert await waits_for(database, task_id) == [first]


async def test_a_task_waits_for_its_hard_dependencies(database: Database) -> None:
    task_id, other_id = await create(database, "Deploy"), await create(database, "Run the\nchecks")
    await depend(database, task_id, other_id)
    await walk(database, other_id, "in_progress", "failed")
    with pytest.raises(DependencyError) as refused:
        await walk(database, task_id, "in_progress")

    assert refused.value.message == (
        f"task {task_id} cannot start before what it depends on is completed: {other_id} (Run the checks, failed)"
    )
    assert refused.value.status == 409

    await walk(database, other_id, "in_progress", "completed")
    assert await waits_for(database, task_id) == []
    await walk(database, task_id, "in_progress", "completed")


async def test_a_soft_dependency_holds_nothing_up(database: Database) -> None:
    task_id, other_id = await create(database), await create(database)
    await depend(database, task_id, other_id, is_hard_dependency=False)

    await walk(database, task_id, "in_progress", "completed")


async def test_a_task_that_waits_can_still_be_given_up(database: Database) -> None:
    task_id, other_id = await create(database), await create(database)
    await depend(database, task_id, other_id)

    await walk(database, task_id, "paused", "failed", "cancelled", "pending")


async def test_a_task_is_not_completed_before_what_it_depends_on(database: Database) -> None:
    task_id, others = await create(database, status="in_progress"), [await create(database) for _ in range(7)]
    async with database.transaction() as session:
        session.add_all(
            TaskDependencyModel(name="blocks", task_id=task_id, depends_on_task_id=other_id) for other_id in others
        )
    with pytest.raises(DependencyError, match=rf"cannot be completed before .* {others[0]} .*, and more$") as refused:
        await walk(database, task_id, "completed")

    assert refused.value.message.count("(task, pending)") == 5


async def test_a_task_that_has_started_can_no_longer_begin_to_wait(database: Database) -> None:
    task_id, other_id, done_id = [await create(database) for _ in range(3)]
    await walk(database, task_id, "in_progress")
    await walk(database, done_id, "in_progress", "completed")
    with pytest.raises(DependencyError, match=f"^task {task_id} is in_progress and can no longer wait") as refused:
        await depend(database, task_id, other_id)

    assert refused.value.hint == "pause the task first, or make the dependency soft"
    await depend(database, task_id, done_id)
    await depend(database, task_id, other_id, is_hard_dependency=False)


async def test_a_task_cannot_depend_on_itself(database: Database) -> None:
    task_id = await create(database)
    with pytest.raises(DependencyError, match=f"^task {task_id} cannot depend on itself$"):
        await depend(database, task_id, task_id)


async def test_a_circle_is_refused_and_shown(database: Database) -> None:
    a, b, c, aside = [await create(database) for _ in range(4)]
    await depend(database, a, b)
    await depend(database, b, c, is_hard_dependency=False)
    await depend(database, b, aside)
    with pytest.raises(DependencyError) as refused:
        await depend(database, c, a)

    assert refused.value.message == (
        f"task {c} cannot depend on task {a}, which depends on it: {c} -> {a} -> {b} -> {c}"
    )
    await depend(database, a, c)
    await depend(database, aside, c)


async def test_a_long_circle_is_shown_in_part(database: Database) -> None:
    chain = [await create(database) for _ in range(30)]
    for task_id, other_id in pairwise(chain):
        await depend(database, task_id, other_id)
    with pytest.raises(DependencyError) as refused:
        await depend(database, chain[-1], chain[0])

    assert refused.value.message.count(" -> ") == 20
    assert " -> … -> " in refused.value.message


async def test_two_that_would_close_a_circle_at_the_same_time(database: Database) -> None:
    ring = [await create(database) for _ in range(6)]
    ends = await asyncio.gather(
        *(depend(database, task_id, ring[position - 1]) for position, task_id in enumerate(ring)),
        return_exceptions=True,
    )

    assert [type(end) for end in ends if not isinstance(end, TaskDependencyModel)] == [DependencyError]


async def test_where_too_much_lies_behind_no_circle_is_looked_for(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dependencies, "MOST_BEHIND", 2)
    chain = [await create(database) for _ in range(5)]
    for task_id, other_id in [(chain[3], chain[4]), (chain[2], chain[3]), (chain[1], chain[2])]:
        await depend(database, task_id, other_id)
    with pytest.raises(DependencyError, match="more than 2 dependencies behind it"):
        await depend(database, chain[0], chain[1])


async def test_many_ways_to_the_same_tasks_are_looked_at_once(database: Database) -> None:
    layers = [[await create(database) for _ in range(3)] for _ in range(12)]
    async with database.transaction() as session:
        session.add_all(
            TaskDependencyModel(name="blocks", task_id=task_id, depends_on_task_id=other_id)
            for above, below in pairwise(layers)
            for task_id in above
            for other_id in below
        )
    with pytest.raises(DependencyError, match="which depends on it"):
        await depend(database, layers[-1][0], layers[0][0])


async def test_the_same_dependency_twice_is_a_conflict(database: Database) -> None:
    task_id, other_id = await create(database), await create(database)
    ends = await asyncio.gather(*(depend(database, task_id, other_id) for _ in range(2)), return_exceptions=True)
    (refused,) = [end for end in ends if isinstance(end, BaseException)]

    assert type(refused) is ConflictError
    assert str(refused) == f"task {task_id} depends on task {other_id} already"


async def test_a_task_depends_on_so_many_at_most(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "MOST_DEPENDENCIES", 1)
    task_id, first, second = [await create(database) for _ in range(3)]
    await depend(database, task_id, first)
    with pytest.raises(ConflictError, match="depends on 1 tasks, and more are not allowed"):
        await depend(database, task_id, second)


async def test_both_tasks_have_to_exist(database: Database) -> None:
    task_id = await create(database)
    with pytest.raises(NotFoundError, match=f"^there is no task {NOBODY}$"):
        await depend(database, NOBODY, task_id)
    with pytest.raises(InvalidInputError) as refused:
        await depend(database, task_id, NOBODY)

    assert refused.value.fields == {"depends_on_task_id": f"there is no task {NOBODY}"}
    async with database.reading() as session:
        with pytest.raises(NotFoundError):
            await dependencies_of(session, NOBODY)


async def test_a_dependency_that_is_removed_holds_nothing_up(database: Database) -> None:
    task_id, other_id, third = [await create(database) for _ in range(3)]
    await depend(database, task_id, other_id)
    await depend(database, task_id, third)
    async with database.transaction() as session:
        assert await remove_dependency(session, task_id, other_id)
        assert not await remove_dependency(session, task_id, other_id)
        assert await delete_task(session, third)

    assert await waits_for(database, task_id) == []
    await walk(database, task_id, "in_progress")


async def test_what_is_ready_comes_by_urgency_then_by_age(database: Database) -> None:
    low = await create(database, priority="low")
    old, new = await create(database), await create(database)
    waiting = await create(database, priority="critical")
    critical = await create(database, priority="critical")
    high = await create(database, priority="high")
    started = await create(database, status="in_progress")
    await depend(database, waiting, started)
    await depend(database, critical, started, is_hard_dependency=False)

    async def ready(**asked: Any) -> list[UUID]:
        async with database.reading() as session:
            return [task.id for task in await ready_tasks(session, **asked)]

    assert await ready(limit=10) == [critical, high, old, new, low]
    assert await ready(limit=2) == [critical, high]
    assert await ready(limit=10, project_id=NOBODY) == []

    await walk(database, started, "completed")
    assert await ready(limit=2) == [waiting, critical]


async def test_a_task_that_starts_while_it_is_told_to_wait_does_one_or_the_other(database: Database) -> None:
    pairs = [(await create(database), await create(database)) for _ in range(8)]
    for task_id, other_id in pairs:
        ends = await asyncio.gather(
            walk(database, task_id, "in_progress"), depend(database, task_id, other_id), return_exceptions=True
        )
        assert [type(end) for end in ends if isinstance(end, BaseException)] == [DependencyError]
        async with database.reading() as session:
            task = await session.get(TaskModel, task_id)
        assert task is not None
        assert (task.status == "in_progress") != bool(await waits_for(database, task_id))
