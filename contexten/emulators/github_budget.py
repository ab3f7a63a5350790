"""GitHub's hourly budget of requests, and the headers of its answers."""

import secrets
from collections.abc import Mapping

from starlette.responses import Response

from contexten.emulators.clock import Clock
from contexten.emulators.github_problems import problem_response
from contexten.emulators.shapes import Json

HOURLY_REQUESTS = 5000
HOUR = 3600
FREE = frozenset({"/rate_limit"})


class HourlyBudget:
    """Counts requests by the hour of the clock, and refuses those above the limit when `enforced`."""

    def __init__(self, *, clock: Clock, limit: int = HOURLY_REQUESTS, enforced: bool = False) -> None:
        self.limit = limit
        self.enforced = enforced
        self._clock = clock
        self._resets_at = 0
        self._used = 0

    def refuse(self, path: str) -> Response | None:
        """Count a request, and give the answer to one that is too many."""
        now = int(self._clock.now().timestamp())
        if now >= self._resets_at:
            self._resets_at = now + HOUR
            self._used = 0
        if path in FREE:
            return None
        if self.enforced and self._used >= self.limit:
            message = "API rate limit exceeded for user ID 1."
            return problem_response(403, message)
        self._used = min(self._used + 1, self.limit)
        return None

    def headers(self) -> Mapping[str, str]:
        """Give the headers that every answer has."""
        return {
            "Server": "github.com",
            "X-GitHub-Media-Type": "github.v3; format=json",
            "X-GitHub-Api-Version-Selected": "2022-11-28",
            "X-GitHub-Request-Id": ":".join(secrets.token_hex(size).upper() for size in (2, 3, 4, 4, 4)),
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.limit - self._used),
            "X-RateLimit-Reset": str(self._resets_at),
            "X-RateLimit-Used": str(self._used),
            "X-RateLimit-Resource": "core",
        }

    def report(self) -> Json:
        """Give the answer of `/rate_limit`."""
        core = {"limit": self.limit, "used": self._used, "remaining": self.limit - self._used, "reset": self._resets_at}
        return {"resources": {"core": core}, "rate": core}
