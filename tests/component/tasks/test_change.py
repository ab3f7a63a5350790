"""Tasks in a real database: their states, their times, the counts of their projects, and the events that tell of it."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select

from contexten_core.db import Database, utc_now
from contexten_core.errors import ConflictError, InvalidInputError, TransitionError
from contexten_core.events.models import EventModel, EventProvider, EventStatus
from contexten_core.inputs import checked
from contexten_core.projects.models import ProjectModel
from contexten_core.tasks import change, store
from contexten_core.tasks.change import change_status, create_task, delete_task, update_task
from contexten_core.tasks.inputs import TaskCreate, TaskUpdate
from contexten_core.tasks.models import TaskExecutionModel, TaskModel, TaskStatus

NOBODY = UUID("ffffffff-ffff-4fff-bfff-ffffffffffff")


async def add_project(database: Database) -> UUID:
    async with database.transaction() as session:
        project = ProjectModel(id=uuid4(), name="Cashbox", slug=f"cashbox-{uuid4()}")
        session.add(project)
    return project.id


async def create(database: Database, **fields: Any) -> TaskModel:
    data = checked(TaskCreate, {"name": "Fix the till", "task_type": "bug_fix"} | fields)
    async with database.transaction() as session:
        task, _ = await create_task(session, data)
    return task


async def update(database: Database, task: TaskModel, **fields: Any) -> TaskModel:
    async with database.transaction() as session:
        changed = await update_task(session, task.id, checked(TaskUpdate, fields))
    assert changed is not None
    return changed[0]


async def walk(database: Database, task: TaskModel, *statuses: str) -> TaskModel:
    for status in statuses:
        task = await update(database, task, status=status)
    return task


async def delete(database: Database, task: TaskModel) -> bool:
    async with database.transaction() as session:
        return await delete_task(session, task.id)


async def stored(database: Database, task: TaskModel) -> TaskModel:
    async with database.reading() as session:
        found = await store.get(session, task.id)
    assert found is not None
    return found


async def counts(database: Database, project_id: UUID) -> tuple[int, int, int]:
    """Return the project's own counts of tasks: all, completed, failed."""
    async with database.reading() as session:
        project = await session.get(ProjectModel, project_id)
    assert project is not None
    return project.total_tasks, project.completed_tasks, project.failed_tasks


async def counted(database: Database, project_id: UUID) -> tuple[int, int, int]:
    """Count the tasks that there are."""
    async with database.reading() as session:
        statement = select(TaskModel.status).where(TaskModel.project_id == project_id)
        statuses = Counter((await session.execute(statement)).scalars())
    return statuses.total(), statuses[TaskStatus.COMPLETED], statuses[TaskStatus.FAILED]


async def events(database: Database) -> Sequence[EventModel]:
    async with database.reading() as session:
        return (await session.execute(select(EventModel).order_by(EventModel.created_at))).scalars().all()


async def told(database: Database) -> list[str]:
    return [event.event_type for event in await events(database)]


async def test_a_new_task_is_pending_has_its_name_as_title_and_is_told_of(database: Database) -> None:
    project_id = await add_project(database)
    task = await create(database, project_id=str(project_id), requirements={"tests": ["unit"]})
    (event,) = await events(database)

    assert (task.title, task.status, task.priority, task.started_at) == ("Fix the till", "pending", "medium", None)
    assert (await stored(database, task)).to_dict() == task.to_dict()
    assert event.event_type == "task_created"
    assert (event.provider, event.status) == (EventProvider.SYSTEM, EventStatus.PENDING)
    assert (event.task_id, event.project_id) == (task.id, project_id)
    assert event.payload == {"task_id": str(task.id), "task_type": "bug_fix", "task_data": task.to_dict()}
    assert await counts(database, project_id) == (1, 0, 0)


async def test_a_task_can_begin_at_once(database: Database) -> None:
    task = await create(database, status="in_progress")

    assert task.started_at is not None
    assert (await stored(database, task)).started_at == task.started_at


