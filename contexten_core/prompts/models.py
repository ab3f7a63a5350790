"""Tables of the prompts module. A prompt is the routing rule: an instruction, its executor, and when it applies."""

from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from contexten_core.db import BaseModel, EnumText, JSONValue
from contexten_core.tasks.models import TaskPriority, TaskType


class PromptType(StrEnum):
    CODE_GENERATION = "code_generation"
    CODE_REVIEW = "code_review"
    BUG_FIX = "bug_fix"
    DOCUMENTATION = "documentation"
    TESTING = "testing"
    REFACTORING = "refactoring"
    ANALYSIS = "analysis"
    SYSTEM_PROMPT = "system_prompt"
    USER_PROMPT = "user_prompt"


class PromptStatus(StrEnum):
    ACTIVE = "active"
    INACTIVE = "inactive"
    DEPRECATED = "deprecated"
    TESTING = "testing"


class ConditionOperator(StrEnum):
    EQUALS = "equals"
    NOT_EQUALS = "not_equals"
    CONTAINS = "contains"
    NOT_CONTAINS = "not_contains"
    GREATER_THAN = "greater_than"
    LESS_THAN = "less_than"
    IN = "in"
    NOT_IN = "not_in"
    REGEX_MATCH = "regex_match"


class LogicalOperator(StrEnum):
    AND = "AND"
    OR = "OR"


class Executor(StrEnum):
    COMMAND = "command"


class PromptModel(BaseModel):
    """An instruction with the executor that carries it out; of several that apply, the highest `priority` wins.

    `executor_config` of the command executor: `{"command": "python -m pytest -q"}`.
    `limits`: `{"wall_seconds": 900, "output_bytes": 1048576}`, both optional.
    """

    __tablename__ = "prompts"
    __table_args__ = (
        UniqueConstraint("slug"),
        Index(None, "status", "created_at"),
        Index(None, "created_at"),
        Index(None, "parent_prompt_id"),
    )

    slug: Mapped[str]
    prompt_type: Mapped[PromptType] = mapped_column(EnumText(PromptType))
    status: Mapped[PromptStatus] = mapped_column(EnumText(PromptStatus), default=PromptStatus.ACTIVE)
    template: Mapped[str]
    system_prompt: Mapped[str | None]
    variables: Mapped[dict[str, Any] | None]
    default_values: Mapped[dict[str, Any] | None]
    usage_count: Mapped[int] = mapped_column(default=0)
    success_rate: Mapped[float | None]
    average_response_time: Mapped[float | None]
    version: Mapped[int] = mapped_column(default=1)
    parent_prompt_id: Mapped[UUID | None] = mapped_column(ForeignKey("prompts.id", ondelete="SET NULL"))
    category: Mapped[str | None]
    subcategory: Mapped[str | None]

    task_type: Mapped[TaskType] = mapped_column(EnumText(TaskType))
    task_priority: Mapped[TaskPriority] = mapped_column(EnumText(TaskPriority), default=TaskPriority.MEDIUM)
    priority: Mapped[int] = mapped_column(default=0)
    executor: Mapped[Executor] = mapped_column(EnumText(Executor))
    executor_config: Mapped[dict[str, Any]]
    limits: Mapped[dict[str, Any] | None]


class PromptConditionModel(BaseModel):
    """One comparison. Conditions of one `group_id` are joined by their `logical_operator`, and groups by AND."""

    __tablename__ = "prompt_conditions"
    __table_args__ = (Index(None, "prompt_id", "created_at"),)

    condition_name: Mapped[str]
    field_name: Mapped[str]
    operator: Mapped[ConditionOperator] = mapped_column(EnumText(ConditionOperator))
    expected_value: Mapped[Any] = mapped_column(JSONValue(none_as_null=False))
    is_active: Mapped[bool] = mapped_column(default=True)
    priority: Mapped[int] = mapped_column(default=0)
    logical_operator: Mapped[LogicalOperator] = mapped_column(EnumText(LogicalOperator), default=LogicalOperator.AND)
    group_id: Mapped[str | None]
    prompt_id: Mapped[UUID] = mapped_column(ForeignKey("prompts.id", ondelete="CASCADE"))


class PromptTemplateModel(BaseModel):
    """A prompt's text for one language or kind of context; the prompt's own `template` serves everything else."""

    __tablename__ = "prompt_templates"
    __table_args__ = (UniqueConstraint("prompt_id", "template_name"),)

    template_name: Mapped[str]
    content: Mapped[str]
    language: Mapped[str | None]
    context_type: Mapped[str | None]
    is_default: Mapped[bool] = mapped_column(default=False)
    priority: Mapped[int] = mapped_column(default=0)
    usage_count: Mapped[int] = mapped_column(default=0)
    success_rate: Mapped[float | None]
    prompt_id: Mapped[UUID] = mapped_column(ForeignKey("prompts.id", ondelete="CASCADE"))
