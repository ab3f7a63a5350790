"""What a version of a prompt says: everything that decides when it applies, what is done, by whom and how much of it.

A version never changes. Its content is kept as the JSON of a `PromptSpec`, and its digest is over that JSON, so that
two prompts of the same digest do the same.
"""

import json
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Any

from pydantic import TypeAdapter

from contexten_core.prompts.models import ConditionOperator, Executor, LogicalOperator, PromptType
from contexten_core.tasks.models import TaskPriority, TaskType

LATEST = "latest"
"""The label that is always on the newest version."""

LIVE = "production"
"""The label of the version that events are answered with; a prompt without it is answered with its newest."""


class VariableType(StrEnum):
    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    LIST = "list"
    OBJECT = "object"


class OutputType(StrEnum):
    """What an executor may propose to do to the outside world."""

    COMMENT = "comment"
    REVIEW = "review"
    LABELS = "labels"
    PATCH = "patch"
    TICKET_UPDATE = "ticket_update"
    MESSAGE = "message"


@dataclass(frozen=True, slots=True)
class ConditionSpec:
    """One comparison. Those of one `group` are joined by their `logical_operator`, and groups by AND.

    Attributes:
        field: a dotted path: `event.type`, `project.slug`, `change.languages`.
        name: how explanations call it; the field when left out.
        priority: the larger, the earlier it is judged and shown; it changes no result.
    """

    field: str
    operator: ConditionOperator
    expected: Any = None
    name: str | None = None
    logical_operator: LogicalOperator = LogicalOperator.AND
    group: str | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class VariableSpec:
    """A value that a template may use.

    Attributes:
        source: the dotted path of the value, such as `event.title`; without one there is only the default.
        default: taken where the source has nothing; a variable that is `required` may then not be rendered.
    """

    type: VariableType = VariableType.STRING
    source: str | None = None
    default: Any = None
    required: bool = False
    description: str | None = None


@dataclass(frozen=True, slots=True)
class TemplateSpec:
    """A prompt's text for one language or kind of context; of several that fit, the highest `priority` is taken."""

    name: str
    content: str
    language: str | None = None
    context_type: str | None = None
    is_default: bool = False
    priority: int = 0


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """How much of one kind of output is allowed.

    Attributes:
        most: in one run.
        labels: those that may be set; None allows any that the repository has.
        paths: globs that a patch may touch. CI settings, `.git` and agents' settings need to be named here in full.
    """

    most: int = 1
    labels: tuple[str, ...] | None = None
    paths: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class PromptSpec:
    """Everything that a version of a prompt is.

    Attributes:
        executor_config: of the command executor `{"command": "python -m pytest -q"}`, of the LLM executor
            `{"model": "openai:gpt-5"}` or `{}` for the model that is configured.
        limits: `{"wall_seconds": 900, "output_bytes": 1048576}`, each optional.
        outputs: what its executor may propose; nothing that is not named.
    """

    slug: str
    name: str
    template: str
    description: str | None = None
    prompt_type: PromptType = PromptType.TESTING
    category: str | None = None
    subcategory: str | None = None
    tags: tuple[str, ...] = ()
    system_prompt: str | None = None
    variables: dict[str, VariableSpec] = field(default_factory=dict)
    templates: tuple[TemplateSpec, ...] = ()
    conditions: tuple[ConditionSpec, ...] = ()
    priority: int = 0
    task_type: TaskType = TaskType.TESTING
    task_priority: TaskPriority = TaskPriority.MEDIUM
    executor: Executor = Executor.COMMAND
    executor_config: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, Any] = field(default_factory=dict)
    outputs: dict[OutputType, OutputSpec] = field(default_factory=dict)


_ADAPTER = TypeAdapter(PromptSpec)


def content_of(spec: PromptSpec) -> dict[str, Any]:
    """Return a spec as JSON-ready values; the slug, by which it is found, is left out."""
    content: dict[str, Any] = _ADAPTER.dump_python(spec, mode="json")
    del content["slug"]
    return content


def spec_of(slug: str, content: dict[str, Any]) -> PromptSpec:
    """Return the spec of a stored version's content."""
    return _ADAPTER.validate_python({**content, "slug": slug})


def digest_of(content: dict[str, Any]) -> str:
    """Return the SHA-256 of a content, in hexadecimal, whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()
