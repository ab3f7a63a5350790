"""The methods of Slack's Web API that the emulator answers."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from contexten.emulators.shapes import Json
from contexten.emulators.slack_deliveries import TEAM
from contexten.emulators.slack_recorder import BOT, BOT_USER, SlackRecorder

MAX_TEXT = 40_000
MAX_BLOCKS = 50
MAX_SECTION = 3_000
MAX_ELEMENTS = 25
MAX_BUTTON = 75
MAX_VALUE = 2_000
DEFAULT_LIMIT = 100
MAX_LIMIT = 999
CHANNEL = re.compile(r"[CDG][A-Z0-9]{2,20}")
USER = re.compile(r"[UW][A-Z0-9]{2,20}")
TS = re.compile(r"[0-9]{10}\.[0-9]{6}")
EMOJI = re.compile(r"[a-z0-9_'+-]{1,100}(::skin-tone-[2-6])?")

Arguments = Mapping[str, Any]


class SlackRefusalError(Exception):
    """A request that Slack refuses, with its name for the reason."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


def auth_test(_recorder: SlackRecorder, _given: Arguments) -> Json:
    return {
        "url": "https://acme.slack.com/",
        "team": "Acme",
        "user": "contexten",
        "team_id": TEAM,
        "user_id": BOT_USER,
        "bot_id": BOT,
        "is_enterprise_install": False,
    }


def post_message(recorder: SlackRecorder, given: Arguments) -> Json:
    channel = _channel(recorder, given)
    content = _content(given)
    thread_ts = given.get("thread_ts")
    if thread_ts is not None:
        content["thread_ts"] = _ts({"ts": thread_ts}, "invalid_thread_ts")
    for name in ("metadata", "attachments"):
        if name in given:
            content[name] = _object(given[name], f"invalid_{name}")
    message = recorder.post(channel, **content)
    return {"channel": channel, "ts": message["ts"], "message": _shown(message)}


def update_message(recorder: SlackRecorder, given: Arguments) -> Json:
    channel, ts = _channel(recorder, given), _ts(given, "message_not_found")
    message = recorder.message(channel, ts)
    if message is None:
        raise SlackRefusalError("message_not_found")
    changed = {**message, **_content(given), "edited": {"user": BOT_USER, "ts": ts}}
    recorder.messages.put(f"{channel} {ts}", changed)
    return {"channel": channel, "ts": ts, "text": changed["text"], "message": _shown(changed)}


def add_reaction(recorder: SlackRecorder, given: Arguments) -> Json:
    channel, name = _channel(recorder, given), given.get("name")
    timestamp = given.get("timestamp")
    if timestamp is None:
        raise SlackRefusalError("no_item_specified")
    if not isinstance(timestamp, str) or TS.fullmatch(timestamp) is None:
        raise SlackRefusalError("bad_timestamp")
    if not isinstance(name, str) or EMOJI.fullmatch(name.strip(":")) is None:
        raise SlackRefusalError("invalid_name")
    key = f"{channel} {timestamp} {name.strip(':')}"
    if recorder.reactions.get(key) is not None:
        raise SlackRefusalError("already_reacted")
    reaction = {"channel": channel, "ts": timestamp, "name": name.strip(":"), "user": BOT_USER}
    recorder.reactions.put(key, reaction)
    return {}


def conversation_history(recorder: SlackRecorder, given: Arguments) -> Json:
    """Give a channel's messages that are no replies, newest first."""
    channel = _channel(recorder, given)
    found = [message for message in recorder.messages if message["channel"] == channel]
    found = [message for message in found if message.get("thread_ts", message["ts"]) == message["ts"]]
    return _page(sorted(found, key=_moment, reverse=True), given)


def conversation_replies(recorder: SlackRecorder, given: Arguments) -> Json:
    """Give a thread, oldest first; what started it need not have been posted here."""
    channel, ts = _channel(recorder, given), _ts(given, "thread_not_found")
    found = [message for message in recorder.messages if message["channel"] == channel]
    found = [message for message in found if ts in {message["ts"], message.get("thread_ts")}]
    if not found:
        raise SlackRefusalError("thread_not_found")
    return _page(sorted(found, key=_moment), given)


def conversation_info(recorder: SlackRecorder, given: Arguments) -> Json:
    channel = _channel(recorder, given)
    return {
        "channel": {
            "id": channel,
            "name": recorder.channels.get(channel, "general"),
            "is_channel": channel.startswith("C"),
            "is_im": channel.startswith("D"),
            "is_private": channel.startswith("G"),
            "is_archived": False,
            "is_member": True,
            "context_team_id": TEAM,
        }
    }


