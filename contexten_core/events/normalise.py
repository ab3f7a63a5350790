"""What a delivery says, in our words: a pure function over its type and payload that never raises.

Shapes: https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contexten_core.security.text import clean_text, shorten

TEXT_LIMIT = 500
BODY_LIMIT = 20_000
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_BRANCH_PREFIX = "refs/heads/"

_COMMITS = (
    "after",
    "pull_request.head.sha",
    "check_run.head_sha",
    "check_suite.head_sha",
    "workflow_run.head_sha",
    "workflow_job.head_sha",
    "deployment.sha",
    "comment.commit_id",
    "sha",
)
_NUMBERS = ("pull_request.number", "issue.number", "discussion.number", "number")
_TITLES = ("pull_request.title", "issue.title", "discussion.title", "release.name", "head_commit.message")
_TEXTS = ("comment.body", "review.body", "pull_request.body", "issue.body", "discussion.body", "head_commit.message")
_BRANCHES = (
    "pull_request.head.ref",
    "check_suite.head_branch",
    "check_run.check_suite.head_branch",
    "workflow_run.head_branch",
    "workflow_job.head_branch",
    "deployment.ref",
)
_HEAD_REPOSITORIES = (("pull_request", "head.repo"), ("workflow_run", "head_repository"))
_LINKS = (
    "comment.html_url",
    "review.html_url",
    "pull_request.html_url",
    "issue.html_url",
    "compare",
    "repository.html_url",
)


@dataclass(frozen=True, slots=True)
class NormalisedEvent:
    """One delivery in the words that conditions, names and reports use. Absent parts are None."""

    type: str
    name: str
    action: str | None = None
    actor: str | None = None
    repository: str | None = None
    subject: str | None = None
    number: int | None = None
    branch: str | None = None
    base_branch: str | None = None
    commit: str | None = None
    title: str | None = None
    text: str | None = None
    url: str | None = None
    deleted: bool = False
    from_fork: bool = False


def normalise_github(event_type: str, payload: Mapping[str, Any]) -> NormalisedEvent:
    """Read the parts of a GitHub payload that we act on; whatever is missing or of another type is left out."""
    repository = text_at(payload, "repository.full_name")
    action = text_at(payload, "action")
    number = next((value for path in _NUMBERS if (value := integer_at(payload, path)) is not None), None)
    branch = _pushed_branch(payload) or first_text(payload, _BRANCHES)
    place = repository or text_at(payload, "organization.login") or "github"
    return NormalisedEvent(
        type=event_type,
        name=_name(event_type, action, place=place, number=number, branch=branch),
        action=action,
        actor=text_at(payload, "sender.login"),
        repository=repository,
        subject=_subject(place, number=number, branch=branch),
        number=number,
        branch=branch,
        base_branch=text_at(payload, "pull_request.base.ref"),
        commit=_commit(payload),
        title=first_text(payload, _TITLES),
        text=first_text(payload, _TEXTS, limit=BODY_LIMIT),
        url=first_text(payload, _LINKS),
        deleted=payload.get("deleted") is True,
        from_fork=any(
            isinstance(dig(payload, owner), Mapping) and text_at(payload, f"{owner}.{head}.full_name") != repository
            for owner, head in _HEAD_REPOSITORIES
        ),
    )


def _subject(place: str, *, number: int | None, branch: str | None) -> str:
    if number is not None:
        return f"{place}#{number}"
    return f"{place}@{branch}" if branch else place


def _name(event_type: str, action: str | None, *, place: str, number: int | None, branch: str | None) -> str:
    if number is not None:
        return f"{place}#{number} {action or event_type}"
    where = f"{place} {branch}" if branch else place
    return f"{where} {event_type} {action}" if action else f"{where} {event_type}"


def _pushed_branch(payload: Mapping[str, Any]) -> str | None:
    ref = text_at(payload, "ref")
    return ref.removeprefix(_BRANCH_PREFIX) if ref and ref.startswith(_BRANCH_PREFIX) else None


def _commit(payload: Mapping[str, Any]) -> str | None:
    for path in _COMMITS:
        commit = text_at(payload, path)
        if commit and _COMMIT.fullmatch(commit) and set(commit) != {"0"}:
            return commit
    return None


def first_text(payload: Mapping[str, Any], paths: tuple[str, ...], *, limit: int = TEXT_LIMIT) -> str | None:
    """Return the first of these places that holds text, made storable and cut to `limit` characters."""
    return next((text for path in paths if (text := text_at(payload, path, limit=limit))), None)


def dig(payload: Mapping[str, Any], path: str) -> Any:
    value: Any = payload
    for key in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def text_at(payload: Mapping[str, Any], path: str, *, limit: int = TEXT_LIMIT) -> str | None:
    value = dig(payload, path)
    return shorten(clean_text(value), limit) if isinstance(value, str) and value else None


def integer_at(payload: Mapping[str, Any], path: str) -> int | None:
    value = dig(payload, path)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53 else None
