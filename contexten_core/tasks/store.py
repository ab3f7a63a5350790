"""All SQL about tasks, what they depend on, their executions and their logs."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar, cast
from uuid import UUID

from sqlalchemy import CursorResult, Select, case, delete, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from contexten_core.codebase.models import CodebaseModel
from contexten_core.db.locks import hold
from contexten_core.db.paging import Page, page
from contexten_core.db.shared import ask, load, made, once
from contexten_core.events.models import RunModel, RunStatus
from contexten_core.tasks.models import (
    TaskDependencyModel,
    TaskExecutionModel,
    TaskLogChunkModel,
    TaskModel,
    TaskPriority,
    TaskStatus,
    TaskType,
)

T = TypeVar("T")

_URGENCY = case(
    {TaskPriority.CRITICAL: 0, TaskPriority.HIGH: 1, TaskPriority.MEDIUM: 2}, value=TaskModel.priority, else_=3
)


async def get(session: AsyncSession, task_id: UUID, *, lock: bool = False) -> TaskModel | None:
    """Return a task; with `lock` as it is now, and nobody else changes it until this transaction ends."""
    if not lock:
        return await session.get(TaskModel, task_id)
    if (task := made(session, TaskModel, task_id)) is not None:
        return task
    return await once(session, TaskModel, task_id, ask=lambda: ask(session, _lock_all, task_id))


async def _lock_all(session: AsyncSession, task_ids: Sequence[UUID]) -> dict[UUID, TaskModel]:
    statement = select(TaskModel).where(TaskModel.id.in_(task_ids)).order_by(TaskModel.id)
    # Rows that refer to a task (executions, pieces of log, events) can still be added meanwhile.
    statement = statement.with_for_update(key_share=True).execution_options(populate_existing=True)
    return {task.id: task for task in (await session.execute(statement)).scalars()}


async def release_from(session: AsyncSession, project_id: UUID) -> None:
    """Take every task out of a project that is about to be removed."""
    statement = select(TaskModel.id).where(TaskModel.project_id == project_id).order_by(TaskModel.id)
    await session.execute(statement.with_for_update(key_share=True))
    await session.execute(update(TaskModel).where(TaskModel.project_id == project_id).values(project_id=None))


async def get_to_delete(session: AsyncSession, task_id: UUID) -> TaskModel | None:
    """Return a task as it is now; nobody else changes or refers to it until this transaction ends."""
    statement = select(TaskModel).where(TaskModel.id == task_id).with_for_update()
    return (await session.execute(statement.execution_options(populate_existing=True))).scalar_one_or_none()


async def keep(session: AsyncSession, task_id: UUID) -> TaskModel | None:
    """Return a task as it is now, and have it stay until this transaction ends, though others may change it."""
    if (task := made(session, TaskModel, task_id)) is not None:
        return task
    return await once(session, "kept", TaskModel, task_id, ask=lambda: ask(session, _keep_all, task_id))


async def _keep_all(session: AsyncSession, task_ids: Sequence[UUID]) -> dict[UUID, TaskModel]:
    statement = select(TaskModel).where(TaskModel.id.in_(task_ids)).order_by(TaskModel.id)
    statement = statement.with_for_update(read=True, key_share=True).execution_options(populate_existing=True)
    return {task.id: task for task in (await session.execute(statement)).scalars()}


async def page_tasks(
    session: AsyncSession,
    *,
    limit: int,
    cursor: str | None,
    status: TaskStatus | None = None,
    project_id: UUID | None = None,
    task_type: TaskType | None = None,
    priority: TaskPriority | None = None,
) -> Page[TaskModel]:
    """Return tasks, newest first; each filter that is given narrows them."""
    wanted = {"status": status, "project_id": project_id, "task_type": task_type, "priority": priority}
    filters = {column: value for column, value in wanted.items() if value is not None}
    return await page(session, TaskModel, select(TaskModel).filter_by(**filters), limit=limit, cursor=cursor)


async def remove(session: AsyncSession, task: TaskModel) -> None:
    """Delete a task with its executions and dependencies; what else refers to it loses the reference."""
    await session.delete(task)
    await session.flush()


async def ancestors(session: AsyncSession, task_id: UUID, *, limit: int) -> Sequence[UUID]:
    """Return a task and those above it, by parent."""
    line = select(TaskModel.id, TaskModel.parent_task_id).where(TaskModel.id == task_id).cte(recursive=True)
    above = aliased(TaskModel)
    line = line.union(select(above.id, above.parent_task_id).join(line, above.id == line.c.parent_task_id))
    return (await session.execute(select(line.c.id).limit(limit))).scalars().all()


async def lock_graph(session: AsyncSession) -> None:
    """Let nobody else change what tasks depend on, or are part of, until this transaction ends.

    Taken before any lock on a task.
    """
    await hold(session, "what tasks depend on")


async def dependency(session: AsyncSession, task_id: UUID, depends_on: UUID) -> TaskDependencyModel | None:
    statement = select(TaskDependencyModel).where(
        TaskDependencyModel.task_id == task_id, TaskDependencyModel.depends_on_task_id == depends_on
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def dependencies_of(session: AsyncSession, task_id: UUID, *, limit: int) -> Sequence[TaskDependencyModel]:
    statement = select(TaskDependencyModel).where(TaskDependencyModel.task_id == task_id)
    statement = statement.order_by(TaskDependencyModel.created_at, TaskDependencyModel.id).limit(limit)
    return (await session.execute(statement)).scalars().all()


async def count_dependencies(session: AsyncSession, task_id: UUID) -> int:
    statement = select(func.count()).select_from(TaskDependencyModel).where(TaskDependencyModel.task_id == task_id)
    return (await session.execute(statement)).scalar_one()


async def remove_dependency(session: AsyncSession, task_id: UUID, depends_on: UUID) -> bool:
    statement = delete(TaskDependencyModel).where(
        TaskDependencyModel.task_id == task_id, TaskDependencyModel.depends_on_task_id == depends_on
    )
    return cast(CursorResult[Any], await session.execute(statement)).rowcount == 1


async def dependencies_behind(session: AsyncSession, task_id: UUID, *, limit: int) -> Sequence[tuple[UUID, UUID]]:
    """Return the pairs (task, what it depends on) that can be reached from a task, each once."""
    edge = aliased(TaskDependencyModel)
    reached = select(edge.task_id, edge.depends_on_task_id).where(edge.task_id == task_id).cte(recursive=True)
    reached = reached.union(
        select(TaskDependencyModel.task_id, TaskDependencyModel.depends_on_task_id).join(
            reached, TaskDependencyModel.task_id == reached.c.depends_on_task_id
        )
    )
    return (await session.execute(select(reached).limit(limit))).tuples().all()


async def unmet(session: AsyncSession, task_id: UUID, *, limit: int) -> Sequence[TaskModel]:
    """Return the tasks that a task has to wait for: its hard dependencies that are not completed, oldest first."""
    if not await ask(session, _is_waiting, task_id):
        return []
    statement = _awaited(select(TaskModel)).where(TaskDependencyModel.task_id == task_id)
    return (await session.execute(statement.order_by(TaskModel.created_at, TaskModel.id).limit(limit))).scalars().all()


async def _is_waiting(session: AsyncSession, task_ids: Sequence[UUID]) -> dict[UUID, bool]:
    statement = _awaited(select(TaskDependencyModel.task_id)).where(TaskDependencyModel.task_id.in_(task_ids))
    return dict.fromkeys((await session.execute(statement.distinct())).scalars(), True)


def _awaited(statement: Select[tuple[T]]) -> Select[tuple[T]]:
    """Narrow a statement about tasks, and what depends on them, to those that something still waits for."""
    return statement.join_from(
        TaskDependencyModel, TaskModel, TaskDependencyModel.depends_on_task_id == TaskModel.id
    ).where(TaskDependencyModel.is_hard_dependency, TaskModel.status != TaskStatus.COMPLETED)


async def ready(session: AsyncSession, *, project_id: UUID | None, limit: int) -> Sequence[TaskModel]:
    """Return pending tasks that wait for nothing, the most urgent first, then the oldest."""
    awaited = aliased(TaskModel)
    waits = (
        select(TaskDependencyModel.id)
        .join(awaited, awaited.id == TaskDependencyModel.depends_on_task_id)
        .where(
            TaskDependencyModel.task_id == TaskModel.id,
            TaskDependencyModel.is_hard_dependency,
            awaited.status != TaskStatus.COMPLETED,
        )
    )
    statement = select(TaskModel).where(TaskModel.status == TaskStatus.PENDING, ~waits.exists())
    if project_id is not None:
        statement = statement.where(TaskModel.project_id == project_id)
    statement = statement.order_by(_URGENCY, TaskModel.created_at, TaskModel.id).limit(limit)
    return (await session.execute(statement)).scalars().all()


async def get_execution(session: AsyncSession, execution_id: UUID) -> TaskExecutionModel | None:
    return await load(session, TaskExecutionModel, execution_id)


async def executions_of(session: AsyncSession, task_id: UUID) -> Sequence[TaskExecutionModel]:
    statement = select(TaskExecutionModel).where(TaskExecutionModel.task_id == task_id)
    return (await session.execute(statement.order_by(TaskExecutionModel.execution_number))).scalars().all()


async def page_executions(
    session: AsyncSession, task_id: UUID, *, limit: int, cursor: str | None
) -> Page[TaskExecutionModel]:
    """Return the executions of a task, newest first."""
    statement = select(TaskExecutionModel).where(TaskExecutionModel.task_id == task_id)
    return await page(session, TaskExecutionModel, statement, limit=limit, cursor=cursor)


async def is_executed(session: AsyncSession, task_id: UUID) -> bool:
    """Tell whether an execution of a task is running."""
    running = exists().where(TaskExecutionModel.task_id == task_id, TaskExecutionModel.status == TaskStatus.IN_PROGRESS)
    return bool((await session.execute(select(running))).scalar_one())


async def next_number(session: AsyncSession, task_id: UUID) -> int:
    """Return the number of a task's next execution, which is the caller's alone: the task stays locked."""
    await get(session, task_id, lock=True)
    statement = select(func.max(TaskExecutionModel.execution_number)).where(TaskExecutionModel.task_id == task_id)
    return ((await session.execute(statement)).scalar_one() or 0) + 1


async def abandon_running(session: AsyncSession, task_id: UUID, *, now: datetime, reason: str) -> None:
    """End the executions of a task that a dead worker left running."""
    await session.execute(
        update(TaskExecutionModel)
        .where(TaskExecutionModel.task_id == task_id, TaskExecutionModel.status == TaskStatus.IN_PROGRESS)
        .values(status=TaskStatus.CANCELLED, completed_at=now, error_details={"code": "abandoned", "message": reason})
    )


async def append_log(session: AsyncSession, *, execution_id: UUID, position: int, content: str) -> None:
    if made(session, TaskExecutionModel, execution_id) is not None:
        # Nobody could read it before its end, when the whole log is stored.
        return
    session.add(TaskLogChunkModel(name="log", execution_id=execution_id, position=position, content=content))


async def log_of(session: AsyncSession, execution: TaskExecutionModel) -> str:
    """Return the whole log of an execution that has ended, or what one that still runs has said so far."""
    if execution.logs is not None:
        return execution.logs
    statement = select(TaskLogChunkModel.content).where(TaskLogChunkModel.execution_id == execution.id)
    chunks = (await session.execute(statement.order_by(TaskLogChunkModel.position))).scalars()
    return "".join(chunks)


async def drop_log_chunks(session: AsyncSession, execution_id: UUID) -> None:
    if made(session, TaskExecutionModel, execution_id) is None:
        await ask(session, _drop_log_chunks_of_all, execution_id)


async def _drop_log_chunks_of_all(session: AsyncSession, execution_ids: Sequence[UUID]) -> dict[UUID, None]:
    await session.execute(delete(TaskLogChunkModel).where(TaskLogChunkModel.execution_id.in_(execution_ids)))
    return {}


class AtWork(NamedTuple):
    """What still needs folders of this machine.

    Attributes:
        ended: those of the executions in question that have ended.
        live: those that are carried out by a run which has not ended.
        repositories: the addresses whose code such runs may read again.
    """

    ended: frozenset[UUID]
    live: frozenset[UUID]
    repositories: frozenset[str]


async def at_work(session: AsyncSession, execution_ids: Collection[UUID]) -> AtWork:
    """Tell which executions have ended, which are carried out, and what is read meanwhile."""
    executions = TaskExecutionModel
    has_run = exists().where(RunModel.task_id == executions.task_id, RunModel.status == RunStatus.RUNNING)
    statement = select(executions.id, executions.status, has_run).where(executions.id.in_(execution_ids))
    rows = (await session.execute(statement)).tuples().all()
    read = select(CodebaseModel.repository_url).join(RunModel, RunModel.codebase_id == CodebaseModel.id)
    repositories = (await session.execute(read.where(RunModel.status == RunStatus.RUNNING).distinct())).scalars()
    is_running = TaskStatus.IN_PROGRESS
    return AtWork(
        ended=frozenset(id_ for id_, status, _ in rows if status is not is_running),
        live=frozenset(id_ for id_, status, is_live in rows if status is is_running and is_live),
        repositories=frozenset(repositories),
    )
