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
from contexten_core.execution.network import NetworkAccess
from contexten_core.execution.network_proxy import FilteringProxy
from contexten_core.execution.output import BoundedOutput, Redactor
from contexten_core.execution.processes import ExitWatch, ProcessTree, threads_of_this_account
from contexten_core.execution.results import CommandResult, Ended, Limits
from contexten_core.execution.rlimits import counts_processes_per_namespace, lower_limit
from contexten_core.execution.running_limits import PULSE_SECONDS, LimitWatch
from contexten_core.execution.sandbox import Sandbox, SandboxLevel
from contexten_core.execution.sandbox_cgroup import ControlGroup
from contexten_core.execution.sandbox_process import NotStartedError, SandboxedProcess
from contexten_core.execution.standard_input import standard_input
from contexten_core.security.text import one_line

logger = logging.getLogger(__name__)

_STREAM_SECONDS = 0.3
_FIRST_SAMPLE_SECONDS = 0.02
_NICENESS = 10
_PROCESSES_BEFORE_KERNEL = 64
_KILL_SECONDS = 20.0
_QUIET_LOOKS = 2
_KILL_AGAIN_SECONDS = 0.01
_DRAIN_SECONDS = 2.0
_REASON_LENGTH = 300
_READ_BYTES = 256 * 1024
_MEBIBYTE = 1024**2
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class RunningCommand:
    """A started program. Whoever makes one must await `see_through` at once.

    Args:
        argv: the program and its arguments.
        cwd: where it runs.
        folders: where else it writes to, its home first.
        environment: all of its environment; `mark` is in it.
        mark: `NAME=value`, by which processes of this run are recognised.
        limits: what it may use.
        sandbox: the walls to put around it.
        network: what it may reach from inside of them.
        redact: what its output goes through before anybody sees it.
        stdin: what it reads from its standard input.

    Raises:
        OSError: it cannot be started.
        ValueError: an argument or variable cannot be passed to a program.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        folders: Sequence[Path],
        environment: Mapping[str, str],
        mark: str,
        limits: Limits,
        sandbox: Sandbox,
        network: NetworkAccess,
        redact: Redactor | None,
        stdin: bytes,
    ) -> None:
        self._limits = limits
        self._folders = (cwd, *folders)
        self._network = network
        self._level = sandbox.level
        self._output = BoundedOutput(limit=limits.output_bytes, redact=redact)
        self._arrived = asyncio.Event()
        self._drained = asyncio.Event()
        self._complete = asyncio.Event()
        self._inside: SandboxedProcess | None = None
        self._proxy: FilteringProxy | None = None
        self._limit_watch: LimitWatch | None = None
        reading = standard_input(stdin)
        try:
            self._pipe, writing = os.pipe()
        except OSError:
            os.close(reading)
            raise
        try:
            if sandbox.level is SandboxLevel.NONE:
                self._process = subprocess.Popen(
                    list(argv),
                    stdin=reading,
                    stdout=writing,
                    stderr=subprocess.STDOUT,
                    cwd=cwd,
                    env=environment,
                    start_new_session=True,
                )
                if limits.processes is not None:
                    # Before it has done anything; it goes on once the kernel limits its processes.
                    os.kill(self._process.pid, signal.SIGSTOP)
            else:
                self._inside = SandboxedProcess(
                    sandbox,
                    argv,
                    code=cwd,
                    home=folders[0],
                    environment=environment,
                    mark=mark,
                    temporary_bytes=limits.temporary_bytes,
                    listens=bool(network.hosts),
                    stdin=reading,
                    output=writing,
                )
                self._process = self._inside.process
        except BaseException:
            os.close(self._pipe)
            raise
        finally:
            os.close(reading)
            os.close(writing)
        self._started = time.monotonic()
        try:
            # Inside of a sandbox the first process has them, and all others from it.
            outside = {} if self._inside else _rlimits(limits)
            self._tree = ProcessTree(self._process.pid, mark=mark, pipe=self._pipe, limits=outside)
            self._watch = ExitWatch(self._process.pid)
        except BaseException:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            os.close(self._pipe)
            if self._inside:
                self._inside.close()
            raise
        self._group: ControlGroup | None = None
        self._cpu_seconds = 0.0
        self._peak_bytes = 0

    async def see_through(
        self, *, on_output: Callable[[str], Awaitable[None]] | None, cancel: asyncio.Event | None
    ) -> CommandResult:
        """Wait for the end, read the output, enforce the limits, and leave no process behind however this ends.

        Raises:
            ExecutionError: the sandbox could not be put up, or processes could not be ended.
            NotStartedError: the program could not be started inside of the sandbox.
        """
        loop = asyncio.get_running_loop()
        streaming = loop.create_task(self._stream(on_output)) if on_output else None
        cancelling = loop.create_task(cancel.wait()) if cancel else None
        os.set_blocking(self._pipe, False)
        loop.add_reader(self._pipe, self._read)
        try:
            await self._enter()
            ended = await self._until_end(streaming, cancelling)
            # What has used up the machine is not asked.
            if ended in {Ended.TIMED_OUT, Ended.CANCELLED}:
                await self._ask_to_end()
            duration = time.monotonic() - self._started
            await self._kill_all()
            await self._drain()
            if self._inside:
                self._inside.read_status()
                if self._inside.error:
                    raise NotStartedError(self._inside.error)
            if streaming:
                await streaming
            return self._result(ended, duration)
        except asyncio.CancelledError:
            if self._process.returncode is None:
                await self._ask_to_end()
            raise
        finally:
            # Nothing may interrupt this part, not even a second cancellation.
            self._leave()
            helpers = [task for task in (streaming, cancelling) if task]
            for task in helpers:
                task.cancel()
            await asyncio.gather(*helpers, self._give_back(), return_exceptions=True)

    def _leave(self) -> None:
        # Looking for processes needs descriptors.
        self._watch.close()
        asyncio.get_running_loop().remove_reader(self._pipe)
        os.close(self._pipe)
        self._kill_at_once()
        if self._inside:
            self._inside.close()

    async def _give_back(self) -> None:
        if self._proxy:
            await self._proxy.close()
        if self._group and not await asyncio.to_thread(self._group.remove):
            logger.warning("a control group could not be removed; the next start of the service tries again")

    async def _enter(self) -> None:
        """Finish what can only be done once the process is there, and let the program start."""
        inside = self._inside
        if inside is None:
            os.setpriority(os.PRIO_PROCESS, self._process.pid, _NICENESS)
            if self._limits.processes is not None:
                await asyncio.to_thread(self._limit_processes, self._process.pid, self._limits.processes)
                os.kill(self._process.pid, signal.SIGCONT)
        elif await inside.ready():
            inside.limit(_rlimits(self._limits), niceness=_NICENESS)
            if self._limits.processes is not None and inside.first is not None:
                await asyncio.to_thread(self._limit_processes, inside.first, self._limits.processes)
            if (listener := inside.take_listener()) is not None:
                self._proxy = FilteringProxy(self._network, listener=listener)
                await self._proxy.start()
            inside.go()
        else:
            await self._kill_all()
            await self._drain()
            reason = one_line(self._output.text(), _REASON_LENGTH) or "it gave no reason"
            raise ExecutionError(f"the sandbox could not be put up: {reason}", hint="`contexten doctor` looks closer")
        first = inside.first if inside else None
        self._limit_watch = LimitWatch(self._limits, self._tree, folders=self._folders, first=first)

    def _limit_processes(self, pid: int, limit: int) -> None:
        """Let the kernel limit processes a little above `limit`, in the way that works for this account."""
        most = limit + _PROCESSES_BEFORE_KERNEL
        self._group = ControlGroup.make(processes=most)
        if self._group is not None:
            with suppress(OSError):
                self._group.add(pid)
            if self._inside is None:
                self._tree.others = self._group.pids
        elif os.geteuid() == 0:
            # The kernel never counts those of root; then only the watch limits them.
            return
        elif self._inside is None:
            # It counts everything of this account's.
            lower_limit(pid, resource.RLIMIT_NPROC, threads_of_this_account() + most)
        elif counts_processes_per_namespace():
            lower_limit(pid, resource.RLIMIT_NPROC, most)

    async def _until_end(
        self,
        streaming: "asyncio.Task[None] | None",
        cancelling: "asyncio.Task[bool] | None",
    ) -> Ended:
        exited = self._watch.ended
        awaited = [future for future in (exited, streaming, cancelling) if future]
        deadline = self._started + self._limits.wall_seconds
        pause = _FIRST_SAMPLE_SECONDS
        watch = self._limit_watch
        assert watch is not None
        while True:
            watch.pulse()
            if watch.exceeded:
                return Ended.EXHAUSTED
            left = max(0.0, deadline - time.monotonic())
            await asyncio.wait(awaited, timeout=min(pause, left), return_when=asyncio.FIRST_COMPLETED)
            if streaming and streaming.done():
                # It only ever ends by itself when it fails.
                streaming.result()
            if exited.done():
                return Ended.EXITED
            if cancelling and cancelling.done():
                return Ended.CANCELLED
            if time.monotonic() >= deadline:
                return Ended.TIMED_OUT
            pause = PULSE_SECONDS

    async def _ask_to_end(self) -> None:
        if self._inside:
            self._inside.terminate()
        else:
            self._tree.terminate()
        await asyncio.wait([self._watch.ended], timeout=self._limits.grace_seconds)

    async def _kill_all(self) -> None:
        if self._inside:
            # Bubblewrap ends last, and by itself.
            self._inside.kill()
            await asyncio.wait([self._watch.ended], timeout=_KILL_SECONDS)
            if self._watch.ended.done() and self._reap():
                return
        deadline, running = time.monotonic() + _KILL_SECONDS, 0
        quiet = 0
        # One look can miss a process whose parent ended by itself while the list of processes was being read.
        while quiet < _QUIET_LOOKS and time.monotonic() < deadline:
            running = await asyncio.to_thread(self._kill_once)
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
        if self._inside:
            self._inside.kill()
        deadline = time.monotonic() + _KILL_SECONDS
        while self._kill_once() and time.monotonic() < deadline:
            time.sleep(_KILL_AGAIN_SECONDS)
        if not self._reap():
            logger.error("process %d could not be ended", self._process.pid)

    def _kill_once(self) -> int:
        # The group first: after that nothing in it can multiply any more.
        in_group = self._group.kill() if self._group else 0
        return self._tree.kill() + in_group

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
        code = self._code()
        if ended is Ended.EXITED and code < 0:
            ended = Ended.SIGNALLED
        watch = self._limit_watch
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
            sandbox=self._level,
            exceeded=watch.exceeded if watch and ended is Ended.EXHAUSTED else None,
            limit=watch.limit() if watch else None,
            refused_hosts=tuple(self._proxy.refused) if self._proxy else (),
        )

    def _code(self) -> int:
        if self._inside is None:
            return int(self._process.returncode)
        # Without a last word from inside, the first process there was killed.
        return -signal.SIGKILL if self._inside.status is None else os.waitstatus_to_exitcode(self._inside.status)


def _rlimits(limits: Limits) -> dict[int, int]:
    found = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NOFILE: limits.open_files,
    }
    return found if limits.memory_bytes is None else {**found, resource.RLIMIT_AS: limits.memory_bytes}
