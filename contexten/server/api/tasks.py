"""Tasks: what is to be done, what waits for what, and each attempt."""

from typing import Any
from uuid import UUID

from fastapi import Response

from contexten.server.api.answers import Cursor, Limit, created, found, listed, removed
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import Task, TaskDependency, TaskExecution, TaskExecutionWithLog, list_of
from contexten.server.dependencies import OrchestratorOf, Reading
from contexten_core.tasks import change, dependencies, store
from contexten_core.tasks.inputs import DependencyCreate, TaskCreate, TaskUpdate
from contexten_core.tasks.models import TaskPriority, TaskStatus, TaskType

router = api_router("/api/tasks", "tasks")


@router.get("", response_model=list_of(Task))
async def list_tasks(
    session: Reading,
    limit: Limit = 50,
    cursor: Cursor = None,
    status: TaskStatus | None = None,
    project_id: UUID | None = None,
    task_type: TaskType | None = None,
    priority: TaskPriority | None = None,
) -> Any:
    """List the newest tasks."""
    return listed(
        await store.page_tasks(
            session,
            limit=limit,
            cursor=cursor,
            status=status,
            project_id=project_id,
            task_type=task_type,
            priority=priority,
        )
    )


@router.post("", response_model=Task, status_code=201)
async def create_task(orchestrator: OrchestratorOf, response: Response, data: TaskCreate) -> Any:
    """Create a task; emits `task_created`."""
    return created(response, await orchestrator.create_task(data.given()), "/api/tasks")


@router.get("/ready", response_model=list_of(Task))
async def list_ready_tasks(session: Reading, limit: Limit = 50, project_id: UUID | None = None) -> Any:
    """List pending tasks that wait for no other, the most urgent first. There is one page."""
    rows = await dependencies.ready_tasks(session, project_id=project_id, limit=limit)
    return {"items": [row.to_dict() for row in rows], "next_cursor": None}


@router.get("/{task_id}", response_model=Task)
async def get_task(session: Reading, task_id: UUID) -> Any:
    """Show one task."""
    return found(await store.get(session, task_id), "task", task_id).to_dict()


@router.patch("/{task_id}", response_model=Task)
async def update_task(orchestrator: OrchestratorOf, task_id: UUID, data: TaskUpdate) -> Any:
    """Change the given fields; emits `task_updated`, and `task_completed` or `task_failed` when it became that."""
    return found(await orchestrator.update_task(str(task_id), data.given()), "task", task_id).to_dict()


@router.delete("/{task_id}", status_code=204)
async def delete_task(orchestrator: OrchestratorOf, task_id: UUID) -> None:
    """Delete a task with its executions and dependencies."""
    async with orchestrator.database.transaction() as session:
        removed(await change.delete_task(session, task_id), "task", task_id)


@router.get("/{task_id}/dependencies", response_model=list_of(TaskDependency))
async def list_task_dependencies(session: Reading, task_id: UUID) -> Any:
    """List what a task depends on. There is one page."""
    rows = await dependencies.dependencies_of(session, task_id)
    return {"items": [row.to_dict() for row in rows], "next_cursor": None}


@router.post("/{task_id}/dependencies", response_model=TaskDependency, status_code=201)
async def add_task_dependency(
    orchestrator: OrchestratorOf, response: Response, task_id: UUID, data: DependencyCreate
) -> Any:
    """Have a task depend on another."""
    async with orchestrator.database.transaction() as session:
        row = await dependencies.add_dependency(session, task_id, data)
    response.headers["Location"] = f"/api/tasks/{task_id}/dependencies/{row.depends_on_task_id}"
    return row.to_dict()


@router.delete("/{task_id}/dependencies/{depends_on_task_id}", status_code=204)
async def remove_task_dependency(orchestrator: OrchestratorOf, task_id: UUID, depends_on_task_id: UUID) -> None:
    """Have a task no longer depend on another."""
    async with orchestrator.database.transaction() as session:
        gone = await dependencies.remove_dependency(session, task_id, depends_on_task_id)
    removed(gone, f"dependency of task {task_id} on", depends_on_task_id)


@router.get("/{task_id}/executions", response_model=list_of(TaskExecution))
async def list_task_executions(session: Reading, task_id: UUID, limit: Limit = 50, cursor: Cursor = None) -> Any:
    """List the attempts at a task, newest first, without their logs."""
    found(await store.get(session, task_id), "task", task_id)
    return listed(await store.page_executions(session, task_id, limit=limit, cursor=cursor))


@router.get("/{task_id}/executions/{execution_id}", response_model=TaskExecutionWithLog)
async def get_task_execution(session: Reading, task_id: UUID, execution_id: UUID) -> Any:
    """Show one attempt; `logs` is what it has said so far."""
    execution = await store.get_execution(session, execution_id)
    execution = found(
        execution if execution and execution.task_id == task_id else None, f"execution of task {task_id}", execution_id
    )
    return execution.to_dict() | {"logs": await store.log_of(session, execution)}
