"""What a Linear delivery says, in our words: a pure function over its type and payload that never raises.

Shapes: https://linear.app/developers/webhooks#the-webhook-payload
"""

import re
from collections.abc import Mapping
from typing import Any

from contexten_core.events.normalise import BODY_LIMIT, NormalisedEvent, first_text, integer_at, text_at
from contexten_core.security.text import one_line

_OBJECTS = ("data", "notification", "agentSession")
_IDENTIFIERS = tuple(f"{place}{path}.identifier" for place in _OBJECTS for path in ("", ".issue"))
_TITLES = (
    "data.title",
    "data.issue.title",
    "notification.issue.title",
    "agentSession.issue.title",
    "data.name",
    "data.project.name",
)
_TEXTS = (
    "data.body",
    "notification.comment.body",
    "agentActivity.content.body",
    "agentSession.comment.body",
    "data.description",
    "data.comment.body",
)
_ACTORS = (
    "actor.name",
    "notification.actor.name",
    "data.user.name",
    "agentSession.creator.name",
    "data.creator.name",
)
_LINKS = ("url", "data.url", "notification.comment.url", "notification.issue.url", "data.issue.url", "agentSession.url")
_IDS = ("data.issueId", "data.issue.id", "notification.issueId", "agentSession.issueId", "data.id", "notification.id")
_IDENTIFIER = re.compile(r"[A-Z0-9]{1,20}-[0-9]{1,10}")
_ISSUE_LINK = re.compile(rf"/issue/({_IDENTIFIER.pattern})(?![\w-])")


def normalise_linear(event_type: str, payload: Mapping[str, Any]) -> NormalisedEvent:
    """Read the parts of a Linear payload that we act on; whatever is missing or of another type is left out.

    The subject is the issue (`ENG-12`) where there is one, so that an issue and its comments have the same.
    """
    action = text_at(payload, "action")
    url = first_text(payload, _LINKS)
    identifier = _identifier(payload, url)
    kind = one_line(event_type, 100)
    subject = identifier or f"linear/{first_text(payload, _IDS) or kind}"
    return NormalisedEvent(
        type=event_type,
        name=one_line(f"{identifier or 'linear'} {kind} {action or ''}", 300),
        action=action,
        actor=first_text(payload, _ACTORS),
        subject=one_line(subject, 200),
        number=int(identifier.rpartition("-")[2]) or None if identifier else None,
        title=first_text(payload, _TITLES),
        text=first_text(payload, _TEXTS, limit=BODY_LIMIT),
        url=url,
        deleted=action == "remove",
    )


def _identifier(payload: Mapping[str, Any], url: str | None) -> str | None:
    given = first_text(payload, _IDENTIFIERS)
    if given and _IDENTIFIER.fullmatch(given):
        return given
    link = _ISSUE_LINK.search(url or "")
    if link:
        return link[1]
    team, number = text_at(payload, "data.team.key"), integer_at(payload, "data.number")
    made = f"{team}-{number}"
    return made if payload.get("type") == "Issue" and _IDENTIFIER.fullmatch(made) else None
