"""Tables of the analytics module: what happened, how long it took and what it used."""

from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from contexten_core.db import BaseModel, EnumText


class AnalyticsEventType(StrEnum):
    TASK_STARTED = "task_started"
    TASK_COMPLETED = "task_completed"
    TASK_FAILED = "task_failed"
    CODE_GENERATED = "code_generated"
    CODE_REVIEWED = "code_reviewed"
    ERROR_OCCURRED = "error_occurred"
    PERFORMANCE_MEASURED = "performance_measured"
    USER_INTERACTION = "user_interaction"
    SYSTEM_OPTIMIZATION = "system_optimization"
    LEARNING_UPDATE = "learning_update"


class AnalyticsModel(BaseModel):
    """One thing that happened; `session_id` is the run that it happened in."""

    __tablename__ = "analytics"
    __table_args__ = (
        Index(None, "event_type", "created_at"),
        Index(None, "session_id"),
        Index(None, "task_id"),
        Index(None, "project_id", "created_at"),
    )

    session_id: Mapped[str]
    event_type: Mapped[AnalyticsEventType] = mapped_column(EnumText(AnalyticsEventType))
    component: Mapped[str]
    operation: Mapped[str]
    event_data: Mapped[dict[str, Any]]
    context: Mapped[dict[str, Any] | None]
    duration_ms: Mapped[float | None]
    memory_usage_mb: Mapped[float | None]
    cpu_usage_percent: Mapped[float | None]
    success: Mapped[bool]
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    user_id: Mapped[str | None]
    environment: Mapped[str | None]
    version: Mapped[str | None]
    task_id: Mapped[UUID | None] = mapped_column(ForeignKey("tasks.id", ondelete="SET NULL"))
    project_id: Mapped[UUID | None] = mapped_column(ForeignKey("projects.id", ondelete="SET NULL"))
