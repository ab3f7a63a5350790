"""What has to be done before what: dependencies between tasks, which never form a circle."""

from collections import deque
from collections.abc import Sequence
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.errors import ConflictError, DependencyError, InvalidInputError, NotFoundError
from contexten_core.tasks import store
from contexten_core.tasks.inputs import DependencyCreate
from contexten_core.tasks.models import TaskDependencyModel, TaskModel, TaskStatus

MOST_DEPENDENCIES = 1_000
MOST_BEHIND = 10_000
MOST_READY = 500
_SHOWN = 20


async def add_dependency(session: AsyncSession, task_id: UUID, data: DependencyCreate) -> TaskDependencyModel:
    """Have a task depend on another.

    Raises:
        ConflictError: it does already, or on too many.
        DependencyError: they would depend on each other, directly or through others; or the task has started, and a
            hard dependency comes too late.
        InvalidInputError: there is no task to depend on.
        NotFoundError: there is no such task.
    """
    other_id = data.depends_on_task_id
    await store.lock_graph(session)
    task = await store.get(session, task_id, lock=True)
    if task is None:
        raise _no_task(task_id)
    if other_id == task_id:
        raise DependencyError(f"task {task_id} cannot depend on itself", hint="name another task")
    other = await store.keep(session, other_id)
    if other is None:
        problem = f"there is no task {other_id}"
        raise InvalidInputError(f"depends_on_task_id: {problem}", fields={"depends_on_task_id": problem})
    if await store.dependency(session, task_id, other_id) is not None:
        raise ConflictError(f"task {task_id} depends on task {other_id} already")
    if await store.count_dependencies(session, task_id) >= MOST_DEPENDENCIES:
        raise ConflictError(f"task {task_id} depends on {MOST_DEPENDENCIES} tasks, and more are not allowed")
    await _refuse_circle(session, task_id, other_id)
    if data.is_hard_dependency:
        _refuse_too_late(task, other)
    row = TaskDependencyModel(id=uuid4(), task_id=task_id, **{"name": data.dependency_type, **data.given()})
    session.add(row)
    await session.flush()
    return row


async def remove_dependency(session: AsyncSession, task_id: UUID, depends_on_task_id: UUID) -> bool:
    """Have a task no longer depend on another; returns whether it did."""
    return await store.remove_dependency(session, task_id, depends_on_task_id)


async def dependencies_of(session: AsyncSession, task_id: UUID) -> Sequence[TaskDependencyModel]:
    """Return what a task depends on, in the order in which that was said.

    Raises:
        NotFoundError: there is no such task.
    """
    if await store.get(session, task_id) is None:
        raise _no_task(task_id)
    return await store.dependencies_of(session, task_id, limit=MOST_DEPENDENCIES)


async def unmet(session: AsyncSession, task_id: UUID) -> Sequence[TaskModel]:
    """Return the tasks that a task still has to wait for: hard dependencies that are not completed."""
    return await store.unmet(session, task_id, limit=MOST_DEPENDENCIES)


async def ready_tasks(session: AsyncSession, *, project_id: UUID | None = None, limit: int) -> Sequence[TaskModel]:
    """Return up to `limit` pending tasks that wait for nothing: critical ones first, then the oldest."""
    return await store.ready(session, project_id=project_id, limit=max(1, min(limit, MOST_READY)))


async def _refuse_circle(session: AsyncSession, task_id: UUID, other_id: UUID) -> None:
    behind = await store.dependencies_behind(session, other_id, limit=MOST_BEHIND + 1)
    if len(behind) > MOST_BEHIND:
        raise DependencyError(
            f"task {other_id} has more than {MOST_BEHIND} dependencies behind it, too many to look for a circle",
            hint="depend on a task that has fewer",
        )
    path = _path(behind, start=other_id, end=task_id)
    if path is None:
        return
    circle = [str(step) for step in (task_id, *path)]
    if len(circle) > _SHOWN:
        circle[_SHOWN // 2 : -_SHOWN // 2] = ["…"]
    raise DependencyError(
        f"task {task_id} cannot depend on task {other_id}, which depends on it: {' -> '.join(circle)}",
        hint="remove one of these dependencies first",
    )


def _path(edges: Sequence[tuple[UUID, UUID]], *, start: UUID, end: UUID) -> list[UUID] | None:
    """Return a shortest way along the edges, both ends included."""
    onward: dict[UUID, list[UUID]] = {}
    for task_id, depends_on in edges:
        onward.setdefault(task_id, []).append(depends_on)
    came_from: dict[UUID, UUID | None] = {start: None}
    queue = deque([start])
    while queue and end not in came_from:
        here = queue.popleft()
        for there in onward.get(here, ()):
            if there not in came_from:
                came_from[there] = here
                queue.append(there)
    if end not in came_from:
        return None
    path: list[UUID] = []
    step: UUID | None = end
    while step is not None:
        path.append(step)
        step = came_from[step]
    return path[::-1]


def _refuse_too_late(task: TaskModel, other: TaskModel) -> None:
    if task.status in (TaskStatus.IN_PROGRESS, TaskStatus.COMPLETED) and other.status is not TaskStatus.COMPLETED:
        pause = "pause the task first, or " if task.status is TaskStatus.IN_PROGRESS else ""
        raise DependencyError(
            f"task {task.id} is {task.status} and can no longer wait for task {other.id}, which is {other.status}",
            hint=f"{pause}make the dependency soft",
        )


def _no_task(task_id: UUID) -> NotFoundError:
    return NotFoundError(f"there is no task {task_id}")