async def test_the_caller_can_keep_the_events_for_itself(database: Database) -> None:
    data = checked(TaskCreate, {"name": "Fix the till", "task_type": "bug_fix"})
    async with database.transaction() as session:
        task, created = await create_task(session, data, held_by="app-1")
        await update_task(session, task.id, checked(TaskUpdate, {"status": "failed"}), held_by="app-1")

    assert [event.lease_owner for event in await events(database)] == ["app-1"] * 3
    assert [event.id for event in created] == [(await events(database))[0].id]


async def test_a_change_is_told_of_with_exactly_what_was_given(database: Database) -> None:
    task = await create(database, prompt="Mend it.")
    due = datetime.fromisoformat("2026-02-03T10:00:00+02:00")
    changed = await update(
        database, task, title="The till", prompt=None, due_date=due, metadata={"a": [1]}, priority="high"
    )
    event = (await events(database))[-1]

    assert (changed.title, changed.prompt, changed.due_date, changed.metadata_) == ("The till", None, due, {"a": [1]})
    assert changed.updated_at > task.created_at
    assert (await stored(database, task)).to_dict() == changed.to_dict()
    assert event.event_type == "task_updated"
    assert event.payload == {
        "task_id": str(task.id),
        "updates": {
            "title": "The till",
            "prompt": None,
            "due_date": "2026-02-03T08:00:00+00:00",
            "metadata": {"a": [1]},
            "priority": "high",
        },
    }


async def test_a_change_of_nothing_is_no_change(database: Database) -> None:
    task = await create(database)
    changed = await update(database, task)

    assert changed.updated_at == task.updated_at
    assert await told(database) == ["task_created"]


async def test_a_task_that_does_not_exist(database: Database) -> None:
    async with database.transaction() as session:
        assert await update_task(session, NOBODY, checked(TaskUpdate, {"name": "x"})) is None
        assert await update_task(session, NOBODY, checked(TaskUpdate, {"parent_task_id": str(NOBODY)})) is None
        assert await update_task(session, NOBODY, TaskUpdate()) is None
        assert await delete_task(session, NOBODY) is False


async def test_completing_is_told_of_in_the_transaction_that_completes(database: Database) -> None:
    task = await walk(database, await create(database), "in_progress")
    async with database.transaction() as session:
        await update_task(session, task.id, checked(TaskUpdate, {"status": "completed"}))
        await session.rollback()
    assert await told(database) == ["task_created", "task_updated"]

    done = await update(database, task, status="completed", result={"files": 2})
    *_, updated, completed = await events(database)

    assert (updated.event_type, completed.event_type) == ("task_updated", "task_completed")
    assert completed.payload == {"task_id": str(task.id), "task_type": "bug_fix", "task_data": done.to_dict()}
    assert completed.payload["task_data"]["result"] == {"files": 2}
    assert json.loads(json.dumps(completed.payload)) == completed.payload


async def test_the_times_follow_the_state(database: Database) -> None:
    task = await create(database)
    started = await walk(database, task, "in_progress")
    assert started.started_at is not None
    assert started.completed_at is None

    resumed = await walk(database, task, "paused", "in_progress")
    assert resumed.started_at == started.started_at

    done = await walk(database, task, "completed")
    assert done.completed_at is not None
    assert done.started_at == started.started_at
    assert done.actual_duration_minutes == pytest.approx((done.completed_at - started.started_at).total_seconds() / 60)


async def test_times_that_are_given_stand(database: Database) -> None:
    task = await create(database)
    began = datetime.fromisoformat("2026-02-03T10:00:00+00:00")
    started = await update(database, task, status="in_progress", started_at=began)
    done = await update(database, task, status="completed", completed_at=began + timedelta(minutes=90))

    assert started.started_at == done.started_at == began
    assert done.completed_at == began + timedelta(minutes=90)
    assert done.actual_duration_minutes == 90


async def test_a_duration_that_is_given_stands_and_is_never_negative(database: Database) -> None:
    first = await walk(database, await create(database), "in_progress")
    second = await walk(database, await create(database), "in_progress")

    assert (await update(database, first, status="failed", actual_duration_minutes=7)).actual_duration_minutes == 7
    past = datetime.fromisoformat("2020-01-01T00:00:00+00:00")
    assert (await update(database, second, status="completed", completed_at=past)).actual_duration_minutes == 0


