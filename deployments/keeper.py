"""Keeps one child running: starts it, starts it again when it dies, and ends it."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NoReturn

from contexten_core.errors import StackError
from deployments.bounded_log import BoundedLog
from deployments.child import Child
from deployments.process import ChildProcess, describe_exit
from deployments.process_table import kill
from deployments.state import RunningChild

logger = logging.getLogger(__name__)


class Keeper:
    """The care for one child.

    Args:
        child: what to keep running.
        changed: called whenever `running` has changed.
    """

    def __init__(self, child: Child, changed: Callable[[], None]) -> None:
        self._child = child
        self._changed = changed
        self._log: BoundedLog | None = None
        self._process: ChildProcess | None = None
        self._others: list[ChildProcess] = []
        self._ready_since = 0.0

    @property
    def name(self) -> str:
        return self._child.name

    @property
    def running(self) -> tuple[RunningChild, ...]:
        """Its process, and the one that it is replacing or to be replaced by."""
        child = self._child
        is_hurried = child.hurry_signals is not None
        return tuple(
            RunningChild(
                name=child.name,
                process=process.id,
                command=child.argv[0],
                stop_signals=child.hurry_signals or child.stop_signals,
                patience=child.hurry_patience if is_hurried else child.patience,
            )
            for process in self._processes()
        )

    def _processes(self) -> list[ChildProcess]:
        return [process for process in (self._process, *self._others) if process is not None]

    async def start(self) -> dict[str, Any]:
        """Start the child and wait until it is ready.

        Returns:
            What it reported on its ready pipe.

        Raises:
            StackError: it did not become ready.
        """
        try:
            self._log = self._log or BoundedLog(self._child.log)
        except OSError as error:
            raise StackError(f"The log of {self.name} cannot be written: {error}") from error
        self._process = await ChildProcess.spawn(self._child, log=self._log)
        self._changed()
        report = await self._process.wait_ready()
        self._ready_since = asyncio.get_running_loop().time()
        return report

    async def keep(self) -> NoReturn:
        """Start the child again whenever it ends.

        Raises:
            StackError: it ended too often.
        """
        policy, failures = self._child.restart, 0
        while True:
            problem, healthy_for = await self._live()
            failures = 1 if healthy_for >= policy.healthy_after else failures + 1
            if policy.attempts is not None and failures > policy.attempts:
                raise StackError(f"{problem.message}, given up after {policy.attempts} restarts", hint=problem.hint)
            delay = policy.delay(failures)
            logger.warning("%s; starting it again in %g s", problem.message, delay)
            await asyncio.sleep(delay)

    async def replace(self) -> None:
        """Start the child a second time, and end the first one when the second one is ready; then there is one again.

        The first one goes on when the second one does not get ready.
        """
        old, log = self._process, self._log
        if old is None or log is None or self._others:
            logger.warning("%s is being started, so it is not replaced", self.name)
            return
        try:
            successor = await ChildProcess.spawn(self._child, log=log)
            self._others.append(successor)
            self._changed()
            await successor.wait_ready()
        except StackError as error:
            logger.error("%s is not replaced: %s", self.name, error)  # noqa: TRY400 - no fault of this code
        else:
            if self._process is old:
                self._process, self._others = successor, [old]
                self._ready_since = asyncio.get_running_loop().time()
                self._changed()
        for process in tuple(self._others):
            try:
                await process.end(within=2 * self._child.patience, replaced=process is old)
            finally:
                self._others.remove(process)
        self._changed()

    async def end(self, *, within: float, hurried: bool = False) -> None:
        endings = (process.end(within=within, hurried=hurried) for process in self._processes())
        for survivors in await asyncio.gather(*endings):
            for survivor in survivors:
                logger.error("Process %d of %s cannot be killed", survivor.pid, self.name)
        self._process, self._others = None, []
        if self._log is not None:
            self._log.close()
            self._log = None

    def hasten(self) -> None:
        """Tell a child that is ending already that there is a hurry now."""
        if self._child.hurry_signals is not None:
            for process in self._processes():
                process.id.send(self._child.hurry_signals[0])

    def kill(self) -> None:
        for process in self._processes():
            kill({process.id, *process.id.family()})

    async def _live(self) -> tuple[StackError, float]:
        """See the child through to its end: what went wrong, and for how many seconds it had been ready."""
        healthy_for = 0.0
        try:
            if self._process is None:
                await self.start()
            code = await self._end_of_process()
            assert self._process is not None
            healthy_for = asyncio.get_running_loop().time() - self._ready_since
            problem = self._process.failure(describe_exit(code))
        except StackError as error:
            problem = error
        if self._process is not None:
            # Ends what it left behind, or itself when it did not get ready.
            await self._process.end(within=self._child.patience)
            self._process = None
            self._changed()
        return problem, healthy_for

    async def _end_of_process(self) -> int:
        """Wait for the process to end, and for those that take its place meanwhile; return the last exit code."""
        while True:
            process = self._process
            assert process is not None
            code = await process.wait()
            if process is self._process:
                return code
