"""Tables of the prompts module. A prompt is the routing rule: an instruction, its executor, and when it applies."""

import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Self
from uuid import UUID

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema
from sqlalchemy import Dialect, ForeignKey, Index, String, TypeDecorator, UniqueConstraint, text
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


EXECUTOR_NAME = r"^[a-z][a-z0-9_-]{0,63}$"


class Executor(str):
    """Who carries a prompt out, by a name in the entry-point group `contexten.executors`.

    Those of our own: a program on the checkout, a language model, a coding agent on the checkout, a hosted agent, and
    the text itself. Others are a team's own. Whether one of the name is installed is not asked here: the process that
    stores a prompt need not be the one that carries it out.
    """

    __slots__ = ()

    COMMAND: ClassVar["Executor"]
    LLM: ClassVar["Executor"]
    AGENT: ClassVar["Executor"]
    HTTP: ClassVar["Executor"]
    REPLY: ClassVar["Executor"]
    OWN: ClassVar[Mapping[str, "Executor"]] = {}

    def __new__(cls, name: str) -> Self:
        """Return the executor of a name; for one of our own always the same object.

        Raises:
            ValueError: no executor can have the name.
        """
        if (known := cls.OWN.get(name)) is not None:
            return known  # type: ignore[return-value] # nobody derives from it
        if re.fullmatch(EXECUTOR_NAME, name) is None or name.endswith("\n"):
            raise ValueError("is no name of an executor: small letters, digits, - and _, at most 64, a letter first")
        return super().__new__(cls, name)

    @property
    def value(self) -> str:
        return str(self)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema(pattern=EXECUTOR_NAME))


Executor.OWN = {name: Executor(name) for name in ("command", "llm", "agent", "http", "reply")}
Executor.COMMAND, Executor.LLM, Executor.AGENT, Executor.HTTP, Executor.REPLY = Executor.OWN.values()


class _ExecutorText(TypeDecorator[Executor]):
    """The name of an executor."""

    impl = String(64)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else Executor(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> Executor | None:  # noqa: ARG002
        return None if value is None else Executor(value)


class PromptChange(StrEnum):
    """What was changed about a prompt; `details` are those that are no part of a version."""

    CREATED = "created"
    VERSION = "version"
    DETAILS = "details"
    STATUS = "status"
    LABEL = "label"
    EXPERIMENT = "experiment"
    REMOVED = "removed"


class ExperimentStatus(StrEnum):
    """Where an experiment is. `concluded` is one that has enough samples, and proposes a version."""

    RUNNING = "running"
    CONCLUDED = "concluded"
    STOPPED = "stopped"


class PromptModel(BaseModel):
    """An instruction with the executor that carries it out; of several that apply, the highest `priority` wins.

    The row is the newest version, `version`, which `prompt_versions` keeps with all earlier ones.

    `executor_config` of the command executor: `{"command": "python -m pytest -q"}`.
    `limits`: `{"wall_seconds": 900, "output_bytes": 1048576}`, both optional.
    `outputs`: what its executor may propose, by kind: `{"comment": {"most": 1}}`; nothing that is not named.
    `revision` is the catalogue's when it was last changed, by whatever change.
    """

    __tablename__ = "prompts"
    __table_args__ = (
        UniqueConstraint("slug"),
        Index(None, "status", "created_at"),
        Index(None, "created_at"),
        Index(None, "parent_prompt_id"),
        Index(None, "revision"),
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
    executor: Mapped[Executor] = mapped_column(_ExecutorText)
    executor_config: Mapped[dict[str, Any]]
    limits: Mapped[dict[str, Any] | None]
    outputs: Mapped[dict[str, Any] | None]
    digest: Mapped[str | None]
    revision: Mapped[int] = mapped_column(default=0)


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


class PromptVersionModel(BaseModel):
    """One version of a prompt, as it will always be: `content` is a `PromptSpec` without its slug.

    `author` is whoever made it, `message` why; `parent_version` is the one that it was made from.
    """

    __tablename__ = "prompt_versions"
    __table_args__ = (UniqueConstraint("prompt_id", "version"), Index(None, "created_at"))

    version: Mapped[int]
    parent_version: Mapped[int | None]
    digest: Mapped[str]
    author: Mapped[str]
    message: Mapped[str]
    content: Mapped[dict[str, Any]]
    prompt_id: Mapped[UUID] = mapped_column(ForeignKey("prompts.id", ondelete="CASCADE"))


class PromptLabelModel(BaseModel):
    """A name for one version of a prompt that can be moved to another; `latest` is no row, but the newest version."""

    __tablename__ = "prompt_labels"
    __table_args__ = (UniqueConstraint("prompt_id", "label"),)

    label: Mapped[str]
    version: Mapped[int]
    prompt_id: Mapped[UUID] = mapped_column(ForeignKey("prompts.id", ondelete="CASCADE"))


class PromptChangeModel(BaseModel):
    """One change of a prompt, by whom and why. It outlives the prompt, whose slug it keeps."""

    __tablename__ = "prompt_changes"
    __table_args__ = (Index(None, "slug", "created_at"), Index(None, "prompt_id"), Index(None, "created_at"))

    slug: Mapped[str]
    change: Mapped[PromptChange] = mapped_column(EnumText(PromptChange))
    version: Mapped[int | None]
    author: Mapped[str]
    message: Mapped[str]
    details: Mapped[dict[str, Any] | None]
    prompt_id: Mapped[UUID | None] = mapped_column(ForeignKey("prompts.id", ondelete="SET NULL"))


class PromptCatalogueModel(BaseModel):
    """The one row that says how often anything about any prompt has changed, so that a worker knows what it holds.

    `deletions` counts the prompts that were removed: of those no row could tell.
    """

    __tablename__ = "prompt_catalogue"
    __table_args__ = (UniqueConstraint("name"),)

    revision: Mapped[int] = mapped_column(default=0)
    deletions: Mapped[int] = mapped_column(default=0)


class PromptUsageModel(BaseModel):
    """What came of one version of a prompt in one project on one day (UTC midnight)."""

    __tablename__ = "prompt_usage"
    __table_args__ = (
        UniqueConstraint("prompt_id", "version", "project_id", "day"),
        Index(None, "project_id"),
        Index(None, "day"),
    )

    version: Mapped[int]
    day: Mapped[datetime]
    uses: Mapped[int] = mapped_column(default=0)
    successes: Mapped[int] = mapped_column(default=0)
    errors: Mapped[int] = mapped_column(default=0)
    seconds: Mapped[float] = mapped_column(default=0.0)
    cost: Mapped[float] = mapped_column(default=0.0)
    last_used_at: Mapped[datetime]
    prompt_id: Mapped[UUID] = mapped_column(ForeignKey("prompts.id", ondelete="CASCADE"))
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))


