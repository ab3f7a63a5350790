"""Create, change and delete tasks, under the rules of their states and with the events that tell of it.

Rows are locked in one order: the graph, the task, then, just before the commit, its projects. A transaction that
changes several tasks in an order of its own may have to be repeated on PostgreSQL.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Self
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import utc_now
from contexten_core.db.shared import made
from contexten_core.errors import ConflictError, DependencyError, InvalidInputError
from contexten_core.events.emit import TASK_COMPLETED, TASK_CREATED, TASK_FAILED, TASK_UPDATED, emit
from contexten_core.events.models import EventModel
from contexten_core.projects import store as project_store
from contexten_core.security.text import one_line
from contexten_core.tasks import store
from contexten_core.tasks.inputs import TaskCreate, TaskUpdate
from contexten_core.tasks.models import TaskModel, TaskStatus
from contexten_core.tasks.transition import ENDED, check_transition

DEEPEST_PARENTS = 1_000
_NAMED = 5
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_STARTED = (TaskStatus.IN_PROGRESS, TaskStatus.COMPLETED)
_TELLING = MappingProxyType({TaskStatus.COMPLETED: TASK_COMPLETED, TaskStatus.FAILED: TASK_FAILED})


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a task is counted."""

    project_id: UUID | None
    status: TaskStatus

    @classmethod
    def of(cls, task: TaskModel) -> Self:
        return cls(task.project_id, task.status)

    def counts(self) -> dict[str, int]:
        return {
            "total_tasks": 1,
            "completed_tasks": int(self.status is TaskStatus.COMPLETED),
            "failed_tasks": int(self.status is TaskStatus.FAILED),
        }


async def create_task(
    session: AsyncSession, data: TaskCreate, *, held_by: str | None = None
) -> tuple[TaskModel, list[EventModel]]:
    """Create a task, count it on its project, and emit `task_created`.

    Raises:
        InvalidInputError: the project or the parent does not exist; nothing was written.
    """
    task = TaskModel(id=uuid4(), **{"title": data.name, "status": data.status, **data.columns()})
    return task, await add_task(session, task, held_by=held_by)


async def add_task(
    session: AsyncSession, task: TaskModel, *, data: Mapping[str, Any] = _NOTHING, held_by: str | None = None
) -> list[EventModel]:
    """Do the same with a task that is complete but for its row; the event holds `data` as well."""
    now = utc_now()
    if task.parent_task_id is not None and await store.keep(session, task.parent_task_id) is None:
        raise _missing("parent_task_id", "task", task.parent_task_id)
    await _check_project(session, task.project_id)
    if task.status is TaskStatus.IN_PROGRESS and task.started_at is None:
        task.started_at = now
    session.add(task)
    await session.flush()
    created = await _tell(session, TASK_CREATED, task, data=data, held_by=held_by)
    await _count(session, before=None, after=_Place.of(task), now=now)
    return [created]


async def update_task(
    session: AsyncSession, task_id: UUID, changes: TaskUpdate, *, held_by: str | None = None
) -> tuple[TaskModel, list[EventModel]] | None:
    """Change the given fields of a task, and emit `task_updated` with them; None when there is no such task.

    Raises:
        DependencyError: it is to start or to be completed before what it depends on.
        InvalidInputError: the project or the parent does not exist, or the parent is a part of the task.
        TransitionError: its status may not become that one.
    """
    columns = changes.columns()
    parent_id = columns.get("parent_task_id")
    if parent_id is not None:
        await store.lock_graph(session)
    task = await store.get(session, task_id, lock=True)
    if task is None:
        return None
    if not columns:
        return task, []
    if parent_id is not None:
        await _check_parent(session, task_id, parent_id)
    await _check_project(session, columns.get("project_id"))
    now, before = utc_now(), _Place.of(task)
    entered = await _set(session, task, columns.pop("status", task.status), columns, now=now)
    row = task.to_dict()
    updated = await emit(
        session,
        TASK_UPDATED,
        {"task_id": str(task.id), "updates": {name: row[name] for name in changes.given()}},
        held_by=held_by,
        project_id=task.project_id,
        task_id=task.id,
    )
    ended = await _tell_of_end(session, task, data=_NOTHING, held_by=held_by) if entered else []
    await _count(session, before=before, after=_Place.of(task), now=now)
    return task, [updated, *ended]


async def change_status(
    session: AsyncSession,
    task: TaskModel,
    wanted: TaskStatus,
    *,
    now: datetime,
    data: Mapping[str, Any] | None = None,
    given: Mapping[str, Any] = _NOTHING,
    held_by: str | None = None,
) -> list[EventModel]:
    """Bring a task, which the caller has locked, into another status, and emit `task_completed` or `task_failed`.

    Args:
        now: when; its times are set from it unless they are `given`.
        data: goes into the event as well.
        given: columns that change with the status, such as the result.

    Raises:
        DependencyError: it is to start or to be completed before what it depends on.
        TransitionError: it may not go from its status to that one.
    """
    before = _Place.of(task)
    entered = await _set(session, task, wanted, given, now=now)
    ended = await _tell_of_end(session, task, data=data or _NOTHING, held_by=held_by) if entered else []
    await _count(session, before=before, after=_Place.of(task), now=now)
    return ended


