"""The recovery strategies that come with the system.

A strategy only prepares: it waits, looks whether the database is there again, frees memory. Whether the operation then
succeeds is found out by running it (`recovery`). None of them closes a connection, or the pool of them: others work
with those.
"""

import asyncio
import gc
import random
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from contexten_core.db import Database, utc_now
from contexten_core.errors.http_status import asked_to_wait
from contexten_core.errors.redact import safe_str
from contexten_core.settings import IntegrationsConfig

Answer = dict[str, Any]
Strategy = Callable[..., Any]

DATABASE_CONNECTION = "database_connection"
API_TIMEOUT = "api_timeout"
RATE_LIMIT = "rate_limit"
MEMORY_LIMIT = "memory_limit"

LONGEST_RECOVERY_SECONDS = 30.0
_LONGEST_PAUSE_SECONDS = 10.0
_PING_SECONDS = 5.0


class BuiltInStrategies:
    """The four strategies, each `(error, context) -> {"success", "strategy", "action" or "error"}`.

    `context["recovery_attempt"]` is the number of the try, from 1. Without an `operation` in the context there is
    nothing to wait for, and they do not.
    """

    def __init__(self, database: Database | None, settings: IntegrationsConfig) -> None:
        self._database = database
        self._settings = settings

    def by_name(self) -> dict[str, Strategy]:
        return {
            DATABASE_CONNECTION: self.database_connection,
            API_TIMEOUT: self.api_timeout,
            RATE_LIMIT: self.rate_limit,
            MEMORY_LIMIT: self.memory_limit,
        }

    async def database_connection(self, error: BaseException, context: Mapping[str, Any]) -> Answer:  # noqa: ARG002
        """Look whether the database answers, within 5 s; from the second try on after a pause."""
        if self._database is None:
            return _failed(DATABASE_CONNECTION, "no database is configured")
        waited = await self._pause(context) if _attempt(context) > 1 else 0.0
        try:
            async with asyncio.timeout(_PING_SECONDS):
                await self._database.ping()
        except TimeoutError:
            return _failed(DATABASE_CONNECTION, f"the database did not answer within {_PING_SECONDS:.0f} s")
        except (SQLAlchemyError, OSError) as problem:
            said = getattr(problem, "orig", None) or problem
            return _failed(DATABASE_CONNECTION, f"the database does not answer: {safe_str(said, 300)}")
        return _done(DATABASE_CONNECTION, f"the database answers{_after(waited)}")

    async def api_timeout(self, error: BaseException, context: Mapping[str, Any]) -> Answer:
        """Wait before the next call: as long as the service asked, else longer each time."""
        return await self._wait(API_TIMEOUT, error, context)

    async def rate_limit(self, error: BaseException, context: Mapping[str, Any]) -> Answer:
        """Wait as long as the service asked (Retry-After), else longer each time."""
        return await self._wait(RATE_LIMIT, error, context)

    async def memory_limit(self, error: BaseException, context: Mapping[str, Any]) -> Answer:  # noqa: ARG002
        """Free what Python can free."""
        return _done(MEMORY_LIMIT, f"freed {gc.collect()} unreachable objects")

    async def _wait(self, strategy: str, error: BaseException, context: Mapping[str, Any]) -> Answer:
        asked = asked_to_wait(error, now=utc_now())
        if asked is None:
            return _done(strategy, f"ready to call again{_after(await self._pause(context))}")
        if asked > LONGEST_RECOVERY_SECONDS:
            return _failed(strategy, f"the service asks to wait {asked:.0f} s, longer than a recovery may take")
        if not _has_operation(context):
            return _done(strategy, f"the service asks to wait {asked:.1f} s")
        await asyncio.sleep(asked)
        return _done(strategy, f"waited {asked:.1f} s, as the service asks")

    async def _pause(self, context: Mapping[str, Any]) -> float:
        """Wait the configured delay, doubled with each try, give or take a half; returns the seconds."""
        if not _has_operation(context):
            return 0.0
        delay = self._settings.api_retry_delay_seconds * 2.0 ** min(_attempt(context) - 1, 10)
        seconds = min(delay * random.uniform(0.5, 1.5), _LONGEST_PAUSE_SECONDS)  # noqa: S311 - spreads callers out
        await asyncio.sleep(seconds)
        return seconds


def _done(strategy: str, action: str) -> Answer:
    return {"success": True, "strategy": strategy, "action": action}


def _failed(strategy: str, error: str) -> Answer:
    return {"success": False, "strategy": strategy, "error": error}


def _after(seconds: float) -> str:
    return f" after {seconds:.1f} s" if seconds else ""


def _attempt(context: Mapping[str, Any]) -> int:
    return int(context.get("recovery_attempt", 1))


def _has_operation(context: Mapping[str, Any]) -> bool:
    return callable(context.get("operation"))
