"""What a Linear delivery says, in our words: a pure function over its type and payload that never raises.

Shapes: https://linear.app/developers/webhooks#the-webhook-payload, and of agents
https://linear.app/developers/agent-interaction. Payloads of 2021 have no `actor`, `webhookId` or `webhookTimestamp`,
and their comments no identifier of their issue.
"""

import re
from collections.abc import Mapping
from typing import Any

from contexten_core.events.models import EventProvider
from contexten_core.events.normalise import (
    BODY_LIMIT,
    NOBODY,
    NormalisedEvent,
    Own,
    dig,
    first_line,
    first_link,
    first_text,
    integer_at,
    items_at,
    labels_at,
    links_of,
    text_at,
)
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
    "data.projectUpdate.project.name",
    "data.initiative.name",
    "data.emoji",
    "data.label.name",
    "notification.project.name",
    "notification.document.title",
    "agentSession.comment.body",
    "data.comment.body",
    "data.body",
)
_TEXTS = (
    "data.body",
    "notification.comment.body",
    "agentActivity.content.body",
    "agentActivity.body",
    "agentSession.comment.body",
    "data.description",
    "data.content",
    "data.comment.body",
    "notification.issue.description",
    "agentSession.issue.description",
    "promptContext",
)
_ACTORS = (
    "actor.name",
    "actor.displayName",
    "actor.email",
    "notification.actor.name",
    "notification.actor.displayName",
    "agentActivity.user.name",
    "data.user.name",
    "data.botActor.name",
    "agentSession.creator.name",
    "actor.id",
    "notification.actorId",
    "agentActivity.userId",
    "data.userId",
    "agentSession.creatorId",
)
_MAKERS = ("data.creator.name", "data.creatorId")
_LINKS = (
    "url",
    "data.url",
    "notification.comment.url",
    "notification.issue.url",
    "notification.project.url",
    "data.comment.url",
    "data.issue.url",
    "data.project.url",
    "data.initiative.url",
    "agentSession.url",
    "agentSession.issue.url",
)
_LINK_LISTS = (("data.attachments", "url"), ("data.links", "url"), ("data.externalLinks", "url"))
_LABELS = ("data.labels", "data.issue.labels", "notification.issue.labels", "agentSession.issue.labels")
_IDS = (
    "data.issueId",
    "data.issue.id",
    "data.comment.issueId",
    "notification.issueId",
    "notification.issue.id",
    "agentSession.issueId",
    "agentSession.issue.id",
    "data.projectId",
    "data.id",
    "agentSession.id",
    "notification.id",
    "id",
)
_TEAM_KEYS = (
    "data.team.key",
    "data.issue.team.key",
    "notification.issue.team.key",
    "notification.team.key",
    "agentSession.issue.team.key",
)
_TEAM_IDS = (
    "data.teamId",
    "data.team.id",
    "data.issue.teamId",
    "data.issue.team.id",
    "notification.issue.teamId",
    "notification.teamId",
    "agentSession.issue.teamId",
    "data.teamIds.0",
    "data.teams.0.id",
    "data.project.teamIds.0",
)
_ACTING = (
    "actor.id",
    "actor.oauthClientId",
    "notification.actorId",
    "notification.actor.id",
    "agentActivity.userId",
    "agentActivity.user.id",
)
_AUTHORS = (
    "data.userId",
    "data.user.id",
    "data.creatorId",
    "data.botActor.id",
    "data.oauthClientId",
    "agentSession.creatorId",
    "agentSession.creator.id",
)
_MADE = frozenset({"create", "created"})
_PEOPLE = frozenset({"user", "customer"})
_IDENTIFIER = re.compile(r"[A-Z0-9]{1,20}-[0-9]{1,10}")
_ISSUE_LINK = re.compile(rf"/issue/({_IDENTIFIER.pattern})(?![\w-])")


def normalise_linear(event_type: str, payload: Mapping[str, Any], own: Own = NOBODY) -> NormalisedEvent:
    """Read the parts of a Linear payload that we act on; whatever is missing or of another type is left out.

    The subject is the issue (`ENG-12`) where there is one, so that an issue and its comments have the same.
    """
    action = first_line(payload, ("action",))
    url = first_link(payload, _LINKS)
    identifier = _identifier(payload, url)
    kind = one_line(event_type[:300], 100) or "event"
    what = f"{kind} {action or ''}"
    listed = (dig(item, key) for path, key in _LINK_LISTS for item in items_at(payload, path, most=20))
    return NormalisedEvent(
        provider=EventProvider.LINEAR,
        type=event_type,
        name=one_line(f"{identifier or 'linear'} {what}", 300),
        action=action,
        actor=first_line(payload, (*_ACTORS, *_MAKERS) if action in _MADE else _ACTORS),
        subject=identifier or one_line(f"linear/{first_line(payload, _IDS) or kind}", 200),
        number=int(identifier.rpartition("-")[2]) or None if identifier else None,
        title=first_line(payload, _TITLES) or one_line(what, 300),
        text=first_text(payload, _TEXTS, limit=BODY_LIMIT),
        url=url,
        deleted=action == "remove",
        place=_team(payload, identifier),
        links=links_of(url, *(dig(payload, path) for path in _LINKS), *listed),
        from_bot=_is_bot(payload, action),
        own=_is_own(payload, action, own),
        labels=labels_at(payload, _LABELS),
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


def _team(payload: Mapping[str, Any], identifier: str | None) -> str | None:
    """Return the key of the team that it happened in, or its id where no key is told."""
    key = first_line(payload, _TEAM_KEYS, limit=100)
    return key or (identifier.rpartition("-")[0] if identifier else first_line(payload, _TEAM_IDS, limit=100))


def _is_bot(payload: Mapping[str, Any], action: str | None) -> bool:
    kind = text_at(payload, "actor.type")
    made_by_bot = isinstance(dig(payload, "data.botActor"), Mapping) and action in _MADE
    return made_by_bot or (kind is not None and kind.lower() not in _PEOPLE)


def _is_own(payload: Mapping[str, Any], action: str | None, own: Own) -> bool:
    """Tell whether we did it.

    Who is told of it, which `appUserId` and `oauthClientId` say, did not; nor did the author of what somebody changes.
    """
    paths = (*_ACTING, *_AUTHORS) if action in _MADE else _ACTING
    return not own.linear.isdisjoint(found for path in paths if (found := text_at(payload, path)))