async def delete_task(session: AsyncSession, task_id: UUID) -> bool:
    """Delete a task with its executions and dependencies, and take it out of its project's counts.

    Raises:
        ConflictError: an execution of it is running.
    """
    await store.lock_graph(session)
    task = await store.get_to_delete(session, task_id)
    if task is None:
        return False
    if await store.is_executed(session, task_id):
        raise ConflictError(f"task {task_id} is being executed", hint="delete it when its execution has ended")
    await store.remove(session, task)
    await _count(session, before=_Place.of(task), after=None, now=utc_now())
    return True


async def _set(
    session: AsyncSession, task: TaskModel, wanted: TaskStatus, given: Mapping[str, Any], *, now: datetime
) -> bool:
    """Write columns of a locked task, its status under the rules; returns whether that is another than before."""
    entered = wanted is not task.status
    stamps: Mapping[str, Any] = _NOTHING
    if entered:
        check_transition(task.status, wanted, task_id=task.id)
        # One that this very transaction has made depends on nothing.
        if wanted in _STARTED and made(session, TaskModel, task.id) is None:
            await _refuse_while_waiting(session, task, wanted)
        stamps = _stamps(task, wanted, given, now=now)
    for name, value in {**stamps, **given, "status": wanted}.items():
        setattr(task, name, value)
    await session.flush()
    return entered


def _stamps(task: TaskModel, wanted: TaskStatus, given: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    stamps: dict[str, Any] = {}
    retried = task.status in ENDED and wanted not in ENDED
    if retried:
        stamps = dict.fromkeys(("started_at", "completed_at", "actual_duration_minutes", "error_message"))
    if wanted is TaskStatus.IN_PROGRESS and (retried or task.started_at is None):
        stamps["started_at"] = now
    if wanted in ENDED and task.status not in ENDED:
        stamps["completed_at"] = now
        started_at = given.get("started_at", task.started_at)
        if started_at is not None:
            minutes = ((given.get("completed_at") or now) - started_at).total_seconds() / 60
            stamps["actual_duration_minutes"] = max(0.0, minutes)
    return stamps


async def _refuse_while_waiting(session: AsyncSession, task: TaskModel, wanted: TaskStatus) -> None:
    waiting_for = await store.unmet(session, task.id, limit=_NAMED + 1)
    if not waiting_for:
        return
    named = [f"{other.id} ({one_line(other.name, 80)}, {other.status})" for other in waiting_for[:_NAMED]]
    more = ", and more" if len(waiting_for) > _NAMED else ""
    verb = "start" if wanted is TaskStatus.IN_PROGRESS else "be completed"
    raise DependencyError(
        f"task {task.id} cannot {verb} before what it depends on is completed: {', '.join(named)}{more}",
        hint="complete those first, or remove the dependency",
    )


async def _check_project(session: AsyncSession, project_id: UUID | None) -> None:
    if project_id is not None and not await project_store.hold_project(session, project_id):
        raise _missing("project_id", "project", project_id)


async def _check_parent(session: AsyncSession, task_id: UUID, parent_id: UUID) -> None:
    line = await store.ancestors(session, parent_id, limit=DEEPEST_PARENTS + 1)
    if not line:
        raise _missing("parent_task_id", "task", parent_id)
    if task_id in line:
        raise _wrong("parent_task_id", f"task {parent_id} is task {task_id} itself or a part of it")
    if len(line) > DEEPEST_PARENTS:
        raise _wrong("parent_task_id", f"task {parent_id} has more than {DEEPEST_PARENTS} tasks above it")


async def _count(session: AsyncSession, *, before: _Place | None, after: _Place | None, now: datetime) -> None:
    """Move a task from one place to another in the counts of the projects."""
    for place, sign in ((before, -1), (after, 1)):
        if place is not None and place.project_id is not None:
            counts = {name: sign * number for name, number in place.counts().items()}
            await project_store.count(session, place.project_id, counts, now=now)


async def _tell_of_end(
    session: AsyncSession, task: TaskModel, *, data: Mapping[str, Any], held_by: str | None
) -> list[EventModel]:
    event_type = _TELLING.get(task.status)
    return [await _tell(session, event_type, task, data=data, held_by=held_by)] if event_type else []


async def _tell(
    session: AsyncSession, event_type: str, task: TaskModel, *, data: Mapping[str, Any], held_by: str | None
) -> EventModel:
    told = {**data, "task_id": str(task.id), "task_type": task.task_type.value, "task_data": task.to_dict()}
    return await emit(session, event_type, told, held_by=held_by, project_id=task.project_id, task_id=task.id)


def _missing(field: str, kind: str, row_id: UUID) -> InvalidInputError:
    return _wrong(field, f"there is no {kind} {row_id}")


def _wrong(field: str, problem: str) -> InvalidInputError:
    return InvalidInputError(f"{field}: {problem}", fields={field: problem})
