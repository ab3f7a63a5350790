"""All SQL about tasks, their executions and their logs."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.projects.models import ProjectModel
from contexten_core.tasks.models import TaskExecutionModel, TaskLogChunkModel, TaskModel, TaskStatus


async def get(session: AsyncSession, task_id: UUID) -> TaskModel | None:
    return await session.get(TaskModel, task_id)


async def get_execution(session: AsyncSession, execution_id: UUID) -> TaskExecutionModel | None:
    return await session.get(TaskExecutionModel, execution_id)


async def executions_of(session: AsyncSession, task_id: UUID) -> Sequence[TaskExecutionModel]:
    statement = select(TaskExecutionModel).where(TaskExecutionModel.task_id == task_id)
    return (await session.execute(statement.order_by(TaskExecutionModel.execution_number))).scalars().all()


async def next_number(session: AsyncSession, task_id: UUID) -> int:
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
    session.add(TaskLogChunkModel(name="log", execution_id=execution_id, position=position, content=content))


async def log_of(session: AsyncSession, execution: TaskExecutionModel) -> str:
    """Return the whole log of an execution that has ended, or what one that still runs has said so far."""
    if execution.logs is not None:
        return execution.logs
    statement = select(TaskLogChunkModel.content).where(TaskLogChunkModel.execution_id == execution.id)
    chunks = (await session.execute(statement.order_by(TaskLogChunkModel.position))).scalars()
    return "".join(chunks)


async def drop_log_chunks(session: AsyncSession, execution_id: UUID) -> None:
    await session.execute(delete(TaskLogChunkModel).where(TaskLogChunkModel.execution_id == execution_id))


async def count_created(session: AsyncSession, project_id: UUID) -> None:
    await session.execute(
        update(ProjectModel).where(ProjectModel.id == project_id).values(total_tasks=ProjectModel.total_tasks + 1)
    )


async def count_ended(session: AsyncSession, project_id: UUID, *, succeeded: bool) -> None:
    column = ProjectModel.completed_tasks if succeeded else ProjectModel.failed_tasks
    await session.execute(update(ProjectModel).where(ProjectModel.id == project_id).values({column.key: column + 1}))
