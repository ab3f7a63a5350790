"""One run of a child process: started through the launcher, watched, and ended together with all it started."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from signal import Signals
from typing import Any, Final

from contexten_core.errors import StackError
from deployments import launch
from deployments.bounded_log import BoundedLog
from deployments.child import Account, Child, PrivateMount
from deployments.ending import end
from deployments.pipe import PipeReader
from deployments.process_table import ProcessId
from deployments.readiness import READY_FD_VARIABLE

_POLL_SECONDS: Final = 0.03
_LAST_WORDS_SECONDS: Final = 0.5
_LARGEST_REPORT: Final = 65_536
_SIGNAL_NAMES: Final = {number.value: number.name for number in Signals}


def launcher(
    argv: Sequence[str],
    *,
    cwd: Path,
    death_signal: Signals,
    account: Account | None = None,
    mount: PrivateMount | None = None,
) -> list[str]:
    """Put the launcher in front of a command.

    On Linux the command gets `death_signal` when the *thread* that starts it ends, so start it from a thread that lives
    as long as the process does: the main thread, as the event loop of `asyncio.run` does.
    """
    order = {
        "parent": os.getpid(),
        "death_signal": int(death_signal),
        "account": None if account is None else [account.uid, account.gid],
        "mount": None if mount is None else [str(mount.source), str(mount.target)],
        "cwd": str(cwd),
    }
    return [sys.executable, "-I", "-S", launch.__file__, json.dumps(order), *argv]


class ChildProcess:
    """A child that was started with `ChildProcess.spawn`.

    Attributes:
        id: the process, which leads a session of its own.
    """

    def __init__(
        self,
        child: Child,
        process: asyncio.subprocess.Process,
        *,
        log: BoundedLog,
        output: PipeReader,
        report: "_Report | None",
    ) -> None:
        self.id = ProcessId.of_started(process.pid)
        self._child = child
        self._log = log
        self._output = output
        self._report = report
        self._exit = asyncio.create_task(process.wait(), name=f"exit of {child.name}")

    @classmethod
    async def spawn(cls, child: Child, *, log: BoundedLog, stdin: int = asyncio.subprocess.DEVNULL) -> "ChildProcess":
        """Start a child.

        Args:
            child: what to start.
            log: receives what it prints.
            stdin: a file descriptor to read from; nothing by default.

        Raises:
            StackError: the system refuses to start a process.
        """
        log.forget()
        env = dict(child.env)
        with ExitStack() as undo, ExitStack() as handed_on:
            output, output_end = await PipeReader.open(receive=log.write)
            undo.callback(output.close)
            handed_on.callback(os.close, output_end)
            report, inherited = None, list(child.inherited)
            if child.ready is None:
                report, report_end = await _Report.open()
                undo.callback(report.close)
                handed_on.callback(os.close, report_end)
                env[READY_FD_VARIABLE] = str(report_end)
                inherited.append(report_end)
            try:
                process = await asyncio.create_subprocess_exec(
                    *launcher(
                        child.argv,
                        cwd=child.cwd,
                        death_signal=child.stop_signals[0],
                        account=child.account,
                        mount=child.mount,
                    ),
                    env=env,
                    stdin=stdin,
                    stdout=output_end,
                    stderr=output_end,
                    pass_fds=inherited,
                    start_new_session=True,
                )
            except OSError as error:
                raise StackError(f"{child.name} could not be started: {error}", transient=True) from error
            undo.pop_all()
        return cls(child, process, log=log, output=output, report=report)

    async def wait(self) -> int:
        """Wait for the child to end; its exit code, or the negative number of the signal that ended it."""
        return await asyncio.shield(self._exit)

    async def wait_ready(self) -> dict[str, Any]:
        """Wait until the child is ready, and return what it reported.

        Raises:
            StackError: it ended, broke its ready pipe, or took longer than its `start_timeout`.
        """
        ready = asyncio.create_task(self._become_ready(), name=f"readiness of {self._child.name}")
        try:
            done, _ = await asyncio.wait(
                {ready, self._exit}, timeout=self._child.start_timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if self._exit in done:
                raise self.failure(f"{describe_exit(self._exit.result())} before it was ready")
            if not done:
                raise self.failure(f"was not ready within {self._child.start_timeout:g} s", transient=True)
            return ready.result()
        finally:
            ready.cancel()
            await asyncio.gather(ready, return_exceptions=True)

    async def end(self, *, within: float, hurried: bool = False, replaced: bool = False) -> frozenset[ProcessId]:
        """End the child and all that it started, within the given seconds; see `ending.end`.

        Args:
            hurried: what it could still finish is not waited for.
            replaced: another process has taken its place, which it is told.
        """
        child = self._child
        signals, patience = child.stop_signals, child.patience
        if replaced:
            signals = (child.replaced_signal, *signals)
        elif hurried and child.hurry_signals is not None:
            signals, patience = child.hurry_signals, child.hurry_patience
        try:
            return await end(self.id, signals=signals, patience=patience, within=within)
        finally:
            await asyncio.wait({self._exit}, timeout=_LAST_WORDS_SECONDS)
            self._exit.cancel()
            await self._output.drain(within=_LAST_WORDS_SECONDS)
            if self._report is not None:
                self._report.close()

    def failure(self, what: str, *, transient: bool = False) -> StackError:
        """Make the error that says what happened to this child, with the last lines that it printed as a hint."""
        said = self._log.tail()
        hint = f"It printed last:\n{said}" if said else "It printed nothing."
        return StackError(f"{self._child.name} {what}", hint=f"{hint}\nMore in {self._child.log}", transient=transient)

    async def _become_ready(self) -> dict[str, Any]:
        if self._child.ready is not None:
            while not await self._child.ready():  # noqa: ASYNC110 - a server outside this process
                await asyncio.sleep(_POLL_SECONDS)
            return {}
        assert self._report is not None
        try:
            return await self._report.read()
        except asyncio.IncompleteReadError:
            # It may be ending just now; its exit says more than a closed pipe.
            await asyncio.wait({self._exit}, timeout=_LAST_WORDS_SECONDS)
            raise self.failure("closed its ready pipe without a word") from None
        except (asyncio.LimitOverrunError, ValueError) as error:
            raise self.failure(f"sent something else than one JSON object when it was ready: {error}") from error


async def run_to_end(child: Child, *, log: BoundedLog, within: float, stdin: int = asyncio.subprocess.DEVNULL) -> None:
    """Run a command that ends by itself; its readiness and restart policy play no part.

    Raises:
        StackError: it failed, or took longer than `within` seconds.
    """
    process = await ChildProcess.spawn(child, log=log, stdin=stdin)
    code: int | None = None
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                code = await process.wait()
    finally:
        await process.end(within=child.patience)
    if code != 0:
        raise process.failure(f"took longer than {within:g} s" if code is None else describe_exit(code))


def describe_exit(code: int) -> str:
    """Say how a process ended, given its exit code or the negative number of a signal."""
    if code < 0:
        return f"was ended by {_SIGNAL_NAMES.get(-code, f'signal {-code}')}"
    return f"ended with exit code {code}"


class _Report:
    """The line of JSON that a child sends when it is ready."""

    def __init__(self) -> None:
        self._stream = asyncio.StreamReader(limit=_LARGEST_REPORT)
        self._pipe: PipeReader | None = None

    @classmethod
    async def open(cls) -> tuple["_Report", int]:
        report = cls()
        report._pipe, write_end = await PipeReader.open(receive=report._stream.feed_data, ended=report._stream.feed_eof)
        return report, write_end

    async def read(self) -> dict[str, Any]:
        message = json.loads(await self._stream.readuntil(b"\n"))
        if not isinstance(message, dict):
            raise ValueError(f"it is a {type(message).__name__}")  # noqa: TRY004 - wrong data, not a wrong call
        return message

    def close(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