async def test_a_retry_begins_afresh(database: Database) -> None:
    task = await walk(database, await create(database), "in_progress")
    failed = await update(database, task, status="failed", error_message="the printer is on fire")
    assert failed.completed_at is not None
    again = await update(database, task, status="in_progress")

    assert (again.completed_at, again.error_message, again.actual_duration_minutes) == (None, None, None)
    assert again.started_at is not None
    assert again.started_at >= failed.completed_at
    assert await told(database) == [
        "task_created",
        "task_updated",
        "task_updated",
        "task_failed",
        "task_updated",
    ]


async def test_a_task_that_was_cancelled_can_be_put_back(database: Database) -> None:
    cancelled = await walk(database, await create(database), "cancelled")
    assert cancelled.completed_at is not None
    assert cancelled.actual_duration_minutes is None

    assert (await walk(database, cancelled, "pending")).completed_at is None
    assert (await told(database)).count("task_failed") == 0


async def test_what_the_rules_forbid_is_refused_and_changes_nothing(database: Database) -> None:
    project_id = await add_project(database)
    task = await walk(database, await create(database, project_id=str(project_id)), "in_progress", "completed")
    before = await told(database)
    with pytest.raises(TransitionError, match=f"^task {task.id} cannot go from completed to in_progress$"):
        await update(database, task, status="in_progress", title="Once more")

    assert (await stored(database, task)).to_dict() == task.to_dict()
    assert await told(database) == before
    assert await counts(database, project_id) == (1, 1, 0)


async def test_the_same_status_again_is_no_change_of_status(database: Database) -> None:
    project_id = await add_project(database)
    task = await walk(database, await create(database, project_id=str(project_id)), "in_progress", "completed")
    again = await update(database, task, status="completed", title="Done")

    assert (again.completed_at, again.title) == (task.completed_at, "Done")
    assert (await told(database)).count("task_completed") == 1
    assert await counts(database, project_id) == (1, 1, 0)


async def test_the_counts_of_a_project_follow_its_tasks(database: Database) -> None:
    project_id = await add_project(database)
    first, second, third = [await create(database, project_id=str(project_id)) for _ in range(3)]
    assert await counts(database, project_id) == (3, 0, 0)

    await walk(database, first, "in_progress", "completed")
    await walk(database, second, "failed")
    assert await counts(database, project_id) == (3, 1, 1)

    await walk(database, second, "in_progress")
    assert await counts(database, project_id) == (3, 1, 0)

    await walk(database, second, "failed", "cancelled")
    assert await counts(database, project_id) == (3, 1, 0)

    assert await delete(database, first)
    assert await delete(database, third)
    assert await counts(database, project_id) == await counted(database, project_id) == (1, 0, 0)


async def test_a_task_that_moves_takes_its_counts_along(database: Database) -> None:
    old, new = await add_project(database), await add_project(database)
    task = await walk(database, await create(database, project_id=str(old)), "in_progress")
    await update(database, task, project_id=str(new), status="completed")
    assert await counts(database, old) == (0, 0, 0)
    assert await counts(database, new) == (1, 1, 0)

    await update(database, task, project_id=str(old))
    assert await counts(database, old) == (1, 1, 0)
    assert await counts(database, new) == (0, 0, 0)

    await update(database, task, project_id=None)
    assert await counts(database, old) == (0, 0, 0)

    await update(database, task, project_id=str(new))
    assert await counts(database, new) == (1, 1, 0)


async def test_every_change_is_activity_in_the_project(database: Database) -> None:
    project_id = await add_project(database)
    moments = []
    task = await create(database, project_id=str(project_id))
    for title in ("Once", "Twice"):
        async with database.reading() as session:
            project = await session.get(ProjectModel, project_id)
        assert project is not None
        moments.append(project.last_activity_at)
        await update(database, task, title=title)

    assert moments[0] is not None
    assert moments[1] is not None
    assert moments[0] < moments[1]


