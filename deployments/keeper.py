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
        self._ready_since = 0.0

    @property
    def name(self) -> str:
        return self._child.name

    @property
    def running(self) -> RunningChild | None:
        if self._process is None:
            return None
        return RunningChild(
            name=self._child.name,
            process=self._process.id,
            command=self._child.argv[0],
            stop_signals=self._child.stop_signals,
            patience=self._child.patience,
        )

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
            if failures > policy.attempts:
                raise StackError(f"{problem.message}, given up after {policy.attempts} restarts", hint=problem.hint)
            delay = policy.delay(failures)
            logger.warning("%s; starting it again in %g s", problem.message, delay)
            await asyncio.sleep(delay)

    async def end(self, *, within: float) -> None:
        if self._process is not None:
            survivors = await self._process.end(within=within)
            for survivor in survivors:
                logger.error("Process %d of %s cannot be killed", survivor.pid, self.name)
            self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def kill(self) -> None:
        if self._process is not None:
            kill({self._process.id, *self._process.id.family()})

    async def _live(self) -> tuple[StackError, float]:
        """See the child through to its end: what went wrong, and for how many seconds it had been ready."""
        healthy_for = 0.0
        try:
            if self._process is None:
                await self.start()
            assert self._process is not None
            code = await self._process.wait()
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
