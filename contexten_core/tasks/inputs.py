"""What people and scripts give to create or change a task, or to make one wait for another."""

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field, WithJsonSchema

from contexten_core.inputs import (
    Input,
    JSONDocument,
    JSONList,
    JSONObject,
    Line,
    LongText,
    Moment,
    Name,
    RowInput,
    absent,
)
from contexten_core.tasks.models import TaskPriority, TaskStatus, TaskType

FIRST_STATUSES = (TaskStatus.PENDING, TaskStatus.IN_PROGRESS, TaskStatus.PAUSED)


def _first(status: TaskStatus) -> TaskStatus:
    if status not in FIRST_STATUSES:
        raise ValueError(f"a new task is {', '.join(FIRST_STATUSES[:-1])} or {FIRST_STATUSES[-1]}, not {status}")
    return status


FirstStatus = Annotated[
    TaskStatus, AfterValidator(_first), WithJsonSchema({"type": "string", "enum": list(FIRST_STATUSES)})
]
Minutes = Annotated[float, Field(ge=0, le=1e9)]
DependencyType = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,49}$")]


class _TaskInput(RowInput):
    external_id: Line | None = None
    prompt: LongText | None = None
    context: JSONObject | None = None
    requirements: JSONDocument | None = None
    constraints: JSONDocument | None = None
    assigned_agent: Line | None = None
    estimated_duration_minutes: Minutes | None = None
    started_at: Moment | None = None
    due_date: Moment | None = None
    output_files: JSONList | None = None
    project_id: UUID | None = None
    parent_task_id: UUID | None = None


class TaskCreate(_TaskInput):
    """A new task. Without a title it has its name for one."""

    name: Name
    title: Name = Field(default_factory=absent)
    task_type: TaskType
    priority: TaskPriority = TaskPriority.MEDIUM
    status: FirstStatus = TaskStatus.PENDING


class TaskUpdate(_TaskInput):
    """What to change of a task: only the fields that are given. Null empties a field that may be empty."""

    name: Name = Field(default_factory=absent)
    title: Name = Field(default_factory=absent)
    task_type: TaskType = Field(default_factory=absent)
    priority: TaskPriority = Field(default_factory=absent)
    status: TaskStatus = Field(default_factory=absent)
    actual_duration_minutes: Minutes | None = None
    completed_at: Moment | None = None
    result: JSONObject | None = None
    error_message: LongText | None = None


class DependencyCreate(Input):
    """What a task shall depend on. It may not start before its hard dependencies are completed."""

    depends_on_task_id: UUID
    dependency_type: DependencyType = "blocks"
    is_hard_dependency: bool = True
    name: Name = Field(default_factory=absent)
