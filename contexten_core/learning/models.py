"""Tables of the learning module: an observation per outcome, and the patterns that recur in them."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from contexten_core.db import BaseModel, EnumText


class LearningType(StrEnum):
    PATTERN_RECOGNITION = "pattern_recognition"
    PERFORMANCE_OPTIMIZATION = "performance_optimization"
    ERROR_ANALYSIS = "error_analysis"
    SUCCESS_ANALYSIS = "success_analysis"
    USER_BEHAVIOR = "user_behavior"
    CODE_QUALITY = "code_quality"
    SYSTEM_IMPROVEMENT = "system_improvement"


class PatternType(StrEnum):
    CODE_PATTERN = "code_pattern"
    ERROR_PATTERN = "error_pattern"
    PERFORMANCE_PATTERN = "performance_pattern"
    USER_PATTERN = "user_pattern"
    WORKFLOW_PATTERN = "workflow_pattern"
    INTEGRATION_PATTERN = "integration_pattern"


class FeedbackType(StrEnum):
    POSITIVE = "positive"
    NEGATIVE = "negative"
    NEUTRAL = "neutral"
    SUGGESTION = "suggestion"
    BUG_REPORT = "bug_report"
    FEATURE_REQUEST = "feature_request"


class LearningStatus(StrEnum):
    PENDING = "pending"
    PROCESSING = "processing"
    ANALYZED = "analyzed"
    APPLIED = "applied"
    REJECTED = "rejected"


class LearningModel(BaseModel):
    __tablename__ = "learning"
    __table_args__ = (
        Index(None, "learning_type", "created_at"),
        Index(None, "status", "created_at"),
        Index(None, "task_id"),
        Index(None, "project_id", "created_at"),
        Index(None, "created_at"),
    )

    learning_type: Mapped[LearningType] = mapped_column(EnumText(LearningType))
    status: Mapped[LearningStatus] = mapped_column(EnumText(LearningStatus), default=LearningStatus.PENDING)
    data: Mapped[dict[str, Any]]
    context: Mapped[dict[str, Any] | None]
    confidence_score: Mapped[float | None]
    impact_score: Mapped[float | None]
    validation_score: Mapped[float | None]
    source_component: Mapped[str]
    source_operation: Mapped[str | None]
    source_data: Mapped[dict[str, Any] | None]
    applied_at: Mapped[datetime | None]
    application_result: Mapped[dict[str, Any] | None]
    task_id: Mapped[UUID | None] = mapped_column(ForeignKey("tasks.id", ondelete="SET NULL"))
    project_id: Mapped[UUID | None] = mapped_column(ForeignKey("projects.id", ondelete="SET NULL"))


class LearningPatternModel(BaseModel):
    """A failure that recurs, known by its fingerprint; `learning_id` is the observation that it was first seen in."""

    __tablename__ = "learning_patterns"
    __table_args__ = (
        UniqueConstraint("fingerprint"),
        Index(None, "last_observed_at"),
        Index(None, "learning_id"),
        Index(None, "pattern_type", "created_at"),
        Index(None, "created_at"),
    )

    pattern_type: Mapped[PatternType] = mapped_column(EnumText(PatternType))
    pattern_name: Mapped[str]
    pattern_definition: Mapped[dict[str, Any]]
    pattern_rules: Mapped[dict[str, Any] | None]
    occurrence_count: Mapped[int] = mapped_column(default=0)
    success_rate: Mapped[float | None]
    average_performance: Mapped[float | None]
    contexts: Mapped[list[Any] | None]
    conditions: Mapped[dict[str, Any] | None]
    is_validated: Mapped[bool] = mapped_column(default=False)
    validation_data: Mapped[dict[str, Any] | None]
    first_observed_at: Mapped[datetime]
    last_observed_at: Mapped[datetime]
    learning_id: Mapped[UUID] = mapped_column(ForeignKey("learning.id", ondelete="CASCADE"))

    fingerprint: Mapped[str]


class LearningFeedbackModel(BaseModel):
    """What somebody said about something that was learned or decided."""

    __tablename__ = "learning_feedback"
    __table_args__ = (
        Index(None, "learning_id", "created_at"),
        Index(None, "related_task_id"),
        Index(None, "is_processed", "created_at"),
        Index(None, "created_at"),
    )

    feedback_type: Mapped[FeedbackType] = mapped_column(EnumText(FeedbackType))
    feedback_content: Mapped[str]
    source_type: Mapped[str]
    source_id: Mapped[str | None]
    context_data: Mapped[dict[str, Any] | None]
    related_task_id: Mapped[UUID | None] = mapped_column(ForeignKey("tasks.id", ondelete="SET NULL"))
    is_processed: Mapped[bool] = mapped_column(default=False)
    processing_result: Mapped[dict[str, Any] | None]
    processed_at: Mapped[datetime | None]
    rating: Mapped[float | None]
    impact_assessment: Mapped[dict[str, Any] | None]
    action_taken: Mapped[str | None]
    action_result: Mapped[dict[str, Any] | None]
    learning_id: Mapped[UUID] = mapped_column(ForeignKey("learning.id", ondelete="CASCADE"))
