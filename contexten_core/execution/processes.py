"""Processes of a command: noticing their end, measuring them, and ending every one of them."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from contexten_core.execution.rlimits import lower_limit

MARK = "CONTEXTEN_RUN"
"""In the environment of every process of a command: the id of the process that started it, and something random."""

_POLL_SECONDS = 0.05
_FREEZE_SECONDS = 10.0
_GONE = (psutil.NoSuchProcess, psutil.AccessDenied)


def end_abandoned_commands() -> int:
    """Kill what is left of commands whose worker is gone, and return how many processes that were (Linux only)."""
    ended = 0
    for pid in psutil.pids():
        # Errors: it has ended, is somebody else's, or this system has no such files.
        with suppress(OSError, *_GONE):
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            marks = [value for value in variables if value.startswith(f"{MARK}=".encode())]
            worker = marks[0].partition(b"=")[2].partition(b"-")[0] if marks else b""
            if worker.isdigit() and not psutil.pid_exists(int(worker)):
                psutil.Process(pid).kill()
                ended += 1
    return ended


def threads_of_this_account() -> int:
    """Count the threads of all processes that this account has, as the kernel does for its limit."""
    account = os.getuid()
    found = psutil.process_iter(["uids", "num_threads"])
    return sum(process.info["num_threads"] or 0 for process in found if (process.info["uids"] or (None,))[0] == account)


def _relations() -> Iterator[tuple[int, int, int]]:
    """Yield the id, the parent and the process group of every process."""
    for pid in psutil.pids():
        # Errors: it has just ended.
        with suppress(*_GONE, OSError):
            if psutil.LINUX:
                # Several times as fast as asking psutil; the name, in parentheses, may hold anything.
                fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split(maxsplit=3)
                yield pid, int(fields[1]), int(fields[2])
            else:
                yield pid, psutil.Process(pid).ppid(), os.getpgid(pid)


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except _GONE:
        return False


class ExitWatch:
    """Tells when a child has ended, without reaping it: until it is reaped its id and its group stay its own.

    Attributes:
        ended: done once the child has ended.
    """

    def __init__(self, pid: int) -> None:
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._pid = pid
        self._timer: asyncio.TimerHandle | None = None
        self._pidfd: int | None = None
        try:
            self._pidfd = os.pidfd_open(pid)
        except (AttributeError, OSError):
            self._look()
        else:
            self._loop.add_reader(self._pidfd, self._notice)

    def close(self) -> None:
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        if self._timer is not None:
            self._timer.cancel()

    def _notice(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
        self.close()

    def _look(self) -> None:
        if psutil.Process(self._pid).status() == psutil.STATUS_ZOMBIE:
            self._notice()
        else:
            self._timer = self._loop.call_later(_POLL_SECONDS, self._look)


class ProcessTree:
    """A child that leads its own process group, and whatever it has started, directly or not.

    Descendants are recognised by their parents. On Linux those whose parents have ended are found too, by a variable
    in their environment or by the pipe they print to; one that sheds both at once, unseen by any sample, is not.

    Args:
        pid: the child. It must not be reaped while this object is in use.
        mark: `NAME=value` as found in the child's environment and in no other one.
        pipe: a descriptor of ours for the pipe that the child prints to.
        limits: `resource.RLIMIT_*` and the value that no process of the tree may exceed.

    Attributes:
        memory_bytes: resident memory of all processes together in the last sample; what they share counts for each.
        peak_bytes: the largest of these figures.
        threads: how many threads they had in the last sample.
        others: lists further processes that are known to belong to it, whoever their parents are.
    """

    def __init__(self, pid: int, *, mark: str, pipe: int, limits: dict[int, int]) -> None:
        self.memory_bytes = 0
        self.peak_bytes = 0
        self.threads = 1
        self.others: Callable[[], Iterable[int]] = tuple
        self._leader = psutil.Process(pid)
        self._mark = mark.encode()
        self._pipe = f"pipe:[{os.fstat(pipe).st_ino}]"
        self._limits = limits
        self._members: set[psutil.Process] = set()
        self._cpu_of_ended = 0.0
        self._cpu: dict[psutil.Process, float] = {}
        self._admit(self._leader)
        # At once, because most commands are over before anybody looks a second time.
        self._measure()

    @property
    def cpu_seconds(self) -> float:
        """User and system time of all processes, as far as samples have seen it."""
        return self._cpu_of_ended + sum(self._cpu.values())

    def sample(self) -> None:
        """Look for new processes, and measure all of them. Takes a few milliseconds."""
        self._find_descendants()
        self._measure()

    def pids(self) -> list[int]:
        """List the processes that the last sample has seen."""
        return [process.pid for process in self._members]

    def proportional_bytes(self) -> int:
        """Measure the memory of all processes together, what they share counted once. Takes longer than a sample."""
        total = 0
        for process in self._members:
            with suppress(*_GONE):
                try:
                    total += process.memory_full_info().pss
                except (psutil.AccessDenied, AttributeError):
                    total += process.memory_info().rss
        return total

    def terminate(self) -> None:
        """Ask the group of the child to end."""
        self._signal_group(signal.SIGTERM)

    def kill(self) -> int:
        """Kill everything that is still running, and return how many processes that were.

        Call it again until it returns 0: a process can start another one in the meantime.
        """
        self._signal_group(signal.SIGKILL)
        frozen = self._freeze()
        for process in frozen:
            with suppress(*_GONE):
                process.kill()
        return len(frozen)

    def _freeze(self) -> set[psutil.Process]:
        """Stop every process, and return them.

        Each keeps its place among the processes that are allowed, so what multiplies runs out of places; what is
        killed at once would make room for more.
        """
        frozen: set[psutil.Process] = set()
        deadline = time.monotonic() + _FREEZE_SECONDS
        while time.monotonic() < deadline:
            self._find_descendants()
            found = {*self._members, *self._stray()} - frozen
            running = {process for process in found if _is_running(process)}
            if not running:
                break
            for process in running:
                with suppress(*_GONE):
                    process.suspend()
            frozen |= running
        return frozen

    def _signal_group(self, number: int) -> None:
        # macOS answers with a permission error when only zombies are left.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._leader.pid, number)

    def _admit_if_there(self, pid: int) -> None:
        with suppress(*_GONE):
            self._admit(psutil.Process(pid))

    def _admit(self, process: psutil.Process) -> None:
        self._members.add(process)
        for kind, value in self._limits.items():
            lower_limit(process.pid, kind, value)

    def _measure(self) -> None:
        memory = threads = 0
        for process in self._members:
            with suppress(*_GONE), process.oneshot():
                memory += process.memory_info().rss
                times = process.cpu_times()
                self._cpu[process] = times.user + times.system
                threads += process.num_threads()
        self.memory_bytes, self.threads = memory, threads
        self.peak_bytes = max(self.peak_bytes, memory)

    def _find_descendants(self) -> None:
        for process in [process for process in self._members if not process.is_running()]:
            self._members.discard(process)
            self._cpu_of_ended += self._cpu.pop(process, 0.0)
        parents = {process.pid for process in self._members}
        children: dict[int, list[int]] = {}
        known = set(self.others())
        for pid, parent, group in _relations():
            children.setdefault(parent, []).append(pid)
            # Parents that have ended are no way to find their children.
            if pid not in parents and (pid in known or group == self._leader.pid):
                parents.add(pid)
                self._admit_if_there(pid)
        waiting = list(parents)
        while waiting:
            for child in children.get(waiting.pop(), ()):
                if child not in parents:
                    parents.add(child)
                    waiting.append(child)
                    self._admit_if_there(child)

    def _stray(self) -> Iterator[psutil.Process]:
        for pid in psutil.pids():
            if pid != os.getpid() and self._belongs(pid):
                with suppress(psutil.NoSuchProcess):
                    process = psutil.Process(pid)
                    # Once more, in case the id has changed hands; `process` itself notices if it does so later.
                    if self._belongs(pid):
                        yield process

    def _belongs(self, pid: int) -> bool:
        # Errors: it has ended, is somebody else's, has closed the descriptor, or this system has no such files.
        with suppress(OSError):
            if self._mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                return True
        for descriptor in (1, 2):
            with suppress(OSError):
                if os.readlink(f"/proc/{pid}/fd/{descriptor}") == self._pipe:  # noqa: PTH115 - not a path
                    return True
        return False
