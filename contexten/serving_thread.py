"""Serve from code that is not async: in a thread with an event loop of its own, while the caller blocks."""

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from types import FrameType

_LOOK_SECONDS = 0.2


def serve_in_thread(serve: Callable[[], Awaitable[None]], *, stop: Callable[[], None]) -> None:
    """Run `serve` in a thread until it ends; SIGINT and SIGTERM, where they reach us, call `stop`.

    Raises:
        Exception: what `serve` raised.
    """
    failures: list[BaseException] = []
    signalled = False

    async def work() -> None:
        await serve()

    def live() -> None:
        try:
            asyncio.run(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            failures.append(error)

    def on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the shape of a signal handler
        nonlocal signalled
        signalled = True

    # Only the main thread may set handlers; elsewhere whoever owns that thread decides what signals mean.
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, on_signal) for number in numbers}
    thread = threading.Thread(target=live, name="contexten-server")
    try:
        thread.start()
        while thread.is_alive():
            if signalled:
                # Again and again: the first one may come before there is anything to stop.
                stop()
            thread.join(_LOOK_SECONDS)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if failures:
        raise failures[0]