@pytest.mark.parametrize(("field", "kind"), [("project_id", "project"), ("parent_task_id", "task")])
async def test_what_a_task_refers_to_has_to_exist(database: Database, field: str, kind: str) -> None:
    project_id = await add_project(database)
    task = await create(database, project_id=str(project_id))
    new = {"name": "Half", "task_type": "testing", "project_id": str(project_id), field: str(NOBODY)}
    async with database.transaction() as session:
        with pytest.raises(InvalidInputError) as refused:
            await create_task(session, checked(TaskCreate, new))
        with pytest.raises(InvalidInputError) as refused_too:
            await update_task(session, task.id, checked(TaskUpdate, new | {"status": "failed"}))
    for error in (refused.value, refused_too.value):
        assert error.fields == {field: f"there is no {kind} {NOBODY}"}

    assert (await stored(database, task)).to_dict() == task.to_dict()
    assert await told(database) == ["task_created"]
    assert await counts(database, project_id) == await counted(database, project_id) == (1, 0, 0)


async def test_a_task_is_never_a_part_of_itself(database: Database) -> None:
    top = await create(database)
    middle = await create(database, parent_task_id=str(top.id))
    bottom = await create(database, parent_task_id=str(middle.id))
    for part in (top, middle, bottom):
        with pytest.raises(InvalidInputError) as refused:
            await update(database, top, parent_task_id=str(part.id))
        assert refused.value.fields == {
            "parent_task_id": f"task {part.id} is task {top.id} itself or a part of it",
        }

    moved = await update(database, bottom, parent_task_id=str(top.id))
    assert moved.parent_task_id == top.id
    assert (await update(database, bottom, parent_task_id=None)).parent_task_id is None


async def test_parents_are_looked_up_only_so_far(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change, "DEEPEST_PARENTS", 2)
    first = await create(database)
    second = await create(database, parent_task_id=str(first.id))
    third = await create(database, parent_task_id=str(second.id))
    task = await create(database)

    assert (await update(database, task, parent_task_id=str(second.id))).parent_task_id == second.id
    with pytest.raises(InvalidInputError, match="has more than 2 tasks above it"):
        await update(database, task, parent_task_id=str(third.id))


async def test_tasks_that_would_become_a_circle_of_parts_at_the_same_time(database: Database) -> None:
    ring = [await create(database) for _ in range(6)]
    ends = await asyncio.gather(
        *(update(database, task, parent_task_id=str(ring[position - 1].id)) for position, task in enumerate(ring)),
        return_exceptions=True,
    )

    assert [type(end) for end in ends if not isinstance(end, TaskModel)] == [InvalidInputError]
    assert [(await stored(database, task)).parent_task_id for task in ring].count(None) == 1


async def test_deleting_a_task_lets_its_parts_go(database: Database) -> None:
    top = await create(database)
    part = await create(database, parent_task_id=str(top.id))
    assert await delete(database, top)
    assert not await delete(database, top)

    assert (await stored(database, part)).parent_task_id is None


async def test_a_task_that_is_being_executed_cannot_be_deleted(database: Database) -> None:
    task = await create(database, status="in_progress")
    async with database.transaction() as session:
        number = await store.next_number(session, task.id)
        execution = TaskExecutionModel(
            name="run",
            execution_number=number,
            status=TaskStatus.IN_PROGRESS,
            started_at=utc_now(),
            task_id=task.id,
        )
        session.add(execution)
    with pytest.raises(ConflictError, match=f"^task {task.id} is being executed$"):
        await delete(database, task)

    async with database.transaction() as session:
        await store.abandon_running(session, task.id, now=utc_now(), reason="for the test")
    assert await delete(database, task)


async def test_what_a_caller_says_about_the_end_is_told_too(database: Database) -> None:
    task = await create(database, status="in_progress")
    async with database.transaction() as session:
        locked = await store.get(session, task.id, lock=True)
        assert locked is not None
        events = await change_status(
            session, locked, TaskStatus.FAILED, now=utc_now(), data={"run_id": "r1"}, given={"error_message": "no"}
        )
        again = await change_status(session, locked, TaskStatus.FAILED, now=utc_now())

    assert [event.event_type for event in events] == ["task_failed"]
    assert events[0].payload["run_id"] == "r1"
    assert events[0].payload["task_data"]["error_message"] == "no"
    assert again == []