def user_info(recorder: SlackRecorder, given: Arguments) -> Json:
    user = given.get("user")
    if not isinstance(user, str) or USER.fullmatch(user) is None or (recorder.users and user not in recorder.users):
        raise SlackRefusalError("user_not_found")
    is_us, name = user == BOT_USER, recorder.users.get(user, "ada")
    name = "contexten" if is_us else name
    return {
        "user": {
            "id": user,
            "team_id": TEAM,
            "name": name,
            "real_name": name,
            "deleted": False,
            "is_bot": is_us,
            "profile": {"real_name": name, "display_name": name},
        }
    }


METHODS: Mapping[str, Callable[[SlackRecorder, Arguments], Json]] = {
    "auth.test": auth_test,
    "chat.postMessage": post_message,
    "chat.update": update_message,
    "reactions.add": add_reaction,
    "conversations.history": conversation_history,
    "conversations.info": conversation_info,
    "conversations.replies": conversation_replies,
    "users.info": user_info,
}


def _page(messages: list[Json], given: Arguments) -> Json:
    """Give the messages from the one that the cursor names."""
    limit, cursor = str(given.get("limit", DEFAULT_LIMIT)), given.get("cursor") or ""
    if not limit.isascii() or not limit.isdecimal() or not 1 <= int(limit[:6]) <= MAX_LIMIT:
        raise SlackRefusalError("invalid_limit")
    stamps = [f"next_ts:{message['ts']}" for message in messages]
    if cursor and cursor not in stamps:
        raise SlackRefusalError("invalid_cursor")
    first = stamps.index(cursor) if cursor else 0
    after = first + int(limit)
    with_metadata = str(given.get("include_all_metadata", "")).lower() in {"1", "true"}
    return {
        "messages": [
            {name: value for name, value in _shown(message).items() if with_metadata or name != "metadata"}
            for message in messages[first:after]
        ],
        "has_more": after < len(messages),
        "response_metadata": {"next_cursor": stamps[after] if after < len(messages) else ""},
    }


def _moment(message: Json) -> str:
    return str(message["ts"])


def _channel(recorder: SlackRecorder, given: Arguments) -> str:
    channel = given.get("channel")
    if not isinstance(channel, str):
        raise SlackRefusalError("channel_not_found")
    for known, name in recorder.channels.items():
        if channel in {known, name, f"#{name}"}:
            return known
    if recorder.channels or CHANNEL.fullmatch(channel) is None:
        raise SlackRefusalError("channel_not_found")
    return channel


def _content(given: Arguments) -> Json:
    text, blocks = given.get("text"), given.get("blocks")
    content: Json = {}
    if blocks is not None:
        content["blocks"] = _object(blocks, "invalid_blocks_format")
        if not isinstance(content["blocks"], list) or len(content["blocks"]) > MAX_BLOCKS:
            raise SlackRefusalError("invalid_blocks")
        if not all(_is_block(block) for block in content["blocks"]):
            raise SlackRefusalError("invalid_blocks")
    if text is not None and not isinstance(text, str):
        raise SlackRefusalError("invalid_arguments")
    if not text and not content.get("blocks") and "attachments" not in given:
        raise SlackRefusalError("no_text")
    if text and len(text) > MAX_TEXT:
        raise SlackRefusalError("msg_too_long")
    # JSON can spell half a surrogate pair, which no answer could be encoded with.
    return {**content, "text": (text or "").encode("utf-8", "replace").decode("utf-8")}


def _is_block(block: Any) -> bool:
    """Tell whether Slack takes a block, of the kinds that are looked at: sections and buttons."""
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        return False
    if block["type"] == "section":
        return _is_text(block.get("text"), MAX_SECTION) or isinstance(block.get("fields"), list)
    if block["type"] != "actions":
        return True
    elements = block.get("elements")
    if not isinstance(elements, list) or not 1 <= len(elements) <= MAX_ELEMENTS:
        return False
    return all(
        isinstance(element, dict)
        and (element.get("type") != "button" or _is_text(element.get("text"), MAX_BUTTON))
        and len(str(element.get("value", ""))) <= MAX_VALUE
        for element in elements
    )


def _is_text(text: Any, longest: int) -> bool:
    said = text.get("text") if isinstance(text, dict) else None
    return isinstance(said, str) and 1 <= len(said) <= longest


def _object(value: Any, error: str) -> Any:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as problem:
            raise SlackRefusalError(error) from problem
    if not isinstance(value, list | dict):
        raise SlackRefusalError(error)
    return value


def _ts(given: Arguments, error: str) -> str:
    ts = given.get("ts")
    if not isinstance(ts, str) or TS.fullmatch(ts) is None:
        raise SlackRefusalError(error)
    return ts


def _shown(message: Json) -> Json:
    return {name: value for name, value in message.items() if name != "channel"}
