"""Tables of the analytics module: what happened, how long it took and what it used."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint
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


class MetricType(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    TIMER = "timer"
    RATE = "rate"


class AnalyticsModel(BaseModel):
    """One thing that happened; `session_id` is the run that it happened in."""

    __tablename__ = "analytics"
    __table_args__ = (
        Index(None, "event_type", "created_at"),
        Index(None, "session_id"),
        Index(None, "task_id"),
        Index(None, "project_id", "created_at"),
        Index(None, "created_at"),
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


class AnalyticsEventModel(BaseModel):
    """Something that a person or a component did, in detail, as part of one analytics row."""

    __tablename__ = "analytics_events"
    __table_args__ = (Index(None, "analytics_id", "created_at"), Index(None, "created_at"))

    event_name: Mapped[str]
    event_category: Mapped[str]
    event_action: Mapped[str]
    properties: Mapped[dict[str, Any]]
    timestamp: Mapped[datetime]
    duration_ms: Mapped[float | None]
    page_url: Mapped[str | None]
    referrer: Mapped[str | None]
    user_agent: Mapped[str | None]
    custom_dimensions: Mapped[dict[str, Any] | None]
    analytics_id: Mapped[UUID] = mapped_column(ForeignKey("analytics.id", ondelete="CASCADE"))


class AnalyticsMetricModel(BaseModel):
    """What was measured in one interval: of the machine, or of one operation of one process (`source`).

    Attributes:
        value: the mean.
        timestamp: when the interval began.
        collection_interval_seconds: 60, and what minutes are rolled up into: 600, 3600 and 86400.
        sketch: how the values are distributed, in a form that can be added to another; see `performance.sketch`.
    """

    __tablename__ = "analytics_metrics"
    __table_args__ = (
        UniqueConstraint("collection_interval_seconds", "timestamp", "metric_name", "operation", "source"),
        Index(None, "analytics_id", "created_at"),
        Index(None, "metric_name", "created_at"),
        Index(None, "created_at"),
    )

    metric_name: Mapped[str]
    metric_type: Mapped[MetricType] = mapped_column(EnumText(MetricType))
    value: Mapped[float]
    unit: Mapped[str | None]
    labels: Mapped[dict[str, Any] | None]
    dimensions: Mapped[dict[str, Any] | None]
    sample_count: Mapped[int | None]
    min_value: Mapped[float | None]
    max_value: Mapped[float | None]
    avg_value: Mapped[float | None]
    percentile_95: Mapped[float | None]
    percentile_99: Mapped[float | None]
    timestamp: Mapped[datetime]
    collection_interval_seconds: Mapped[int | None]
    analytics_id: Mapped[UUID] = mapped_column(ForeignKey("analytics.id", ondelete="CASCADE"))

    operation: Mapped[str] = mapped_column(default="")
    source: Mapped[str] = mapped_column(default="")
    error_count: Mapped[int] = mapped_column(default=0)
    sketch: Mapped[dict[str, Any] | None]