async def test_two_executions_that_start_at_once_have_two_numbers(database: Database) -> None:
    task = await create(database, status="in_progress")

    async def start() -> int:
        async with database.transaction() as session:
            number = await store.next_number(session, task.id)
            await asyncio.sleep(0.01)
            execution = TaskExecutionModel(
                name="run",
                execution_number=number,
                status=TaskStatus.IN_PROGRESS,
                started_at=utc_now(),
                task_id=task.id,
            )
            session.add(execution)
        return number

    assert sorted(await asyncio.gather(*(start() for _ in range(6)))) == [1, 2, 3, 4, 5, 6]
    async with database.reading() as session:
        page = await store.page_executions(session, task.id, limit=4, cursor=None)
        rest = await store.page_executions(session, task.id, limit=4, cursor=page.next_cursor)
    assert {row.execution_number for row in [*page.rows, *rest.rows]} == {1, 2, 3, 4, 5, 6}
    assert (len(page.rows), rest.next_cursor) == (4, None)


async def test_tasks_are_listed_newest_first_by_what_they_are(database: Database) -> None:
    project_id = await add_project(database)
    first = await create(database, project_id=str(project_id), priority="high")
    second = await create(database, project_id=str(project_id), task_type="testing")
    third = await walk(database, await create(database, priority="high"), "in_progress")

    async def listed(**filters: Any) -> list[UUID]:
        async with database.reading() as session:
            page = await store.page_tasks(session, limit=10, cursor=None, **filters)
        return [task.id for task in page.rows]

    assert await listed() == [third.id, second.id, first.id]
    assert await listed(project_id=project_id) == [second.id, first.id]
    assert await listed(status=TaskStatus.IN_PROGRESS) == [third.id]
    assert await listed(priority="high", task_type="bug_fix") == [third.id, first.id]
    assert await listed(project_id=project_id, priority="high") == [first.id]


async def test_many_writers_at_once_lose_nothing_and_never_lock_each_other_out(database: Database) -> None:
    projects = [await add_project(database), await add_project(database)]
    ends: Counter[str] = Counter()

    async def work(writer: int) -> None:
        chance = Random(writer)
        home, other = projects if writer % 2 else projects[::-1]
        for turn in range(3):
            task = await create(database, project_id=str(home))
            part = await create(database, project_id=str(home), parent_task_id=str(task.id))
            await walk(database, task, "in_progress")
            end = chance.choice(["completed", "failed"])
            await update(database, task, status=end, project_id=str(chance.choice([home, other])))
            ends[f"task_{end}"] += 1
            if end == "failed" and turn % 2:
                await walk(database, task, "pending", "in_progress", "completed")
                ends["task_completed"] += 1
            if chance.random() < 0.3:
                await asyncio.gather(delete(database, task), walk(database, part, "failed"))
                ends["task_failed"] += 1

    async with asyncio.timeout(120):
        await asyncio.gather(*(work(writer) for writer in range(20)))

    for project_id in projects:
        assert await counts(database, project_id) == await counted(database, project_id)
    assert sum([(await counts(database, project_id))[0] for project_id in projects]) > 60
    async with database.reading() as session:
        statement = select(EventModel.event_type, func.count()).group_by(EventModel.event_type)
        emitted: dict[str, int] = dict((await session.execute(statement)).tuples().all())
    assert emitted["task_created"] == 120
    assert {name: emitted[name] for name in ends} == ends


async def test_one_task_that_many_change_at_once_keeps_every_change(database: Database) -> None:
    project_id = await add_project(database)
    task = await create(database, project_id=str(project_id), status="in_progress")
    fields = ["external_id", "prompt", "assigned_agent", "description", "error_message"] * 4
    ends = await asyncio.gather(
        *(update(database, task, **{field: field}) for field in fields),
        *(update(database, task, status=status) for status in ["completed", "failed", "cancelled"]),
        return_exceptions=True,
    )
    task = await stored(database, task)

    assert {type(end) for end in ends if not isinstance(end, TaskModel)} <= {TransitionError}
    assert [task.external_id, task.prompt, task.assigned_agent, task.description] == fields[:4]
    assert await counts(database, project_id) == await counted(database, project_id)
