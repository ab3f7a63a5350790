"""A stack beside a program that goes on with something else: in a thread, with an event loop of its own."""

import asyncio
import atexit
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from contexten_core.errors import StackError
from contexten_core.settings import Settings
from deployments.stack import Say, Stack, StackBuilder, opened_stack

T = TypeVar("T")

_CLOSE_SECONDS = 30.0


class HostedStack:
    """The parts of a stack, kept running whatever the threads and event loops of its user do.

    All methods block; from async code call them in a thread. It ends with the process at the latest.
    """

    def __init__(self, settings: Settings, *, say: Say, failed: Callable[[BaseException], None]) -> None:
        self._settings = settings
        self._say = say
        self._failed = failed
        self._opened: Future[StackBuilder] = Future()
        self._closing: Callable[[], None] = lambda: None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._working: set[asyncio.Task[Any]] = set()
        self._thread = threading.Thread(target=self._live, name="contexten-stack", daemon=True)

    def open(self) -> Settings:
        """Take the home and start PostgreSQL where it is needed; returns settings that lead to it.

        Raises:
            StackError: another stack has this home, or PostgreSQL does not start.
        """
        self._thread.start()
        atexit.register(self.close)
        try:
            self._opened.result()
            self._run(self._builder.start_database())
        except BaseException:
            self.close()
            raise
        return self._builder.settings

    def start(self, *roles: str, host: str, port: int) -> Stack:
        """Start Prefect's server and processes in these roles; the web process is to listen where it is said.

        Raises:
            StackError: a part does not start; the others have been ended.
        """
        builder = self._builder
        builder.settings.api_host, builder.settings.api_port = host, port
        return self._run(builder.start_services(*roles))

    def close(self) -> None:
        """End everything that was started. Safe to call again."""
        atexit.unregister(self.close)
        self._closing()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_CLOSE_SECONDS)

    @property
    def _builder(self) -> StackBuilder:
        return self._opened.result()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None or self._loop.is_closed():
            work.close()
            raise StackError("the stack has been ended")
        try:
            return asyncio.run_coroutine_threadsafe(self._tracked(work), self._loop).result()
        except CancelledError:
            raise StackError("the stack has been ended") from None

    async def _tracked(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        assert task is not None
        self._working.add(task)
        try:
            return await work
        finally:
            self._working.discard(task)

    def _live(self) -> None:
        try:
            asyncio.run(self._host())
        except Exception as error:  # noqa: BLE001 - handed on to whoever waits
            if self._opened.done():
                self._failed(error)
            else:
                self._opened.set_exception(error)

    async def _host(self) -> None:
        loop = asyncio.get_running_loop()
        closing = asyncio.Event()
        self._loop = loop

        def close() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(closing.set)

        self._closing = close
        # Whoever ends this stack has a program wait for it.
        hurry = asyncio.Event()
        hurry.set()
        async with opened_stack(self._settings, say=self._say, hurry=hurry) as builder:
            self._opened.set_result(builder)
            waiting = asyncio.create_task(closing.wait())
            watching = asyncio.create_task(builder.supervisor.wait())
            await asyncio.wait({waiting, watching}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            # What still starts something is to end first: the record of what runs is closed after this.
            working = set(self._working)
            for task in working:
                task.cancel()
            if working:
                await asyncio.wait(working)
            if watching.done():
                watching.result()
            watching.cancel()
