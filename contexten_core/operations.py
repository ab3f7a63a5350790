"""Limits for what a process does at once, and for how long each may take."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from contexten_core.errors import OperationTimeoutError, OverloadedError


class Operations:
    """Runs operations, at most `most` of them at once, each for at most `seconds`.

    One that finds no place waits for it as long as an operation may take.
    """

    def __init__(self, *, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._places = asyncio.Semaphore(most)

    async def run(self, name: str, operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run an operation; a function that is not async runs in a thread, which no timeout can stop.

        Raises:
            OverloadedError: no place became free in time.
            OperationTimeoutError: it took too long; it was cancelled.
        """
        try:
            async with asyncio.timeout(self._seconds):
                await self._places.acquire()
        except TimeoutError:
            raise OverloadedError(
                f"{name} found no place among {self._most} operations within {self._seconds:g} s",
                hint="raise MAX_CONCURRENT_OPERATIONS, or do less at once",
                transient=True,
            ) from None
        try:
            async with asyncio.timeout(self._seconds) as limit:
                return await _call(operation, *args, **kwargs)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise OperationTimeoutError(
                f"{name} did not end within {self._seconds:g} s",
                hint="raise RESPONSE_TIMEOUT_SECONDS, or make it faster",
            ) from error
        finally:
            self._places.release()


async def _call(operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    if inspect.iscoroutinefunction(operation):
        return await operation(*args, **kwargs)
    value = await asyncio.to_thread(operation, *args, **kwargs)
    return await value if inspect.isawaitable(value) else value
