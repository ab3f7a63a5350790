"""What prompts, their templates and their conditions may be given."""

import shlex
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self
from uuid import UUID

import re2
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from contexten_core.inputs import (
    LARGEST_COUNT,
    LARGEST_INTEGER,
    Input,
    JSONAny,
    JSONObject,
    Line,
    LongText,
    Name,
    RowInput,
    Slug,
    Tags,
    absent,
    checked,
)
from contexten_core.prompts.conditions import expected_problem
from contexten_core.prompts.head import settled
from contexten_core.prompts.models import (
    ConditionOperator,
    Executor,
    LogicalOperator,
    PromptStatus,
    PromptType,
)
from contexten_core.prompts.spec import OutputType, PromptSpec, VariableType, content_of
from contexten_core.tasks.models import TaskPriority, TaskType

_LONGEST_RUN_SECONDS = 24 * 3600
_MOST_OUTPUT_BYTES = 100 * 1024**2
_MOST_MEMORY_BYTES = 1024**4
_MOST_VARIABLES = 200
_MOST_TEMPLATES = 200
_MOST_CONDITIONS = 1_000
_MOST_NAMES = 200
_MOST_LABELS = 20

EXECUTOR_FIELDS: Mapping[str, tuple[str, ...]] = {
    Executor.COMMAND: ("command",),
    Executor.AGENT: ("command", "prompt_by", "environment", "provider"),
    Executor.HTTP: ("agent",),
    Executor.LLM: ("model", "max_turns"),
    Executor.REPLY: ("labels",),
}
"""What each executor of our own takes; of those that need something, that comes first."""

_HAS_DEFAULTS = frozenset({Executor.LLM, Executor.REPLY})
_MOST_OWN_FIELDS = 100

_PYTHON_TYPES: Mapping[VariableType, tuple[type, ...]] = {
    VariableType.STRING: (str,),
    VariableType.INTEGER: (int,),
    VariableType.NUMBER: (int, float),
    VariableType.BOOLEAN: (bool,),
    VariableType.LIST: (list,),
    VariableType.OBJECT: (dict,),
}


def _command(value: str | list[str]) -> str | list[str]:
    try:
        arguments = shlex.split(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"cannot be read as a command: {error}") from None
    if not arguments or not arguments[0]:
        raise ValueError("names no program")
    return value


def _settled(value: Any) -> Any:
    """Take a value as the database will give it back; floats beyond 64 bits come back as integers that are refused."""
    level = [value]
    while level:
        if any(isinstance(item, float) and abs(item) > LARGEST_INTEGER for item in level):
            raise ValueError("holds a number beyond 64 bits")
        level = [part for item in level if isinstance(item, dict | list) for part in _parts(item)]
    return settled(value)


def _parts(item: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return item.values() if isinstance(item, dict) else item


_JSON = Annotated[JSONAny, AfterValidator(_settled)]
_Text = Annotated[LongText, Field(min_length=1)]
_Rank = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]
_Command = Annotated[
    Annotated[Line, Field(min_length=1)] | Annotated[list[Line], Field(min_length=1, max_length=500)],
    AfterValidator(_command),
]
_FieldPath = Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){0,9}$")]


_Host = Annotated[
    str,
    Field(
        max_length=253,
        pattern=r"^(\*\.)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?){0,30}$",
    ),
]
_VARIABLE_NAME = "^[A-Za-z_][A-Za-z0-9_]{0,99}$"
_VariableName = Annotated[str, Field(pattern=_VARIABLE_NAME)]


class LabelsInput(Input):
    """Labels to put on, and to take off."""

    add: Annotated[list[Name], Field(max_length=_MOST_LABELS)] = Field(default_factory=list)
    remove: Annotated[list[Name], Field(max_length=_MOST_LABELS)] = Field(default_factory=list)


class ExecutorConfig(Input):
    """What an executor needs to know; which of these it takes depends on the executor.

    A command is split like a shell's and run without one, or given as its arguments. Of the model and the turns that
    it may take, what is left out is as configured. A coding agent gets the prompt on its standard input or in a file,
    the variables of `environment`, and the key of one `provider` of language models. A hosted `agent` is one of those
    that are configured, by its name. An executor of a team's own takes whatever else it knows.
    """

    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[str, _JSON] = Field(init=False)

    command: _Command = Field(default_factory=absent)
    prompt_by: Literal["stdin", "file"] = Field(default_factory=absent)
    environment: Annotated[dict[_VariableName, Line], Field(max_length=_MOST_OWN_FIELDS)] = Field(
        default_factory=absent
    )
    provider: Literal["openai", "anthropic"] = Field(default_factory=absent)
    agent: Slug = Field(default_factory=absent)
    model: Annotated[Name, Field(max_length=200)] = Field(default_factory=absent)
    max_turns: Annotated[int, Field(ge=1, le=1_000)] = Field(default_factory=absent)
    labels: LabelsInput = Field(default_factory=absent)

    @model_validator(mode="after")
    def _not_too_many(self) -> Self:
        if len(self.model_fields_set) > _MOST_OWN_FIELDS:
            raise ValueError(f"has more than {_MOST_OWN_FIELDS} keys")
        return self

    def given(self) -> dict[str, Any]:
        """Return what was given, by name, as JSON's types."""
        return self.model_dump(mode="json", exclude_unset=True)


