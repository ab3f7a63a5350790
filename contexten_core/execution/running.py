"""One running command, from its first process to the end of its last."""

import asyncio
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from contexten_core.errors import ExecutionError
from contexten_core.execution.output import BoundedOutput
from contexten_core.execution.processes import ExitWatch, ProcessTree
from contexten_core.execution.results import CommandResult, Ended, Limits

logger = logging.getLogger(__name__)

_STREAM_SECONDS = 0.3
_FIRST_SAMPLE_SECONDS = 0.02
_SAMPLE_SECONDS = 1.0
_KILL_SECONDS = 5.0
_QUIET_LOOKS = 2
_KILL_AGAIN_SECONDS = 0.01
_DRAIN_SECONDS = 2.0
_READ_BYTES = 256 * 1024
_MEBIBYTE = 1024**2
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class RunningCommand:
    """A started program. Whoever makes one must await `see_through` at once.

    Args:
        argv: the program and its arguments.
        cwd: where it runs.
        environment: all of its environment; `mark` is in it.
        mark: `NAME=value`, by which processes of this run are recognised.
        limits: what it may use.

    Raises:
        OSError: it cannot be started.
        ValueError: an argument or variable cannot be passed to a program.
    """

    def __init__(
        self, argv: Sequence[str], *, cwd: Path, environment: Mapping[str, str], mark: str, limits: Limits
    ) -> None:
        self._limits = limits
        self._output = BoundedOutput(limit=limits.output_bytes)
        self._arrived = asyncio.Event()
        self._drained = asyncio.Event()
        self._complete = asyncio.Event()
        self._pipe, writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=environment,
                start_new_session=True,
            )
        except BaseException:
            os.close(self._pipe)
            raise
        finally:
            os.close(writing)
        self._started = time.monotonic()
        try:
            self._tree = ProcessTree(self._process.pid, mark=mark, pipe=self._pipe, limits=_rlimits(limits))
            self._watch = ExitWatch(self._process.pid)
        except BaseException:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            os.close(self._pipe)
            raise
        self._cpu_seconds = 0.0
        self._peak_bytes = 0

    async def see_through(
        self, *, on_output: Callable[[str], Awaitable[None]] | None, cancel: asyncio.Event | None
    ) -> CommandResult:
        """Wait for the end, read the output, enforce the limits, and leave no process behind however this ends."""
        loop = asyncio.get_running_loop()
        streaming = loop.create_task(self._stream(on_output)) if on_output else None
        cancelling = loop.create_task(cancel.wait()) if cancel else None
        os.set_blocking(self._pipe, False)
        loop.add_reader(self._pipe, self._read)
        try:
            ended = await self._until_end(streaming, cancelling)
            if ended is not Ended.EXITED:
                await self._ask_to_end()
            duration = time.monotonic() - self._started
            await self._kill_all()
            await self._drain()
            if streaming:
                await streaming
            return self._result(ended, duration)
        except asyncio.CancelledError:
            if self._process.returncode is None:
                await self._ask_to_end()
            raise
        finally:
            # Nothing may interrupt this part, not even a second cancellation. Looking for processes needs descriptors.
            self._watch.close()
            loop.remove_reader(self._pipe)
            os.close(self._pipe)
            self._kill_at_once()
            helpers = [task for task in (streaming, cancelling) if task]
            for task in helpers:
                task.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    async def _until_end(
        self,
        streaming: "asyncio.Task[None] | None",
        cancelling: "asyncio.Task[bool] | None",
    ) -> Ended:
        exited = self._watch.ended
        awaited = [future for future in (exited, streaming, cancelling) if future]
        deadline = self._started + self._limits.wall_seconds
        interval = _FIRST_SAMPLE_SECONDS
        while True:
            self._tree.sample()
            pause = min(interval, max(0.0, deadline - time.monotonic()))
            await asyncio.wait(awaited, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            if streaming and streaming.done():
                # It only ever ends by itself when it fails.
                streaming.result()
            if exited.done():
                return Ended.EXITED
            if cancelling and cancelling.done():
                return Ended.CANCELLED
            if time.monotonic() >= deadline:
                return Ended.TIMED_OUT
            interval = min(2 * interval, _SAMPLE_SECONDS)

    async def _ask_to_end(self) -> None:
        self._tree.terminate()
        await asyncio.wait([self._watch.ended], timeout=self._limits.grace_seconds)

    async def _kill_all(self) -> None:
        deadline, running = time.monotonic() + _KILL_SECONDS, 0
        quiet = 0
        # One look can miss a process whose parent ended by itself while the list of processes was being read.
        while quiet < _QUIET_LOOKS and time.monotonic() < deadline:
            running = self._tree.kill()
            quiet = 0 if running else quiet + 1
            if quiet < _QUIET_LOOKS:
                await asyncio.sleep(_KILL_AGAIN_SECONDS)
        if running or not self._reap():
            raise ExecutionError(
                f"{running or 1} processes of the command could not be ended",
                hint="They probably wait for a disk or a network file system; look for them with ps.",
            )

    def _kill_at_once(self) -> None:
        if self._process.returncode is not None:
            return
        deadline = time.monotonic() + _KILL_SECONDS
        while self._tree.kill() and time.monotonic() < deadline:
            time.sleep(_KILL_AGAIN_SECONDS)
        if not self._reap():
            logger.error("process %d could not be ended", self._process.pid)

    def _reap(self) -> bool:
        pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
        if not pid:
            return False
        # As if Popen had waited itself; only wait4 tells what the process has used.
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._cpu_seconds = max(usage.ru_utime + usage.ru_stime, self._tree.cpu_seconds)
        # A new process starts with the peak of the one that forked it, so only more than our own peak says anything.
        if usage.ru_maxrss > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss:
            self._peak_bytes = max(self._peak_bytes, usage.ru_maxrss * _MAXRSS_UNIT)
        return True

    def _read(self) -> None:
        try:
            data = os.read(self._pipe, _READ_BYTES)
        except BlockingIOError:
            return
        if data:
            self._output.add(data)
            self._arrived.set()
        else:
            asyncio.get_running_loop().remove_reader(self._pipe)
            self._drained.set()

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                await self._drained.wait()
        except TimeoutError:
            logger.warning("something outside the command's processes still holds its output open; not waiting for it")
        self._output.finish()
        self._complete.set()
        self._arrived.set()

    async def _stream(self, on_output: Callable[[str], Awaitable[None]]) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            last = self._complete.is_set()
            if text := self._output.take_fresh():
                await on_output(text)
            if last:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(_STREAM_SECONDS):
                    await self._complete.wait()

    def _result(self, ended: Ended, duration: float) -> CommandResult:
        code = self._process.returncode
        if ended is Ended.EXITED and code < 0:
            ended = Ended.SIGNALLED
        peak = max(self._tree.peak_bytes, self._peak_bytes)
        return CommandResult(
            ended=ended,
            exit_code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            duration_seconds=duration,
            limit_seconds=self._limits.wall_seconds,
            cpu_seconds=self._cpu_seconds,
            cpu_percent=100 * self._cpu_seconds / duration,
            peak_memory_mb=peak / _MEBIBYTE if peak else None,
            output=self._output.text(),
            output_bytes_total=self._output.total,
            truncated=self._output.truncated,
        )


def _rlimits(limits: Limits) -> dict[int, int]:
    optional = {resource.RLIMIT_AS: limits.memory_bytes, resource.RLIMIT_NPROC: limits.processes}
    return {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NOFILE: limits.open_files,
        **{kind: value for kind, value in optional.items() if value is not None},
    }
