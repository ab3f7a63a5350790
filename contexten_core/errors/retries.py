"""When to try again what failed: only what may pass, only as often as declared, and not before the other side wants it.

The same decision serves Prefect's tasks, which wait between attempts themselves, and core calls without one.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from time import monotonic
from typing import TypeVar

from contexten_core.db import utc_now
from contexten_core.errors.base import ContextenError
from contexten_core.errors.classify import classify
from contexten_core.errors.http_status import asked_to_wait

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """The budget of one thing that is tried again.

    Attributes:
        most: how many times it is tried again, at most.
        seconds: no attempt begins later than this after the first one began.
        first_delay: seconds before the second attempt; doubled with each further one.
        jitter: by which part of itself a delay is longer or shorter.
    """

    most: int
    seconds: float
    first_delay: float = 1.0
    jitter: float = 0.5

    @property
    def delays(self) -> list[float]:
        """The seconds before each further attempt, without jitter and without what the other side asks for."""
        return [self.first_delay * 2.0**number for number in range(self.most)]

    def wait(self, error: BaseException, *, attempt: int, spent: float) -> float | None:
        """Return the seconds that the other side asked for, which come before the delay; 0 when it did not.

        Args:
            attempt: the number of the attempt that failed, from 1.
            spent: seconds since the first one began.

        Returns:
            None when it is not to be tried again: it will not pass, or the budget does not reach.
        """
        if attempt > self.most or not may_pass(error):
            return None
        asked = asked_to_wait(error, now=utc_now()) or 0.0
        longest = self.delays[attempt - 1] * (1 + self.jitter)
        return asked if spent + asked + longest <= self.seconds else None

    def delay(self, attempt: int) -> float:
        """Return the seconds before the attempt after this one, spread by the jitter."""
        spread = random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311 - spreads callers out
        return self.delays[attempt - 1] * spread


def may_pass(error: BaseException) -> bool:
    """Tell whether the same may succeed later: as our own errors say themselves, others as they are classified."""
    return error.transient if isinstance(error, ContextenError) else classify(error).recoverable


async def retried(retries: Retries, call: Callable[[], Awaitable[T]]) -> T:
    """Call until it succeeds; raises what the last attempt raised when it is not to be tried again."""
    began = monotonic()
    for attempt in count(1):
        try:
            return await call()
        except Exception as error:
            asked = retries.wait(error, attempt=attempt, spent=monotonic() - began)
            if asked is None:
                raise
            await asyncio.sleep(asked + retries.delay(attempt))
    raise AssertionError  # pragma: no cover - the count has no end
