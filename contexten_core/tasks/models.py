"""Tables of the tasks module: what is to be done, each attempt at it, and the log of the attempt that runs."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from contexten_core.db import BaseModel, EnumText


class TaskStatus(StrEnum):
    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PAUSED = "paused"


class TaskPriority(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class TaskType(StrEnum):
    CODE_GENERATION = "code_generation"
    CODE_REVIEW = "code_review"
    BUG_FIX = "bug_fix"
    FEATURE_IMPLEMENTATION = "feature_implementation"
    TESTING = "testing"
    DOCUMENTATION = "documentation"
    REFACTORING = "refactoring"
    DEPLOYMENT = "deployment"
    ANALYSIS = "analysis"
    INTEGRATION = "integration"


class TaskModel(BaseModel):
    __tablename__ = "tasks"
    __table_args__ = (
        Index(None, "project_id", "created_at"),
        Index(None, "status", "created_at"),
        Index(None, "parent_task_id"),
        Index(None, "created_at"),
    )

    external_id: Mapped[str | None]
    title: Mapped[str]
    task_type: Mapped[TaskType] = mapped_column(EnumText(TaskType))
    priority: Mapped[TaskPriority] = mapped_column(EnumText(TaskPriority), default=TaskPriority.MEDIUM)
    status: Mapped[TaskStatus] = mapped_column(EnumText(TaskStatus), default=TaskStatus.PENDING)
    prompt: Mapped[str | None]
    context: Mapped[dict[str, Any] | None]
    requirements: Mapped[dict[str, Any] | None]
    constraints: Mapped[dict[str, Any] | None]
    assigned_agent: Mapped[str | None]
    estimated_duration_minutes: Mapped[float | None]
    actual_duration_minutes: Mapped[float | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    due_date: Mapped[datetime | None]
    result: Mapped[dict[str, Any] | None]
    output_files: Mapped[list[Any] | None]
    error_message: Mapped[str | None]
    project_id: Mapped[UUID | None] = mapped_column(ForeignKey("projects.id", ondelete="SET NULL"))
    parent_task_id: Mapped[UUID | None] = mapped_column(ForeignKey("tasks.id", ondelete="SET NULL"))


class TaskExecutionModel(BaseModel):
    """One attempt at a task. While it runs its log is in `task_log_chunks`; afterwards it is in `logs`."""

    __tablename__ = "task_executions"
    __table_args__ = (UniqueConstraint("task_id", "execution_number"),)

    execution_number: Mapped[int]
    status: Mapped[TaskStatus] = mapped_column(EnumText(TaskStatus))
    agent_version: Mapped[str | None]
    execution_environment: Mapped[dict[str, Any] | None]
    input_parameters: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime]
    completed_at: Mapped[datetime | None]
    duration_seconds: Mapped[float | None]
    output: Mapped[dict[str, Any] | None]
    error_details: Mapped[dict[str, Any] | None]
    logs: Mapped[str | None]
    cpu_usage_percent: Mapped[float | None]
    memory_usage_mb: Mapped[float | None]
    api_calls_count: Mapped[int | None]
    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))


class TaskLogChunkModel(BaseModel):
    """A piece of the log of an execution that still runs (or died without an end)."""

    __tablename__ = "task_log_chunks"
    __table_args__ = (UniqueConstraint("execution_id", "position"),)

    execution_id: Mapped[UUID] = mapped_column(ForeignKey("task_executions.id", ondelete="CASCADE"))
    position: Mapped[int]
    content: Mapped[str]


class TaskDependencyModel(BaseModel):
    """`task_id` depends on `depends_on_task_id`; a hard dependency has to be completed before the task may start."""

    __tablename__ = "task_dependencies"
    __table_args__ = (
        UniqueConstraint("task_id", "depends_on_task_id"),
        CheckConstraint("task_id <> depends_on_task_id", name="not_itself"),
        Index(None, "depends_on_task_id"),
    )

    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    depends_on_task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    dependency_type: Mapped[str] = mapped_column(default="blocks")
    is_hard_dependency: Mapped[bool] = mapped_column(default=True)


class ApprovalStatus(StrEnum):
    """Where an approval is. `void` is one whose commit or plan has changed meanwhile."""

    PENDING = "pending"
    APPROVED = "approved"
    REFUSED = "refused"
    EXPIRED = "expired"
    VOID = "void"


class ApprovalModel(BaseModel):
    """That somebody has to say yes before an event's commit is worked on, and whether they did.

    It counts for one commit and one plan: `plan_digest` is over the prompt's version, its limits and its outputs.
    `decided_through` is where: `github`, `slack`, `api` or `cli`.
    """

    __tablename__ = "approvals"
    __table_args__ = (
        UniqueConstraint("event_id", "commit_sha", "plan_digest"),
        Index(None, "status", "created_at"),
        Index(None, "subject", "created_at"),
        Index(None, "created_at"),
        Index(None, "project_id"),
    )

    event_id: Mapped[UUID] = mapped_column(ForeignKey("events.id", ondelete="CASCADE"))
    status: Mapped[ApprovalStatus] = mapped_column(EnumText(ApprovalStatus), default=ApprovalStatus.PENDING)
    subject: Mapped[str]
    repository: Mapped[str]
    commit_sha: Mapped[str]
    plan_digest: Mapped[str]
    plan: Mapped[dict[str, Any]]
    reason: Mapped[str]
    expires_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str | None]
    decided_through: Mapped[str | None]
    project_id: Mapped[UUID | None] = mapped_column(ForeignKey("projects.id", ondelete="SET NULL"))
