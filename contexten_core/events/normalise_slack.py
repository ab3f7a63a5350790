"""What a Slack delivery says, in our words: a pure function over its type and payload that never raises.

Shapes: https://docs.slack.dev/apis/events-api and https://docs.slack.dev/interactivity/handling-user-interaction
"""

from collections.abc import Mapping
from typing import Any

from contexten_core.events.normalise import BODY_LIMIT, NormalisedEvent, first_text
from contexten_core.security.text import one_line

SLASH_COMMAND = "slash_command"
URL_VERIFICATION = "url_verification"

_CHANNELS = ("channel", "channel.id", "channel_id", "item.channel", "container.channel_id")
_THREADS = (
    "thread_ts",
    "message.thread_ts",
    "container.thread_ts",
    "item.ts",
    "previous_message.ts",
    "message.ts",
    "message_ts",
    "container.message_ts",
    "ts",
)
_ACTORS = ("user", "user.id", "user_id", "message.user", "bot_id")
_TEXTS = ("text", "message.text")
_ACTIONS = ("subtype", "command", "callback_id", "view.callback_id")
_TITLE_LIMIT = 200


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


def normalise_slack(event_type: str, payload: Mapping[str, Any]) -> NormalisedEvent:
    """Read the parts of a Slack payload that we act on; whatever is missing or of another type is left out.

    The subject is the thread (`CHANNEL/TS` of its first message), else the channel, else the workspace.
    """
    event = slack_event(payload)
    kind = one_line(event_type, 100)
    action = first_text(event, _ACTIONS)
    channel = first_text(event, _CHANNELS)
    thread = first_text(event, _THREADS)
    team = first_text(payload, ("team_id", "team.id", "enterprise_id"))
    text = first_text(event, _TEXTS, limit=BODY_LIMIT)
    place = f"slack/{channel or team or kind}"
    return NormalisedEvent(
        type=event_type,
        name=one_line(f"{place} {kind} {action or ''}", 300),
        action=action,
        actor=first_text(event, _ACTORS),
        subject=one_line(f"{channel}/{thread}" if channel and thread else place, 200),
        title=one_line(text, _TITLE_LIMIT) or None if text else None,
        text=text,
        url=first_text(event, ("permalink", "message.permalink")),
        deleted=action == "message_deleted",
    )