class PromptExperimentModel(BaseModel):
    """Several versions of one prompt that share its events by weight until one has proved better; one at a time.

    `variants`: `[{"version": 3, "weight": 50}, {"version": 4, "weight": 50}]`, the first is the control.
    `guardrails`: `{"success_rate": 0.8, "seconds": 600}`: a variant that falls behind these gets no more events.
    `proposal`: what it found, with intervals, and which version it would label; nobody is moved without a person.
    """

    __tablename__ = "prompt_experiments"
    __table_args__ = (
        Index(
            "uq_prompt_experiments_running",
            "prompt_id",
            unique=True,
            sqlite_where=text("status = 'running'"),
            postgresql_where=text("status = 'running'"),
        ),
        Index(None, "prompt_id", "created_at"),
        Index(None, "created_at"),
    )

    status: Mapped[ExperimentStatus] = mapped_column(EnumText(ExperimentStatus), default=ExperimentStatus.RUNNING)
    variants: Mapped[list[Any]]
    minimum_samples: Mapped[int]
    guardrails: Mapped[dict[str, Any] | None]
    author: Mapped[str]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    proposal: Mapped[dict[str, Any] | None]
    prompt_id: Mapped[UUID] = mapped_column(ForeignKey("prompts.id", ondelete="CASCADE"))


class PromptExposureModel(BaseModel):
    """That a run was answered with a version, with which probability, and what came of it; one per run."""

    __tablename__ = "prompt_exposures"
    __table_args__ = (
        UniqueConstraint("run_id"),
        Index(None, "experiment_id", "version"),
        Index(None, "experiment_id", "subject"),
        Index(None, "prompt_id", "created_at"),
        Index(None, "created_at"),
    )

    version: Mapped[int]
    subject: Mapped[str | None]
    probability: Mapped[float]
    succeeded: Mapped[bool | None]
    seconds: Mapped[float | None]
    cost: Mapped[float | None]
    finished_at: Mapped[datetime | None]
    run_id: Mapped[UUID] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    prompt_id: Mapped[UUID] = mapped_column(ForeignKey("prompts.id", ondelete="CASCADE"))
    experiment_id: Mapped[UUID] = mapped_column(ForeignKey("prompt_experiments.id", ondelete="CASCADE"))