def executor_problem(executor: Executor, config: Mapping[str, Any]) -> str | None:
    """Return why an executor of our own could carry nothing out with such a configuration, or None."""
    fields = EXECUTOR_FIELDS.get(executor)
    if fields is None:
        return None
    alien = sorted(config.keys() - set(fields))
    if alien:
        return f"the {executor.value} executor takes no {', '.join(alien)}"
    if fields[0] not in config and executor not in _HAS_DEFAULTS:
        return f'the {executor.value} executor needs {{"{fields[0]}": "..."}}'
    return None


class PromptLimits(Input):
    """What carrying out a prompt may take; what is left out has the executor's own limit.

    `max_cost` is in US dollars, `network` lists the hosts that may be reached: exact, or all below one: `*.pypi.org`.
    """

    wall_seconds: Annotated[float, Field(gt=0, le=_LONGEST_RUN_SECONDS)] = Field(default_factory=absent)
    output_bytes: Annotated[int, Field(gt=0, le=_MOST_OUTPUT_BYTES)] = Field(default_factory=absent)
    max_cost: Annotated[float, Field(ge=0, le=1_000_000)] = Field(default_factory=absent)
    max_tokens: Annotated[int, Field(gt=0, le=1_000_000_000)] = Field(default_factory=absent)
    network: Annotated[list[_Host], Field(max_length=_MOST_NAMES)] = Field(default_factory=absent)
    memory_bytes: Annotated[int, Field(gt=0, le=_MOST_MEMORY_BYTES)] = Field(default_factory=absent)
    processes: Annotated[int, Field(gt=0, le=100_000)] = Field(default_factory=absent)


class VariableInput(Input):
    """A value that a template may use: of which type, from where, and what it is where nothing is there."""

    type: VariableType = VariableType.STRING
    source: _FieldPath | None = None
    default: _JSON = None
    required: bool = False
    description: LongText | None = None

    @field_validator("default")
    @classmethod
    def _typed(cls, value: Any, info: ValidationInfo) -> Any:
        kind = info.data.get("type")
        if kind is not None and (problem := default_problem(kind, value)):
            raise ValueError(problem)
        return value


def default_problem(kind: VariableType, default: Any) -> str | None:
    """Return why a variable of that type can have no such default, or None."""
    fits = isinstance(default, _PYTHON_TYPES[kind]) and (kind is VariableType.BOOLEAN or not isinstance(default, bool))
    return None if default is None or fits else f"is no {kind.value}"


