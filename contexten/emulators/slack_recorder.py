"""What a Slack emulator holds: messages and reactions."""

import time
from typing import Any

from contexten.emulators.recorder import Recorder
from contexten.emulators.shapes import Json
from contexten.emulators.slack_deliveries import APP, TEAM

BOT_USER, BOT = "U0CONTEXTEN", "B0CONTEXTEN"


class SlackRecorder(Recorder):
    """Bounded memory of a Slack emulator: the newest `capacity` messages and reactions.

    Attributes:
        channels: the names of the channels that there are, by id; every well-formed id when empty.
        users: the same for people.
    """

    def __init__(self, *, capacity: int) -> None:
        super().__init__(capacity=capacity)
        self.messages = self.shelf()
        self.reactions = self.shelf()
        self.channels: dict[str, str] = {}
        self.users: dict[str, str] = {}
        self._last_ts = 0

    def post(self, channel: str, **content: Any) -> Json:
        """Keep a message; its `ts` is the time, and no two are alike."""
        self._last_ts = max(self._last_ts + 1, int(time.time() * 1_000_000))
        ts = f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"
        message = {
            "type": "message",
            "channel": channel,
            "ts": ts,
            "user": BOT_USER,
            "bot_id": BOT,
            "app_id": APP,
            "team": TEAM,
            **content,
        }
        return self.messages.put(f"{channel} {ts}", message)

    def message(self, channel: str, ts: str) -> Json | None:
        return self.messages.get(f"{channel} {ts}")
