"""Slack's deliveries: events, interactivity and slash commands, signed with the time of each attempt."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import urlencode
from uuid import uuid4

from contexten.emulators.deliveries import MINUTE, SUCCESSFUL, Outcome, Schedule, Try, compact
from contexten.emulators.signing import sign_slack

TEAM, APP = "T123456", "A123456"
ONCE = Schedule(limit_seconds=3)
EVENTS = Schedule(limit_seconds=3, retries=(0.0, MINUTE, 5 * MINUTE))
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"

_REASONS = {
    Outcome.REFUSED: "http_error",
    Outcome.TIMED_OUT: "http_timeout",
    Outcome.UNREACHABLE: "connection_failed",
    Outcome.CUT: "connection_failed",
    Outcome.DROPPED: "connection_failed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackDelivery:
    """One request as Slack sends it, within 3 s; only events are sent again: at once, after a minute, after five.

    Make it with `of_event`, `of_interaction`, `of_command` or `of_url_verification`.

    Attributes:
        event: the type of what happened.
        body: the same for each attempt; the signature and its time are not.
        challenge: what a `url_verification` wants to hear.
    """

    event: str
    body: bytes
    content_type: str = JSON
    delivery_id: str = field(default_factory=lambda: f"Ev{uuid4().hex.upper()}")
    schedule: Schedule = ONCE
    challenge: str | None = None

    @classmethod
    def of_event(cls, payload: Mapping[str, Any]) -> Self:
        """Take a whole `event_callback` as it is, or put an event of the Events API into one."""
        outer = dict(payload)
        if not isinstance(payload.get("event"), Mapping):
            now = time.time()
            outer = {
                "token": "",
                "team_id": TEAM,
                "api_app_id": APP,
                "event": {"event_ts": f"{now:.6f}", **payload},
                "type": "event_callback",
                "event_id": f"Ev{uuid4().hex.upper()}",
                "event_time": int(now),
            }
        return cls(
            event=str(outer["event"].get("type", "")),
            body=compact(outer),
            delivery_id=str(outer.get("event_id", "")),
            schedule=EVENTS,
        )

    @classmethod
    def of_interaction(cls, payload: Mapping[str, Any]) -> Self:
        """Send a button, shortcut or dialog (`block_actions`, `shortcut`, `view_submission`, ...): a form."""
        text = json.dumps(payload, separators=(",", ":"))
        return cls(event=str(payload.get("type", "")), body=urlencode({"payload": text}).encode(), content_type=FORM)

    @classmethod
    def of_press(cls, message: Mapping[str, Any], action_id: str, *, user: str, name: str = "ada") -> Self:
        """Send that somebody pressed a button of a message, as `block_actions` tells of it.

        Raises:
            KeyError: the message has no such button.
        """
        element, block_id = _button(message, action_id)
        channel, ts = str(message["channel"]), str(message["ts"])
        container = {"type": "message", "message_ts": ts, "channel_id": channel, "is_ephemeral": False}
        if "thread_ts" in message:
            container["thread_ts"] = message["thread_ts"]
        payload: dict[str, Any] = {
            "type": "block_actions",
            "user": {"id": user, "username": name, "name": name, "team_id": TEAM},
            "api_app_id": APP,
            "token": "",
            "container": container,
            "trigger_id": f"1.2.{uuid4().hex}",
            "team": {"id": TEAM, "domain": "acme"},
            "enterprise": None,
            "is_enterprise_install": False,
            "channel": {"id": channel, "name": "general"},
            "message": {part: value for part, value in message.items() if part != "channel"},
            "state": {"values": {}},
            "response_url": f"https://hooks.slack.com/actions/{TEAM}/1/{uuid4().hex}",
            "actions": [{**element, "block_id": block_id, "action_ts": f"{time.time():.6f}"}],
        }
        return cls.of_interaction(payload)

    @classmethod
    def of_command(cls, command: str, text: str = "", **fields: str) -> Self:
        """Send a slash command, such as `/deploy`: a form; `fields` add to Slack's or replace them."""
        form = {
            "token": "",
            "team_id": TEAM,
            "team_domain": "acme",
            "channel_id": "C123456",
            "channel_name": "general",
            "user_id": "U123456",
            "user_name": "ada",
            "command": command,
            "text": text,
            "api_app_id": APP,
            "is_enterprise_install": "false",
            "response_url": f"https://hooks.slack.com/commands/{TEAM}/1/{uuid4().hex}",
            "trigger_id": f"1.2.{uuid4().hex}",
            **fields,
        }
        return cls(event=command, body=urlencode(form).encode(), content_type=FORM)

    @classmethod
    def of_url_verification(cls, challenge: str | None = None) -> Self:
        """Ask whether the address is ours; the answer must be the challenge, as text or in JSON."""
        challenge = challenge or uuid4().hex
        body = compact({"token": "", "challenge": challenge, "type": "url_verification"})
        return cls(event="url_verification", body=body, challenge=challenge)

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Send a recorded payload the way that Slack sends its kind."""
        if payload.get("type") == "url_verification":
            return cls.of_url_verification(str(payload.get("challenge", "")))
        if "command" in payload:
            given = {name: str(value) for name, value in payload.items() if name not in {"command", "text"}}
            return cls.of_command(str(payload["command"]), str(payload.get("text", "")), **given)
        is_event = payload.get("type") == "event_callback" or not {"team", "user", "trigger_id"} & payload.keys()
        return cls.of_event(payload) if is_event else cls.of_interaction(payload)

    def headers(self, secret: bytes | str | None, *, at: datetime | None = None) -> dict[str, str]:
        """Give Slack's headers for an attempt at that time (now when left out), unsigned without a secret."""
        timestamp = int((at or datetime.now(UTC)).timestamp())
        headers = {
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            "Accept": "*/*",
            "Content-Type": self.content_type,
            "X-Slack-Request-Timestamp": str(timestamp),
        }
        if secret is not None:
            headers["X-Slack-Signature"] = sign_slack(secret, self.body, timestamp=timestamp)
        return headers

    def headers_of(self, attempt: Try, secret: bytes | str | None, /) -> dict[str, str]:
        headers = self.headers(secret, at=attempt.at)
        if attempt.last is not None:
            headers["X-Slack-Retry-Num"] = str(attempt.number)
            headers["X-Slack-Retry-Reason"] = _REASONS.get(attempt.last, "unknown_error")
        return headers

    def accepts(self, status: int, answer: bytes, /) -> bool:
        if status not in SUCCESSFUL or self.challenge is None:
            return status in SUCCESSFUL
        return self.challenge in {answer.decode("utf-8", "replace").strip(), _challenge_in(answer)}


def _button(message: Mapping[str, Any], action_id: str) -> tuple[Mapping[str, Any], str]:
    for block in message.get("blocks") or ():
        for element in block.get("elements") or () if isinstance(block, Mapping) else ():
            if isinstance(element, Mapping) and element.get("action_id") == action_id:
                return element, str(block.get("block_id", ""))
    raise KeyError(action_id)


def _challenge_in(answer: bytes) -> str | None:
    try:
        said = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    return str(said.get("challenge")) if isinstance(said, dict) else None
