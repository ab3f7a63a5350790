"""The time that an emulator lives in: it may run faster than ours, stand still, or be moved on by hand."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

from contexten_core.errors import ConfigurationError


class Clock:
    """Time that passes `time_scale` times as fast as ours, for waiting between attempts and for what is kept how long.

    With `time_scale=3600` an hour takes a second; with 0 the clock stands still, and only `advance` moves it. How
    long a receiver may take to answer is not compressed: the receiver lives in our time.

    Args:
        time_scale: seconds of this clock in one of ours; not negative.
        starts_at: what it shows first, aware; now when left out.
    """

    def __init__(self, *, time_scale: float = 1.0, starts_at: datetime | None = None) -> None:
        if not 0 <= time_scale < float("inf"):
            raise ConfigurationError(
                f"A clock cannot run {time_scale} times as fast.", hint="0 stands still, 1 is ours."
            )
        self.time_scale = time_scale
        self._starts_at = starts_at or datetime.now(UTC)
        self._began = time.monotonic()
        self._advanced = 0.0
        self._moved = asyncio.Event()

    def now(self) -> datetime:
        return self._starts_at + timedelta(seconds=self._elapsed())

    def advance(self, seconds: float) -> None:
        """Move the clock on; whoever sleeps until then wakes up."""
        self._advanced += seconds
        self._moved.set()
        self._moved = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Wait for that many seconds of this clock."""
        until = self._elapsed() + seconds
        while (left := until - self._elapsed()) > 0:
            moved = self._moved
            try:
                async with asyncio.timeout(left / self.time_scale if self.time_scale else None):
                    await moved.wait()
            except TimeoutError:
                continue

    def _elapsed(self) -> float:
        return (time.monotonic() - self._began) * self.time_scale + self._advanced
