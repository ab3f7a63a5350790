"""What a Slack delivery says, in our words: a pure function over its type and payload that never raises.

Shapes: https://docs.slack.dev/apis/events-api and https://docs.slack.dev/interactivity/handling-user-interaction
"""

import re
from collections.abc import Iterator, Mapping
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
    items_at,
    links_of,
    text_at,
)
from contexten_core.security.text import one_line

BLOCK_ACTIONS = "block_actions"
SLASH_COMMAND = "slash_command"
URL_VERIFICATION = "url_verification"

_CHANNELS = (
    "channel",
    "channel.id",
    "channel_id",
    "item.channel",
    "container.channel_id",
    "assistant_thread.channel_id",
    "file.channels.0",
)
_THREADS = (
    "thread_ts",
    "message.thread_ts",
    "previous_message.thread_ts",
    "container.thread_ts",
    "assistant_thread.thread_ts",
    "item.ts",
    "previous_message.ts",
    "message.ts",
    "deleted_ts",
    "message_ts",
    "container.message_ts",
    "ts",
    "view.root_view_id",
    "view.id",
    "function_execution_id",
)
_TEAMS = ("team_id", "team.id", "enterprise_id", "enterprise.id")
_ACTORS = (
    "user",
    "user.id",
    "user_id",
    "message.edited.user",
    "message.user",
    "bot_id",
    "message.bot_id",
    "username",
    "bot_profile.name",
)
_TEXTS = (
    "text",
    "message.text",
    "previous_message.text",
    "root.text",
    "attachments.0.fallback",
    "attachments.0.text",
    "attachments.0.title",
    "message.attachments.0.fallback",
    "message.attachments.0.text",
    "blocks.0.text.text",
    "message.blocks.0.text.text",
    "metadata.event_payload.title",
)
_TITLES = (
    "actions.0.text.text",
    "actions.0.action_id",
    "view.title.text",
    "function.title",
    "files.0.title",
    "files.0.name",
    "file.title",
    "file.name",
    "file_id",
    "reaction",
    "links.0.url",
    "callback_id",
    "view.callback_id",
    "workflow_step.workflow_id",
    "tab",
)
_ACTIONS = (
    "subtype",
    "command",
    "callback_id",
    "view.callback_id",
    "actions.0.action_id",
    "action_id",
    "reaction",
    "function.callback_id",
)
_LINKS = (
    "permalink",
    "message.permalink",
    "links.0.url",
    "files.0.permalink",
    "file.permalink",
    "attachments.0.title_link",
    "attachments.0.from_url",
    "message.attachments.0.title_link",
)
_LINK_LISTS = (
    ("links", "url"),
    ("files", "permalink"),
    ("attachments", "title_link"),
    ("attachments", "from_url"),
    ("message.attachments", "title_link"),
)
_MESSAGE = "message"
_TITLE_LIMIT = 200
_MOST_TEXT_LINKS = 20
_TEXT_LINK = re.compile(r"<(https?://[^\s|<>]{1,2000})[|>]")


def slack_event(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the inner event of an Events API payload; an interaction or a command is its own."""
    event = payload.get("event")
    return event if isinstance(event, Mapping) else payload


def slack_event_type(payload: Mapping[str, Any]) -> str | None:
    """Return what handlers call this: the inner event's type, an interaction's own, or `slash_command`."""
    for kind in (slack_event(payload).get("type"), payload.get("type")):
        if isinstance(kind, str) and kind:
            return kind
    return SLASH_COMMAND if isinstance(payload.get("command"), str) else None


def normalise_slack(event_type: str, payload: Mapping[str, Any], own: Own = NOBODY) -> NormalisedEvent:
    """Read the parts of a Slack payload that we act on; whatever is missing or of another type is left out.

    The subject is the thread (`CHANNEL/TS` of its first message) or the view, else the channel, else the workspace.
    """
    event = slack_event(payload)
    kind = one_line(event_type[:300], 100) or "event"
    action = first_line(event, _ACTIONS)
    channel = first_line(event, _CHANNELS, limit=100)
    thread = first_line(event, _THREADS, limit=60)
    team = first_line(payload, _TEAMS, limit=100)
    text = first_text(event, _TEXTS, limit=BODY_LIMIT)
    where = f"slack/{channel or team or kind}"
    url = first_link(event, _LINKS)
    return NormalisedEvent(
        provider=EventProvider.SLACK,
        type=event_type,
        name=one_line(f"{where} {kind} {action or ''}", 300),
        action=action,
        actor=first_line(event, _ACTORS, limit=200),
        subject=one_line(f"{channel or where}/{thread}" if thread else where, 200),
        title=_title(event, kind, action, text),
        text=text,
        url=url,
        deleted=action == "message_deleted",
        place=channel,
        links=links_of(url, *_link_candidates(event, text or "")),
        from_bot=_is_bot(event),
        own=_is_own(payload, event, own),
    )


def _title(event: Mapping[str, Any], kind: str, action: str | None, text: str | None) -> str:
    said = one_line(text, _TITLE_LIMIT) if text else ""
    if command := text_at(event, "command"):
        return one_line(f"{command} {said}", _TITLE_LIMIT) or kind
    what = kind.replace("_", " ")
    thing = first_line(event, _TITLES, limit=100) or action
    return said or one_line(f"{what} {thing or ''}", _TITLE_LIMIT)


def _link_candidates(event: Mapping[str, Any], text: str) -> Iterator[Any]:
    for path, key in _LINK_LISTS:
        yield from (dig(item, key) for item in items_at(event, path, most=20))
    for _, found in zip(range(_MOST_TEXT_LINKS), _TEXT_LINK.finditer(text), strict=False):
        yield found[1]


def _spoken(event: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Return what may say who spoke: the event, and the message that it changed.

    The message that somebody clicked on or reacted to was spoken by another.
    """
    yield event
    message = event.get(_MESSAGE)
    if event.get("type") == _MESSAGE and isinstance(message, Mapping):
        yield message


def _is_bot(event: Mapping[str, Any]) -> bool:
    return any(
        said.get("subtype") == "bot_message"
        or bool(text_at(said, "bot_id"))
        or isinstance(said.get("bot_profile"), dict)
        for said in _spoken(event)
    )


def _is_own(payload: Mapping[str, Any], event: Mapping[str, Any], own: Own) -> bool:
    """Tell whether we did it: by one of our ids, as the app that is told, or as the bot user of its installation."""
    users = [text_at(event, path) for path in ("user", "user.id", "user_id")]
    named = [
        text_at(said, path) for said in _spoken(event) for path in ("user", "bot_id", "app_id", "bot_profile.app_id")
    ]
    if not own.slack.isdisjoint(filter(None, [*users, *named])):
        return True
    app = text_at(payload, "api_app_id")
    if app and app in {text_at(said, path) for said in _spoken(event) for path in ("app_id", "bot_profile.app_id")}:
        return True
    bots = {text_at(item, "user_id") for item in items_at(payload, "authorizations") if dig(item, "is_bot") is True}
    return any(user is not None and user in bots for user in users)
