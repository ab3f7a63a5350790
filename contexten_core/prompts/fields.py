"""What conditions and templates can ask about: each field's path, its type, and what it means.

`codebase.*` and `change.*` take work to find out, so they are looked up only where somebody asks; until then they are
not among the known fields at all.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from contexten_core.codebase.languages import LANGUAGES, TEXT
from contexten_core.events.models import EventProvider
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.normalise_known import _KNOWN

if TYPE_CHECKING:
    from contexten_core.projects.resolve import Target

CODE = "codebase"
CHANGE = "change"
LATER = frozenset({CODE, CHANGE})
"""First parts of the paths whose values take work to find out."""

EVENT_TYPES: Mapping[EventProvider, frozenset[str]] = {provider: frozenset(types) for provider, types in _KNOWN.items()}
"""The event types of those providers that have a closed set of them; others name theirs as they like."""

_LANGUAGES = frozenset(language.name for language in (TEXT, *LANGUAGES))


class FieldType(StrEnum):
    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field. `values` are all that it can have, None aside, where there is a closed set of them."""

    path: str
    type: FieldType
    description: str
    values: frozenset[str] | None = None


def _fields(prefix: str, kind: FieldType, described: Mapping[str, str]) -> list[FieldSpec]:
    return [FieldSpec(f"{prefix}.{name}", kind, description) for name, description in described.items()]


_ALL = (
    FieldSpec(
        "event.provider",
        FieldType.TEXT,
        "who sent the event",
        frozenset(provider.value for provider in EventProvider),
    ),
    *_fields(
        "event",
        FieldType.TEXT,
        {
            "type": "what kind of event it is, as its sender calls it: push, pull_request, Issue, app_mention",
            "action": "what was done: opened, closed, create; none for a push",
            "name": "one line that tells it from others in a list",
            "actor": "who did it, as the sender names them",
            "repository": "the repository that it names: owner/name",
            "subject": "what it is about: owner/name#7, owner/name@branch, an issue's identifier, a thread",
            "branch": "the branch that it is about; of a pull request the head",
            "base_branch": "the branch that a pull request is to be merged into",
            "tag": "the tag that it is about",
            "commit": "the full id of the commit that it names",
            "base_commit": "the commit before: a pull request's base, or what a pushed branch was until then",
            "conclusion": "how a check, workflow, status or deployment ended, as its sender says it: success, failure",
            "title": "one line that says what it is about",
            "text": "what was written, at most 20,000 characters",
            "url": "where people look at it",
            "place": "a Linear team's key, a Slack channel's id, the source of a deployment",
        },
    ),
    FieldSpec("event.number", FieldType.NUMBER, "the number of the pull request, issue or discussion"),
    FieldSpec("event.links", FieldType.LIST, "every address that the payload gives for people to look at, at most 20"),
    FieldSpec("event.labels", FieldType.LIST, "the labels of the pull request or issue, by name, at most 50"),
    *_fields(
        "event",
        FieldType.BOOLEAN,
        {
            "merged": "whether it is the end of a pull request that was merged",
            "deleted": "whether what it is about is no longer there",
            "from_fork": "whether its code comes from outside of the repository",
            "from_bot": "whether a program did it",
            "own": "whether it was ourselves",
        },
    ),
    *_fields(
        "project",
        FieldType.TEXT,
        {"slug": "the project's slug: acme-cashbox", "name": "the project's name"},
    ),
    *_fields(
        "repository",
        FieldType.TEXT,
        {"full_name": "the repository: owner/name", "default_branch": "its default branch"},
    ),
    *_fields(
        CODE,
        FieldType.NUMBER,
        {
            "files": "how many files the commit has",
            "lines": "how many lines they have",
            "functions": "how many functions are in them",
            "classes": "how many classes are in them",
        },
    ),
    FieldSpec(f"{CODE}.primary_language", FieldType.TEXT, "the language with the most lines", _LANGUAGES),
    FieldSpec(f"{CODE}.languages", FieldType.LIST, "its languages, by name", _LANGUAGES),
    *_fields(
        CHANGE,
        FieldType.NUMBER,
        {
            "files": "how many files the event changes",
            "added_lines": "how many lines it adds",
            "removed_lines": "how many lines it removes",
            "risk": "how risky the change looks, 0 to 100",
        },
    ),
    FieldSpec(f"{CHANGE}.paths", FieldType.LIST, "the files that it adds, changes or removes"),
    FieldSpec(f"{CHANGE}.languages", FieldType.LIST, "the languages of those files", _LANGUAGES),
    FieldSpec(f"{CHANGE}.symbols", FieldType.LIST, "functions and classes that it changes, as path:name"),
    FieldSpec(f"{CHANGE}.tests", FieldType.LIST, "files of tests that reach what it changes, or that it changes"),
    FieldSpec(f"{CHANGE}.has_tests", FieldType.BOOLEAN, "whether there is any such test"),
)

FIELDS: Mapping[str, FieldSpec] = {field.path: field for field in _ALL}
"""Every field by its path."""


def actions_of(provider: EventProvider, event_type: str) -> frozenset[str] | None:
    """Return every action that events of this type are known to have, or None where nobody can tell."""
    known = _KNOWN.get(provider, {}).get(event_type)
    return None if known is None or known == "*" else frozenset(known.split())


def known_fields(
    event: NormalisedEvent,
    target: "Target",
    *,
    code: Mapping[str, Any] | None = None,
    change: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what conditions and templates can ask about an event.

    Args:
        code: the values of `codebase.*`, where they have been looked up.
        change: likewise of `change.*`.
    """
    fields: dict[str, Any] = {
        "event": asdict(event),
        "project": {"slug": target.project_slug, "name": target.project_name},
        "repository": {"full_name": target.repository, "default_branch": target.default_branch},
    }
    later = {CODE: code, CHANGE: change}
    return fields | {name: dict(values) for name, values in later.items() if values is not None}


def root_of(path: str) -> str:
    """Return the first part of a path."""
    return path.partition(".")[0]


def is_later(path: str) -> bool:
    """Tell whether a path's value takes work to find out."""
    return root_of(path) in LATER
