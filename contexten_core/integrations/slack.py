"""Messages and reactions at Slack, each carried out once.

A message carries its effect's key as metadata, by which it is found again when the answer to it was lost. For that
the app needs the scopes for reading history of the channels it is in.
"""

from collections.abc import Mapping
from typing import Any

from contexten_core.db import Database
from contexten_core.errors import OutboundError
from contexten_core.integrations.json_call import bounded, text_of
from contexten_core.integrations.posts import Posts
from contexten_core.integrations.slack_client import SlackClient, SlackRefusedError
from contexten_core.settings import Settings

MESSAGE = "slack.message"
REACTION = "slack.reaction"

_EVENT_TYPE = "contexten"
_PAGE = 200
_MOST_PAGES = 10
_TRIES = 2
# Slack knows a message by its channel and its time.
_BETWEEN = "/"
# Deleted by somebody, or no longer to be edited by the workspace's rules: what it was to say is said anew.
_NOT_EDITABLE = frozenset({"cant_update_message", "edit_window_closed", "message_not_found"})


class SlackPoster:
    """Carries out effects at Slack.

    What an effect's content holds, by its kind:

    - `slack.message`: channel, text, thread_ts and post, which may be None; the one message of a `post` key is edited.
      With `blocks` those are shown and the text only where they cannot be; an empty list takes them away.
    - `slack.reaction`: channel, ts, name
    """

    kinds = frozenset({MESSAGE, REACTION})

    def __init__(self, settings: Settings, database: Database) -> None:
        self._client = SlackClient(settings)
        self._posts = Posts(database)

    def unable(self, content: Mapping[str, Any]) -> str | None:  # noqa: ARG002 - there is one address for all
        """Return why nothing can be carried out at all, or None."""
        return self._client.unable()

    async def post(self, content: Mapping[str, Any], *, key: str, maybe_done: bool) -> dict[str, Any]:
        """Carry an effect out and return what Slack made of it.

        With `maybe_done`, a message of this key is looked for among the newest in its thread or channel, and not
        posted twice.

        Raises:
            OutboundError: Slack refused, or did not answer.
        """
        async with bounded("Slack"):
            if "name" in content:
                return await self._react(content)
            return await self._say(content, key, maybe_done=maybe_done)

    async def _say(self, content: Mapping[str, Any], key: str, *, maybe_done: bool) -> dict[str, Any]:
        name = content.get("post")
        if not isinstance(name, str) or not name:
            return await self._find_or_post(content, key, maybe_done=maybe_done)
        for _ in range(_TRIES):
            post = await self._posts.take(name, effect=key)
            if post.external_id is None:
                said: dict[str, Any] | None = await self._find_or_post(content, key, maybe_done=maybe_done)
            else:
                said = await self._edit(post.external_id, content)
            if said is not None:
                external_id = f"{said['channel']}{_BETWEEN}{said['ts']}"
                await self._posts.keep(name, external_id=external_id, url=None, effect=key)
                return said
            await self._posts.drop(name, external_id=str(post.external_id))
        raise OutboundError("Slack loses the message that is to be edited", transient=True)

    async def _edit(self, external_id: str, content: Mapping[str, Any]) -> dict[str, Any] | None:
        """Change a message and return it; None when that cannot be done any more."""
        channel, _, ts = external_id.partition(_BETWEEN)
        body = {"channel": channel, "ts": ts, **_shown(content), "parse": "none", "link_names": False}
        try:
            await self._client.write("chat.update", body)
        except SlackRefusedError as error:
            if error.error in _NOT_EDITABLE:
                return None
            raise
        return {"channel": channel, "ts": ts}

    async def _find_or_post(self, content: Mapping[str, Any], key: str, *, maybe_done: bool) -> dict[str, Any]:
        channel, thread_ts = text_of(content, "channel"), content.get("thread_ts")
        if maybe_done and (found := await self._find(channel, thread_ts, key)) is not None:
            return found
        body = {
            "channel": channel,
            **_shown(content),
            "mrkdwn": True,
            "parse": "none",
            "link_names": False,
            "unfurl_links": False,
            "unfurl_media": False,
            "metadata": {"event_type": _EVENT_TYPE, "event_payload": {"key": key}},
        }
        answer = await self._client.write("chat.postMessage", body | ({"thread_ts": thread_ts} if thread_ts else {}))
        posted_in, ts = answer.get("channel"), answer.get("ts")
        if not isinstance(posted_in, str) or not isinstance(ts, str):
            raise OutboundError("Slack did not answer as it does to a new message", ambiguous=True)
        return {"channel": posted_in, "ts": ts}

    async def _find(self, channel: str, thread_ts: str | None, key: str) -> dict[str, Any] | None:
        method = "conversations.replies" if thread_ts else "conversations.history"
        params = {"channel": channel, "limit": str(_PAGE), "include_all_metadata": "true"}
        params |= {"ts": thread_ts} if thread_ts else {}
        for _ in range(_MOST_PAGES):
            try:
                page = await self._client.read(method, params)
            except SlackRefusedError as error:
                if error.error == "thread_not_found":
                    return None
                raise
            messages = page.get("messages")
            for message in messages if isinstance(messages, list) else []:
                if _key_of(message) == key and isinstance(ts := message.get("ts"), str):
                    return {"channel": channel, "ts": ts}
            following = page.get("response_metadata")
            cursor = following.get("next_cursor") if isinstance(following, Mapping) else None
            if not isinstance(cursor, str) or not cursor:
                return None
            params["cursor"] = cursor
        return None

    async def _react(self, content: Mapping[str, Any]) -> dict[str, Any]:
        channel, ts, name = (text_of(content, part) for part in ("channel", "ts", "name"))
        try:
            await self._client.write("reactions.add", {"channel": channel, "timestamp": ts, "name": name})
        except SlackRefusedError as error:
            if error.error != "already_reacted":
                raise
        return {"channel": channel, "ts": ts, "name": name}


def _shown(content: Mapping[str, Any]) -> dict[str, Any]:
    blocks = content.get("blocks")
    return {"text": text_of(content, "text")} | ({"blocks": blocks} if isinstance(blocks, list) else {})


def _key_of(message: Any) -> str | None:
    metadata = message.get("metadata") if isinstance(message, Mapping) else None
    if not isinstance(metadata, Mapping) or metadata.get("event_type") != _EVENT_TYPE:
        return None
    payload = metadata.get("event_payload")
    key = payload.get("key") if isinstance(payload, Mapping) else None
    return key if isinstance(key, str) else None
