"""What prompts, their templates and their conditions may be given."""

import shlex
from typing import Annotated, Any
from uuid import UUID

import re2
from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from contexten_core.inputs import Input, JSONAny, JSONObject, Line, LongText, Name, RowInput, Slug, absent
from contexten_core.prompts.models import (
    ConditionOperator,
    Executor,
    LogicalOperator,
    PromptStatus,
    PromptType,
)
from contexten_core.tasks.models import TaskPriority, TaskType

_LONGEST_PATTERN = 1_000
_LONGEST_RUN_SECONDS = 24 * 3600
_MOST_OUTPUT_BYTES = 100 * 1024**2


def _command(value: str | list[str]) -> str | list[str]:
    try:
        arguments = shlex.split(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"cannot be read as a command: {error}") from None
    if not arguments or not arguments[0]:
        raise ValueError("names no program")
    return value


def expected_problem(operator: ConditionOperator, expected: Any) -> str | None:
    """Return why `expected` is nothing that `operator` could ever compare with, or None."""
    match operator:
        case ConditionOperator.IN | ConditionOperator.NOT_IN:
            return None if isinstance(expected, list) else f"{operator.value} needs a list"
        case ConditionOperator.GREATER_THAN | ConditionOperator.LESS_THAN:
            is_number = isinstance(expected, int | float) and not isinstance(expected, bool)
            return None if is_number else f"{operator.value} needs a number"
        case ConditionOperator.REGEX_MATCH:
            return _pattern_problem(expected)
        case _:
            return None


def _pattern_problem(pattern: Any) -> str | None:
    if not isinstance(pattern, str) or len(pattern) > _LONGEST_PATTERN:
        return f"regex_match needs a regular expression of at most {_LONGEST_PATTERN} characters"
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        said = error.args[0]
        return f"is no regular expression of RE2: {said.decode() if isinstance(said, bytes) else said}"
    return None


_Text = Annotated[LongText, Field(min_length=1)]
_Rank = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]
_Command = Annotated[
    Annotated[Line, Field(min_length=1)] | Annotated[list[Line], Field(min_length=1, max_length=500)],
    AfterValidator(_command),
]
_FieldPath = Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){0,9}$")]


class CommandConfig(Input):
    """What the command executor needs: a command line, split like a shell's and run without one, or its arguments."""

    command: _Command


class PromptLimits(Input):
    """What carrying out a prompt may take; what is left out has the executor's own limit."""

    wall_seconds: Annotated[float, Field(gt=0, le=_LONGEST_RUN_SECONDS)] = Field(default_factory=absent)
    output_bytes: Annotated[int, Field(gt=0, le=_MOST_OUTPUT_BYTES)] = Field(default_factory=absent)


class _PromptFields(RowInput):
    system_prompt: LongText | None = None
    variables: JSONObject | None = None
    default_values: JSONObject | None = None
    parent_prompt_id: UUID | None = None
    category: Line | None = None
    subcategory: Line | None = None
    executor_config: CommandConfig | None = None
    limits: PromptLimits | None = None

    def columns(self) -> dict[str, Any]:
        """Return the fields that were given, by the names of the model's attributes."""
        return {name: value.given() if isinstance(value, Input) else value for name, value in super().columns().items()}


class PromptCreate(_PromptFields):
    """A prompt. Left out, the slug is made of the name, the kind of task follows from the kind of prompt.

    Without `executor_config` nothing could carry it out, so it is inactive until it has one.
    """

    name: Name
    slug: Slug | None = None
    prompt_type: PromptType
    template: _Text
    status: PromptStatus | None = None
    task_type: TaskType | None = None
    task_priority: TaskPriority = TaskPriority.MEDIUM
    priority: _Rank = 0
    executor: Executor = Executor.COMMAND


class PromptUpdate(_PromptFields):
    """Changes of a prompt; what is left out stays."""

    name: Name = Field(default_factory=absent)
    slug: Slug = Field(default_factory=absent)
    prompt_type: PromptType = Field(default_factory=absent)
    template: _Text = Field(default_factory=absent)
    status: PromptStatus = Field(default_factory=absent)
    task_type: TaskType = Field(default_factory=absent)
    task_priority: TaskPriority = Field(default_factory=absent)
    priority: _Rank = Field(default_factory=absent)
    executor: Executor = Field(default_factory=absent)


class PromptTemplateCreate(RowInput):
    """A prompt's text for one language or kind of context."""

    prompt_id: UUID
    template_name: Name
    content: _Text
    name: Name | None = None
    language: Line | None = None
    context_type: Line | None = None
    is_default: bool = False
    priority: _Rank = 0


class PromptTemplateUpdate(RowInput):
    """Changes of a template; what is left out stays."""

    template_name: Name = Field(default_factory=absent)
    content: _Text = Field(default_factory=absent)
    name: Name = Field(default_factory=absent)
    language: Line | None = None
    context_type: Line | None = None
    is_default: bool = Field(default_factory=absent)
    priority: _Rank = Field(default_factory=absent)


class PromptConditionCreate(RowInput):
    """One comparison that decides whether a prompt applies: of the field at a dotted path with an expected value."""

    prompt_id: UUID
    field_name: _FieldPath
    operator: ConditionOperator
    expected_value: JSONAny
    condition_name: Name | None = None
    name: Name | None = None
    is_active: bool = True
    priority: _Rank = 0
    logical_operator: LogicalOperator = LogicalOperator.AND
    group_id: Line | None = None

    @field_validator("expected_value")
    @classmethod
    def _comparable(cls, value: Any, info: ValidationInfo) -> Any:
        operator = info.data.get("operator")
        if operator is not None and (problem := expected_problem(operator, value)):
            raise ValueError(problem)
        return value


class PromptConditionUpdate(RowInput):
    """Changes of a condition; what is left out stays."""

    field_name: _FieldPath = Field(default_factory=absent)
    operator: ConditionOperator = Field(default_factory=absent)
    expected_value: JSONAny = None
    condition_name: Name = Field(default_factory=absent)
    name: Name = Field(default_factory=absent)
    is_active: bool = Field(default_factory=absent)
    priority: _Rank = Field(default_factory=absent)
    logical_operator: LogicalOperator = Field(default_factory=absent)
    group_id: Line | None = None
