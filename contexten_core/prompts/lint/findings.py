"""What a static check finds out about prompts, and what all of the checks go by."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from contexten_core.prompts.fields import FIELDS, FieldType, is_later
from contexten_core.prompts.lint.implication import Rule
from contexten_core.prompts.lint.values import ANYTHING, Domain, Kind
from contexten_core.prompts.models import ConditionOperator
from contexten_core.prompts.spec import ConditionSpec, PromptSpec
from contexten_core.security.text import one_line

_SHOWN = 80
_NAMED = 5
_ALWAYS_THERE = frozenset(
    {
        *("event.provider", "event.type", "event.name", "event.links", "event.deleted", "event.from_fork"),
        *("event.from_bot", "event.own", "project.slug", "project.name"),
        *("repository.full_name", "repository.default_branch"),
    }
)
_FRACTIONS = frozenset({"change.risk"})
_KINDS = {
    FieldType.TEXT: Kind.TEXT,
    FieldType.BOOLEAN: Kind.BOOLEAN,
    FieldType.LIST: Kind.LIST,
    FieldType.NUMBER: Kind.INTEGER,
}
_WORDS: Mapping[ConditionOperator, str] = {
    operator: operator.value.replace("_", " ") for operator in ConditionOperator
} | {ConditionOperator.REGEX_MATCH: "matches"}

Part = tuple[str | int, ...]
"""A path within a prompt as its file has it: `("when", "event.type")`, `("templates", 0, "template")`."""


class Severity(StrEnum):
    """`error`: it cannot work as it is written. `warning`: it hardly is what was meant. `info`: good to know."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check has found.

    Attributes:
        code: what kind of thing, which never changes: `never-holds`.
        slug: the prompt's; None for what is about no single one.
        where: the condition, template or setting that it is about, for people.
        part: the same as a path within the prompt as a file has it; empty for the prompt as a whole.
        line: within the template that `part` names, from 1.
        related: slugs of other prompts that have to do with it.
    """

    code: str
    severity: Severity
    slug: str | None
    message: str
    where: str = ""
    part: Part = ()
    line: int | None = None
    column: int | None = None
    related: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "severity": self.severity.value, "part": list(self.part), "related": list(self.related)}


@dataclass(frozen=True, slots=True)
class Subject:
    """One prompt that is checked. Only one that `selects` takes part in selection."""

    spec: PromptSpec
    rule: Rule
    selects: bool

    @property
    def rank(self) -> tuple[int, str]:
        """Say by what prompts that apply are ordered: the winner has the least."""
        return (-self.spec.priority, self.spec.slug)


def domain_of(path: str) -> Domain:
    """Return what a field can be; one that is not known can be anything."""
    field = FIELDS.get(path)
    if field is None:
        return Domain(is_later=is_later(path)) if is_later(path) else ANYTHING
    kinds = {Kind.NUMBER} if path in _FRACTIONS else {_KINDS[field.type]}
    nothing = set() if path in _ALWAYS_THERE else {Kind.NULL}
    return Domain(kinds=frozenset(kinds | nothing), values=field.values, is_later=is_later(path))


def said(condition: ConditionSpec) -> str:
    """Return a condition as people say it."""
    return f"{condition.field} {_WORDS[condition.operator]} {shown(condition.expected)}"


def shown(value: Any) -> str:
    """Return a value as one short line."""
    return one_line(repr(value)[: 4 * _SHOWN], _SHOWN)


def place_of(condition: ConditionSpec) -> tuple[str, Part]:
    """Return where a condition is, for people and as a path."""
    return f"condition {one_line(condition.name or condition.field, _SHOWN)}", ("when", condition.field)


def listed(names: tuple[str, ...] | list[str], *, most: int = _NAMED) -> str:
    """Return names in one line, of many the first."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
