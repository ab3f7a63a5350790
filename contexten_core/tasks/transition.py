"""The states of a task, and which may follow which."""

from collections.abc import Mapping
from types import MappingProxyType
from uuid import UUID

from contexten_core.errors import TransitionError
from contexten_core.tasks.models import TaskStatus

ALLOWED: Mapping[TaskStatus, tuple[TaskStatus, ...]] = MappingProxyType(
    {
        TaskStatus.PENDING: (
            TaskStatus.IN_PROGRESS,
            TaskStatus.PAUSED,
            TaskStatus.CANCELLED,
            TaskStatus.FAILED,
        ),
        TaskStatus.IN_PROGRESS: (
            TaskStatus.COMPLETED,
            TaskStatus.FAILED,
            TaskStatus.CANCELLED,
            TaskStatus.PAUSED,
        ),
        TaskStatus.PAUSED: (
            TaskStatus.PENDING,
            TaskStatus.IN_PROGRESS,
            TaskStatus.CANCELLED,
            TaskStatus.FAILED,
        ),
        TaskStatus.FAILED: (TaskStatus.PENDING, TaskStatus.IN_PROGRESS, TaskStatus.CANCELLED),
        TaskStatus.CANCELLED: (TaskStatus.PENDING,),
        TaskStatus.COMPLETED: (),
    }
)

ENDED = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED})


def check_transition(current: TaskStatus, wanted: TaskStatus, *, task_id: UUID | None = None) -> None:
    """Make sure that a task may go from one status to another; to stay as it is is always allowed.

    Raises:
        TransitionError: it may not; the hint lists where it may go.
    """
    if wanted is current or wanted in ALLOWED[current]:
        return
    which = f"task {task_id}" if task_id else "a task"
    raise TransitionError(f"{which} cannot go from {current} to {wanted}", hint=_where_to(current))


def _where_to(current: TaskStatus) -> str:
    if not ALLOWED[current]:
        return f"{current} is final; create another task"
    return f"from {current} it can go to {', '.join(ALLOWED[current])}"
