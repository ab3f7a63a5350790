"""Where a run may answer: on the pull request, issue, ticket or thread that its event is about, and nowhere else.

Pure: it is read out of the event and its stored payload. What the payload says is not trusted further than its shape;
the repository is always the one that the project was found by.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import urlsplit

from contexten_core.events.models import EventProvider
from contexten_core.events.normalise import NormalisedEvent, dig, first_text, integer_at, items_at
from contexten_core.events.normalise_github_tables import PULL_REQUEST_LISTS
from contexten_core.events.normalise_slack import slack_event
from contexten_core.projects.target import Target
from contexten_core.settings.integrations import PUBLIC_GITHUB_API

GITHUB_HOST = "github.com"

_BRANCH = "refs/heads/"
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_IDENTIFIER = re.compile(r"[A-Z0-9]{1,20}-[0-9]{1,10}")
_CHANNEL = re.compile(r"[A-Z][A-Z0-9]{1,30}")
_TS = re.compile(r"[0-9]{1,12}\.[0-9]{1,8}")
_LINEAR_ISSUES = (
    "data.issueId",
    "data.issue.id",
    "data.comment.issueId",
    "notification.issueId",
    "notification.issue.id",
    "agentSession.issueId",
    "agentSession.issue.id",
)
_LINEAR_COMMENTS = ("data.commentId", "notification.commentId", "agentSession.commentId")
_SLACK_MESSAGES = (
    "message.ts",
    "item.ts",
    "container.message_ts",
    "message_ts",
    "assistant_thread.thread_ts",
    "previous_message.ts",
    "ts",
)
_SLACK_THREADS = (
    "thread_ts",
    "message.thread_ts",
    "previous_message.thread_ts",
    "container.thread_ts",
    "assistant_thread.thread_ts",
)


@dataclass(frozen=True, slots=True)
class Place:
    """What a run's answers are about. Absent parts are None.

    Attributes:
        repository: `owner/name`, that of the project.
        number: of the pull request or issue at GitHub.
        commit: the run's, which a review and a patch are bound to.
        branch: what a patch is made against.
        issue_id: of the issue at Linear; `issue_identifier` is what people call it, `ENG-12`.
        team: the key or id of Linear's team.
        thread: the `thread_ts` that a reply in Slack goes under.
        message: the `ts` of Slack's message, or the id of Linear's comment, that a reaction goes on.
        api_url: where the repository's API is, when not where the settings say.
        comment_id: of the comment at GitHub that a reaction goes on, and `comment_kind` says of which kind it is.
    """

    provider: EventProvider
    repository: str | None = None
    number: int | None = None
    is_pull_request: bool = False
    commit: str | None = None
    branch: str | None = None
    issue_id: str | None = None
    issue_identifier: str | None = None
    team: str | None = None
    channel: str | None = None
    thread: str | None = None
    message: str | None = None
    api_url: str | None = None
    comment_id: int | None = None
    comment_kind: Literal["issue", "review"] | None = None

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts that texts may link to: GitHub, and the one that the repository's own API is at."""
        if self.api_url in (None, PUBLIC_GITHUB_API):
            return frozenset({GITHUB_HOST})
        return frozenset({GITHUB_HOST, urlsplit(self.api_url or "").netloc.lower()})


def place_of(event: NormalisedEvent, target: Target, payload: Mapping[str, Any]) -> Place:
    """Return where the answers to an event go; whatever the payload is, it does not raise."""
    here = Place(
        provider=event.provider,
        repository=target.repository,
        commit=target.commit or None,
        branch=_branch(event, target),
        api_url=target.api_url,
    )
    match event.provider:
        case EventProvider.GITHUB:
            return replace(here, **_at_github(event, target, payload))
        case EventProvider.LINEAR:
            return replace(here, **_at_linear(event, payload))
        case EventProvider.SLACK:
            return replace(here, **_at_slack(slack_event(payload)))
        case EventProvider.DEPLOYMENT | EventProvider.SYSTEM | EventProvider.USER:
            return here


def _branch(event: NormalisedEvent, target: Target) -> str:
    if target.ref and target.ref.startswith(_BRANCH):
        return target.ref.removeprefix(_BRANCH)
    on_branch = event.provider is EventProvider.GITHUB and not event.from_fork
    return event.branch if on_branch and event.branch else target.default_branch


def _at_github(event: NormalisedEvent, target: Target, payload: Mapping[str, Any]) -> dict[str, Any]:
    if (event.repository or "").lower() != target.repository.lower():
        return {}
    number, is_pull_request = _number(event, payload)
    if number is None:
        return {}
    found: dict[str, Any] = {"number": number, "is_pull_request": is_pull_request}
    comment = integer_at(payload, "comment.id")
    if comment is not None and event.type in ("issue_comment", "pull_request_review_comment"):
        found["comment_id"] = comment
        found["comment_kind"] = "issue" if event.type == "issue_comment" else "review"
    return found


def _number(event: NormalisedEvent, payload: Mapping[str, Any]) -> tuple[int | None, bool]:
    """Return the number of what can be commented on. A discussion cannot be, in the way that issues are."""
    if isinstance(dig(payload, "pull_request"), Mapping):
        return integer_at(payload, "pull_request.number"), True
    if isinstance(dig(payload, "issue"), Mapping):
        return integer_at(payload, "issue.number"), isinstance(dig(payload, "issue.pull_request"), Mapping)
    if any(items_at(payload, path, most=1) for path in PULL_REQUEST_LISTS):
        return event.number, event.number is not None
    return None, False


def _at_linear(event: NormalisedEvent, payload: Mapping[str, Any]) -> dict[str, Any]:
    paths = (*_LINEAR_ISSUES, "data.id") if event.type == "Issue" else _LINEAR_ISSUES
    comments = (*_LINEAR_COMMENTS, "data.id") if event.type == "Comment" else _LINEAR_COMMENTS
    subject = event.subject or ""
    return {
        "issue_id": _fits(_ID, first_text(payload, paths)),
        "issue_identifier": _fits(_IDENTIFIER, subject),
        "team": event.place,
        "message": _fits(_ID, first_text(payload, comments)),
    }


def _at_slack(event: Mapping[str, Any]) -> dict[str, Any]:
    paths = ("channel", "channel.id", "channel_id", "item.channel", "container.channel_id")
    channel = _fits(_CHANNEL, first_text(event, (*paths, "assistant_thread.channel_id")))
    message = _fits(_TS, first_text(event, _SLACK_MESSAGES)) if channel else None
    thread = _fits(_TS, first_text(event, _SLACK_THREADS)) if channel else None
    return {"channel": channel, "thread": thread or message, "message": message}


def _fits(pattern: re.Pattern[str], value: str | None) -> str | None:
    return value if value and pattern.fullmatch(value) else None
