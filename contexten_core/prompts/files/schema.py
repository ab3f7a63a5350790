"""What a file of prompts may hold: the models that it is checked with, and the JSON schema that editors check it by."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from contexten_core.inputs import LARGEST_COUNT, Line, LongText, Name, Slug, Tags
from contexten_core.prompts.fields import FIELDS
from contexten_core.prompts.files.do import do_schema
from contexten_core.prompts.files.when import when_schemas
from contexten_core.prompts.inputs import OutputInput, PromptLimits, VariableInput
from contexten_core.prompts.models import PromptType
from contexten_core.prompts.spec import OutputType, VariableType
from contexten_core.tasks.models import TaskPriority, TaskType

MOST_PROMPTS = 500
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_VARIABLE_NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,99}$"
_MOST_PARTS = 200
_Rank = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]
_Text = Annotated[LongText, Field(min_length=1)]
_VariableType = Annotated[VariableType, Field(strict=False)]
_Do = Annotated[Any, WithJsonSchema(do_schema())]

STRICT = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False)


class LimitsPart(PromptLimits):
    """What carrying the prompt out may take; what is left out has the executor's own limit."""

    model_config = STRICT


class OutputPart(OutputInput):
    """How much of one kind of output is allowed in one run, which labels may be set, and what a patch may touch."""

    model_config = STRICT


class VariablePart(VariableInput):
    """A value that a template may use: of which type, from where, and what it is where nothing is there."""

    model_config = STRICT

    type: _VariableType = VariableType.STRING


class TemplatePart(BaseModel):
    """The prompt's text for one language or kind of context."""

    model_config = STRICT

    name: Name
    template: _Text
    language: Line | None = None
    context_type: Line | None = None
    is_default: bool = False
    priority: _Rank = 0


class PromptPart(BaseModel):
    """A prompt: what is done about which events, by whom, and how much of it."""

    model_config = STRICT

    slug: Slug
    version: Annotated[
        int | None,
        Field(ge=1, le=LARGEST_COUNT, description="The version that this was made from; `pull` and `push` write it."),
    ] = None
    name: Name
    description: LongText | None = None
    type: Annotated[PromptType, Field(strict=False)] = PromptType.TESTING
    task: Annotated[
        TaskType | None, Field(strict=False, description="The kind of task; left out, as the prompt's type has it.")
    ] = None
    task_priority: Annotated[TaskPriority, Field(strict=False)] = TaskPriority.MEDIUM
    category: Line | None = None
    subcategory: Line | None = None
    tags: Tags = Field(default_factory=list)
    priority: Annotated[_Rank, Field(description="Of the prompts that apply, the one with the highest is taken.")] = 0
    when: Any = None
    do: _Do = None
    limits: LimitsPart = Field(default_factory=LimitsPart)
    outputs: dict[Annotated[OutputType, Field(strict=False)], OutputPart] = Field(default_factory=dict)
    system_prompt: LongText | None = None
    template: _Text
    variables: Annotated[
        dict[Annotated[str, Field(pattern=_VARIABLE_NAME)], VariablePart], Field(max_length=_MOST_PARTS)
    ] = Field(default_factory=dict)
    templates: Annotated[list[TemplatePart], Field(max_length=_MOST_PARTS)] = Field(default_factory=list)


class FilePart(BaseModel):
    """A file of prompts of Contexten."""

    model_config = STRICT

    prompts: Annotated[list[PromptPart], Field(max_length=MOST_PROMPTS)]


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a file."""
    found = model.model_json_schema()
    parts = found["$defs"]
    for part in list(parts.values()):
        if "when" in part.get("properties", {}):
            part["properties"]["when"] = {"$ref": "#/$defs/When"}
    parts |= when_schemas({path: field.description for path, field in FIELDS.items()})
    return {"$schema": _DIALECT, **found}