def _long_form(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


_Variable = Annotated[VariableInput, BeforeValidator(_long_form, json_schema_input_type=VariableType | VariableInput)]
_Variables = Annotated[dict[_VariableName, _Variable], Field(max_length=_MOST_VARIABLES)]
_Defaults = Annotated[JSONObject, Field(max_length=_MOST_VARIABLES), AfterValidator(_settled)]


class OutputInput(Input):
    """How much of one kind of output is allowed in one run, which labels may be set, and what a patch may touch."""

    most: Annotated[int, Field(ge=1, le=1_000)] = 1
    labels: Annotated[list[Name], Field(max_length=_MOST_NAMES)] | None = None
    paths: Annotated[list[Name], Field(max_length=_MOST_NAMES)] | None = None


class _PromptFields(RowInput):
    system_prompt: LongText | None = None
    variables: _Variables | None = None
    default_values: _Defaults | None = None
    parent_prompt_id: UUID | None = None
    category: Line | None = None
    subcategory: Line | None = None
    executor_config: ExecutorConfig | None = None
    limits: PromptLimits | None = None
    outputs: dict[OutputType, OutputInput] | None = None

    @field_validator("default_values")
    @classmethod
    def _defaults_named(cls, value: dict[str, Any] | None, info: ValidationInfo) -> dict[str, Any] | None:
        problems = defaults_problems(info.data.get("variables") or {}, value or {})
        if problems:
            raise ValueError("; ".join(f"{name} {problem}" for name, problem in problems.items()))
        return value

    def columns(self) -> dict[str, Any]:
        """Return the fields that were given, by the names of the model's attributes."""
        nested = {"variables", "executor_config", "limits", "outputs"}
        plain = self.model_dump(mode="json", include=nested, exclude_unset=True)
        return super().columns() | plain


def defaults_problems(variables: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, str]:
    """Return what is wrong with default values, by their names, given what `variables` of the same prompt declares.

    A default may declare a variable on its own.
    """
    problems = {}
    for name, value in defaults.items():
        if re2.fullmatch(_VARIABLE_NAME, name) is None:
            problems[name[:_MOST_NAMES]] = "is no name of a variable"
        elif name in variables and (problem := default_problem(_type_of(variables[name]), value)):
            problems[name] = problem
    return problems


def _type_of(variable: Any) -> VariableType:
    if isinstance(variable, VariableInput):
        return variable.type
    return VariableInput.model_validate(_long_form(variable)).type


class PromptCreate(_PromptFields):
    """A prompt. Left out, the slug is made of the name, the kind of task follows from the kind of prompt.

    Without anything that carries it out it is inactive until it has that.
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
    """Changes of a prompt; what is left out stays.

    With `expected_version` nothing is changed when another version is the newest meanwhile.
    """

    name: Name = Field(default_factory=absent)
    slug: Slug = Field(default_factory=absent)
    prompt_type: PromptType = Field(default_factory=absent)
    template: _Text = Field(default_factory=absent)
    status: PromptStatus = Field(default_factory=absent)
    task_type: TaskType = Field(default_factory=absent)
    task_priority: TaskPriority = Field(default_factory=absent)
    priority: _Rank = Field(default_factory=absent)
    executor: Executor = Field(default_factory=absent)
    expected_version: Annotated[int, Field(ge=1, le=LARGEST_COUNT)] | None = None

    def columns(self) -> dict[str, Any]:
        """Return the fields that were given, by the names of the model's attributes."""
        return {name: value for name, value in super().columns().items() if name != "expected_version"}


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
    expected_value: _JSON
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
    expected_value: _JSON = None
    condition_name: Name = Field(default_factory=absent)
    name: Name = Field(default_factory=absent)
    is_active: bool = Field(default_factory=absent)
    priority: _Rank = Field(default_factory=absent)
    logical_operator: LogicalOperator = Field(default_factory=absent)
    group_id: Line | None = None


class _Template(Input):
    name: Name
    content: _Text
    language: Line | None
    context_type: Line | None
    is_default: bool
    priority: _Rank


class _Condition(Input):
    field: _FieldPath
    operator: ConditionOperator
    expected: _JSON
    name: Name | None
    logical_operator: LogicalOperator
    group: Line | None
    priority: _Rank

    @field_validator("expected")
    @classmethod
    def _comparable(cls, value: Any, info: ValidationInfo) -> Any:
        operator = info.data.get("operator")
        if operator is not None and (problem := expected_problem(operator, value)):
            raise ValueError(problem)
        return value


class _Spec(Input):
    """What a whole spec may hold, under the names of its own fields."""

    slug: Slug
    name: Name
    template: _Text
    description: LongText | None
    prompt_type: PromptType
    category: Line | None
    subcategory: Line | None
    tags: Tags
    system_prompt: LongText | None
    variables: _Variables
    templates: Annotated[list[_Template], Field(max_length=_MOST_TEMPLATES)]
    conditions: Annotated[list[_Condition], Field(max_length=_MOST_CONDITIONS)]
    priority: _Rank
    task_type: TaskType
    task_priority: TaskPriority
    executor: Executor
    executor_config: ExecutorConfig
    limits: PromptLimits
    outputs: dict[OutputType, OutputInput]

    @field_validator("templates")
    @classmethod
    def _names_differ(cls, value: list[_Template]) -> list[_Template]:
        names = [template.name for template in value]
        again = next((name for position, name in enumerate(names) if name in names[:position]), None)
        if again is not None:
            raise ValueError(f"two of them are named {again!r}")
        return value

    @field_validator("executor_config")
    @classmethod
    def _taken_by_executor(cls, value: ExecutorConfig, info: ValidationInfo) -> ExecutorConfig:
        executor = info.data.get("executor")
        given = value.given()
        if executor is not None and given and (problem := executor_problem(executor, given)):
            raise ValueError(problem)
        return value


def check_spec(spec: PromptSpec) -> None:
    """Make sure that a spec is one that a prompt can be made of.

    Raises:
        InvalidInputError: it is not; names each field, as in `conditions.0.expected`.
    """
    checked(_Spec, content_of(spec) | {"slug": spec.slug})
