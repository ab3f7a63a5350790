"""Keeps child processes running, and leaves none behind."""

import asyncio
import errno
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, NoReturn, Self

from contexten_core.errors import StackError
from deployments.child import Child
from deployments.keeper import Keeper
from deployments.state import RunningChild

# Killing and collecting come on top of waiting; they take a small part of this, except when a process is stuck.
_KILL_RESERVE_SECONDS: Final = 2.0
# What a group that is ended later needs at least, so that an earlier one cannot take everything.
_ENOUGH_SECONDS: Final = 1.5

OnChange = Callable[[tuple[RunningChild, ...]], None]


class Supervisor:
    """Starts children, restarts those that die, and ends them in reverse order.

    An async context manager: leaving it ends every child, whatever the reason. Use it on one event loop, in a thread
    that lives as long as the process (see `process.launcher`).

    Args:
        on_change: called with the running children, in the order of their start, whenever one came or went; the stack
            writes them to its state file there. What it raises ends the stack.
        stop_within: seconds that ending all children may take, whatever they do.
        hurry: once it is set, children end at once that would otherwise finish what they can.
        hurry_within: the seconds for all of it then.
    """

    def __init__(
        self,
        *,
        on_change: OnChange | None = None,
        stop_within: float = 10.0,
        hurry: asyncio.Event | None = None,
        hurry_within: float = 10.0,
    ) -> None:
        self._hurry = hurry or asyncio.Event()
        self._on_change = on_change
        self._stop_within = stop_within
        self._hurry_within = min(hurry_within, stop_within)
        self._groups: list[tuple[Keeper, ...]] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._stopped = False
        self._stopping = asyncio.Lock()
        self._gave_up: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def running(self) -> tuple[RunningChild, ...]:
        """The children that run now, in the order of their start."""
        return tuple(entry for group in self._groups for keeper in group for entry in keeper.running)

    async def start(self, *children: Child) -> dict[str, dict[str, Any]]:
        """Start children together and wait until all of them are ready. When one fails, all of this supervisor's end.

        Returns:
            What each child reported on its ready pipe, by its name.

        Raises:
            StackError: a child did not become ready; the hint holds the last lines that it printed.
        """
        group = tuple(Keeper(child, self._changed) for child in children)
        reports: list[dict[str, Any]] | None = None
        if not self._stopped:
            self._groups.append(group)
            starts = [self._task(keeper.start(), name=f"start of {keeper.name}") for keeper in group]
            try:
                reports = await asyncio.gather(*starts)
            except asyncio.CancelledError:
                # Cancelled by our own stop, because another start failed, or by whoever called us?
                if _is_cancelled():
                    raise
            finally:
                if reports is None:
                    await self.stop()
        if reports is None or self._stopped:
            raise self._reason()
        for keeper in group:
            self._task(keeper.keep(), name=f"keeping {keeper.name}")
        return {keeper.name: report for keeper, report in zip(group, reports, strict=True)}

    async def replace(self, *names: str) -> None:
        """Put a new process in the place of each of these children, one after the other; see `Keeper.replace`."""
        keepers = {keeper.name: keeper for group in self._groups for keeper in group}
        for name in names:
            if self._stopped:
                return
            replacing = self._task(keepers[name].replace(), name=f"replacing {name}")
            await asyncio.wait([replacing])
            self._tasks.remove(replacing)

    async def wait(self) -> NoReturn:
        """Wait for as long as all is well.

        Raises:
            StackError: a child died too often and is not started again.
        """
        raise await asyncio.shield(self._gave_up)

    async def stop(self) -> None:
        """End all children in reverse order, those started together at the same time; nothing is left after it.

        When this is cancelled, the remaining ones are killed.
        """
        self._stopped = True
        async with self._stopping:
            for task in self._tasks:
                task.cancel()
            try:
                await asyncio.gather(*self._tasks, return_exceptions=True)
                await self._end_groups()
            finally:
                for group in self._groups:
                    for keeper in group:
                        keeper.kill()
                self._changed()

    async def _end_groups(self) -> None:
        hastening = asyncio.create_task(self._hasten(), name="hurry")
        try:
            await self._end_one_by_one()
        finally:
            hastening.cancel()

    async def _hasten(self) -> None:
        if not self._hurry.is_set():
            await self._hurry.wait()
            for group in self._groups:
                for keeper in group:
                    keeper.hasten()

    async def _end_one_by_one(self) -> None:
        loop = asyncio.get_running_loop()
        within = self._hurry_within if self._hurry.is_set() else self._stop_within
        deadline = loop.time() + within - _KILL_RESERVE_SECONDS
        while self._groups:
            # What one group does not need of its share is there for those that are ended after it.
            left, others = deadline - loop.time(), len(self._groups) - 1
            share = max(left / (others + 1), left - others * _ENOUGH_SECONDS, 0)
            await asyncio.gather(
                *(keeper.end(within=share, hurried=self._hurry.is_set()) for keeper in self._groups[-1])
            )
            self._groups.pop()

    def _reason(self) -> BaseException:
        if self._gave_up.done():
            return self._gave_up.result()
        return StackError("The stack is being ended, so nothing is started any more")

    def _task(self, coroutine: Any, *, name: str) -> asyncio.Task[Any]:
        task = asyncio.create_task(coroutine, name=name)
        task.add_done_callback(self._notice)
        self._tasks.append(task)
        return task

    def _notice(self, task: asyncio.Task[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._gave_up.done():
            self._gave_up.set_result(error)

    def _changed(self) -> None:
        if self._on_change is not None:
            self._on_change(self.running)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def free_port(preferred: int, host: str = "127.0.0.1") -> int:
    """Return the preferred port when nobody uses it, otherwise one that the system chooses.

    Another process may take the port before the caller does.

    Raises:
        StackError: nothing can listen on that host.
    """
    refusal: OSError | None = None
    for port in (preferred, 0):
        try:
            return _bind(port, host)
        except OSError as error:
            refusal = error
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                break
    raise StackError(
        f"No port can be opened on {host}: {refusal}", hint="Check the host that the server is to listen on."
    )


def _bind(port: int, host: str) -> int:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        # What servers set too: a port whose last connection is still fading counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        return int(probe.getsockname()[1])
