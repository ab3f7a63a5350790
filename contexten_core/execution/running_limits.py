"""Noticing that a command uses more memory, disk or processes than it may, soon and at little cost."""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from contexten_core.execution.processes import ProcessTree
from contexten_core.execution.results import Exceeded, Limits
from contexten_core.execution.sandbox_mounts import SHARED_MEMORY, TEMPORARY

PULSE_SECONDS = 0.05
"""How often to look at the machine as a whole, which takes a tenth of a millisecond."""

_FIRST_SAMPLE_SECONDS = 0.02
_SAMPLE_SECONDS = 1.0

_LEAST_FILE_BYTES = 4096
_LEAST_STEP_BYTES = 1_048_576
_PART_OF_MACHINE = 0.75
_PART_OF_HEADROOM = 4
_LONGEST_PATH = 3000
_MOST_ANCHORS = 200
_WALK_PAUSE = 4
_WALK_ANYWAY_SECONDS = 5.0
_WALK_ANYWAY_PAUSE = 50
_OURS_INSIDE = 2
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_MEBIBYTE = 1024**2


@dataclass(frozen=True, slots=True)
class _Machine:
    """What is cheap to know: threads running, memory in use and disk in use, of everybody."""

    threads: int
    memory: int
    disk: int


class LimitWatch:
    """Compares what a command uses with what it may use.

    Looking at every process, or at every file, is dear. So the machine as a whole is looked at often, and the command
    only when the machine has come a quarter of the way that the command still had, or a second has passed: less at
    the beginning, because most commands are short.

    Args:
        limits: what it may use.
        tree: its processes.
        folders: where it can write.
        first: process 1 of its sandbox, or None without one.

    Attributes:
        exceeded: what it uses too much of, or None.
    """

    def __init__(self, limits: Limits, tree: ProcessTree, *, folders: Sequence[Path], first: int | None) -> None:
        self.exceeded: Exceeded | None = None
        self._limits = limits
        self._tree = tree
        self._folders = folders
        self._inside = None if first is None else Path(f"/proc/{first}/root")
        # Bubblewrap and the first process inside.
        self._ours = 0 if first is None else _OURS_INSIDE
        memory = limits.total_memory_bytes
        self._memory_limit = None if memory is None else min(memory, int(_PART_OF_MACHINE * _memory_of_machine()))
        self._disk_held = 0
        self._files = 0
        self._sampled = self._walked = self._look_at_machine()
        self._interval = _FIRST_SAMPLE_SECONDS
        self._next_sample = time.monotonic() + _FIRST_SAMPLE_SECONDS
        self._next_walk = 0.0
        self._walk_anyway = time.monotonic() + _WALK_ANYWAY_SECONDS
        self._walk: asyncio.Future[int] | None = None

    def pulse(self) -> None:
        """Look, at the whole machine or closer, and set `exceeded` if something is."""
        machine = self._look_at_machine()
        if time.monotonic() >= self._next_sample or self._has_moved(machine):
            self._sampled = machine
            self._next_sample = time.monotonic() + self._interval
            self._interval = min(2 * self._interval, _SAMPLE_SECONDS)
            self._sample()
        if self._limits.disk_bytes is not None:
            self._consider_disk(machine, self._limits.disk_bytes)

    def limit(self) -> str | None:
        """Say how much is allowed of what was exceeded."""
        match self.exceeded:
            case Exceeded.PROCESSES:
                return f"{self._limits.processes} processes and threads"
            case Exceeded.MEMORY:
                return f"{(self._memory_limit or 0) / _MEBIBYTE:.0f} MB of memory"
            case Exceeded.DISK:
                return f"{(self._limits.disk_bytes or 0) / _MEBIBYTE:.0f} MB of disk"
            case None:
                return None

    def _has_moved(self, machine: _Machine) -> bool:
        processes, memory = self._limits.processes, self._memory_limit
        if processes is not None:
            headroom = processes + self._ours - self._tree.threads
            if machine.threads - self._sampled.threads > headroom // _PART_OF_HEADROOM:
                return True
        if memory is None:
            return False
        headroom = max(memory - self._tree.memory_bytes, _LEAST_STEP_BYTES)
        return machine.memory - self._sampled.memory > headroom // _PART_OF_HEADROOM

    def _sample(self) -> None:
        processes, memory = self._limits.processes, self._memory_limit
        # Before every one of them is looked at, which takes long when they are many.
        if processes is not None and self._count_inside() > processes + self._ours:
            self.exceeded = Exceeded.PROCESSES
            return
        self._tree.sample()
        if processes is not None and self._tree.threads > processes + self._ours:
            self.exceeded = Exceeded.PROCESSES
        if memory is None:
            return
        held = self._held_in(TEMPORARY) + self._held_in(SHARED_MEMORY)
        # What processes share is counted once per process in the cheap figure, and once in all in the dear one.
        if self._tree.memory_bytes + held > memory and self._tree.proportional_bytes() + held > memory:
            self.exceeded = Exceeded.MEMORY

    def _consider_disk(self, machine: _Machine, limit: int) -> None:
        if self._walk is not None and self._walk.done():
            if self._walk.result() + self._held_in(TEMPORARY) > limit:
                self.exceeded = Exceeded.DISK
            self._disk_held = self._walk.result()
            self._walk = None
        if self._held_in(TEMPORARY) + self._disk_held > limit:
            self.exceeded = Exceeded.DISK
        step = max((limit - self._disk_held) // _PART_OF_HEADROOM, _LEAST_STEP_BYTES)
        now = time.monotonic()
        # Some file systems say much later what has been written.
        is_due = machine.disk - self._walked.disk > step or now >= self._walk_anyway
        if is_due and self._walk is None and now >= self._next_walk:
            self._walked = machine
            self._walk = asyncio.get_running_loop().run_in_executor(None, self._walk_folders, self._tree.pids())

    def _walk_folders(self, pids: Sequence[int]) -> int:
        started = time.monotonic()
        total = sum(disk_usage(folder) for folder in self._folders)
        total += _deleted_but_open(pids, devices={folder.stat().st_dev for folder in self._folders if folder.exists()})
        # However many files there are, looking at them takes a fifth of one core at most.
        ended = time.monotonic()
        self._next_walk = ended + _WALK_PAUSE * (ended - started)
        self._walk_anyway = ended + max(_WALK_ANYWAY_SECONDS, _WALK_ANYWAY_PAUSE * (ended - started))
        return total

    def _count_inside(self) -> int:
        if self._inside is None:
            return 0
        try:
            return sum(name.isdigit() for name in os.listdir(self._inside / "proc"))  # noqa: PTH208 - names are enough
        except OSError:
            return 0

    def _held_in(self, folder: Path) -> int:
        if self._inside is None:
            return 0
        try:
            state = os.statvfs(f"{self._inside}{folder}")
        except OSError:
            return 0
        return (state.f_blocks - state.f_bfree) * state.f_frsize

    def _look_at_machine(self) -> _Machine:
        used = 0
        for folder in self._folders[:1]:
            with suppress(OSError):
                state = os.statvfs(folder)
                files = (state.f_files - state.f_ffree) * _LEAST_FILE_BYTES
                used += (state.f_blocks - state.f_bfree) * state.f_frsize + files
        return _Machine(threads=_threads_of_machine(), memory=_memory_in_use(), disk=used)


def _threads_of_machine() -> int:
    try:
        return int(Path("/proc/loadavg").read_bytes().split()[3].partition(b"/")[2])
    except OSError:
        return 0


def _memory_of_machine() -> int:
    return int(psutil.virtual_memory().total)


def _memory_in_use() -> int:
    try:
        lines = Path("/proc/meminfo").read_bytes().split(b"\n", 3)
        return (int(lines[0].split()[1]) - int(lines[2].split()[1])) * 1024
    except (OSError, IndexError, ValueError):
        return 0


class _Anchor:
    """An open folder, closed when nothing below it waits to be looked at any more."""

    def __init__(self, path: str, *, above: "_Anchor | None" = None) -> None:
        self.depth: int = above.depth + 1 if above else 0
        self.descriptor: int = os.open(path, _FOLDER, dir_fd=above.descriptor if above else None)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


def disk_usage(root: Path) -> int:
    """Return how many bytes of disk a folder takes, however deep and while it is being written to; links count once.

    What cannot be looked at counts for nothing, and every file and folder for a few kilobytes at least.
    """
    total, seen = 0, set()
    for state in _files(root):
        if state.st_nlink > 1:
            if (state.st_dev, state.st_ino) in seen:
                continue
            seen.add((state.st_dev, state.st_ino))
        total += max(512 * state.st_blocks, _LEAST_FILE_BYTES)
    return total


def _files(root: Path) -> Iterator[os.stat_result]:
    try:
        waiting = [(_Anchor(str(root)), ".")]
    except OSError:
        return
    while waiting:
        anchor, path = waiting.pop()
        with suppress(OSError):
            # No path may outgrow what the system takes.
            if len(path) > _LONGEST_PATH and anchor.depth < _MOST_ANCHORS:
                anchor, path = _Anchor(path, above=anchor), "."
            folder = os.open(path, _FOLDER, dir_fd=anchor.descriptor)
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        with suppress(OSError):
                            yield entry.stat(follow_symlinks=False)
                            if entry.is_dir(follow_symlinks=False):
                                waiting.append((anchor, f"{path}/{entry.name}"))
            finally:
                os.close(folder)


def _deleted_but_open(pids: Sequence[int], *, devices: AbstractSet[int]) -> int:
    found: dict[tuple[int, int], int] = {}
    for pid in pids:
        with suppress(OSError):
            for name in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208 - names are enough
                with suppress(OSError):
                    state = os.stat(f"/proc/{pid}/fd/{name}")  # noqa: PTH116 - a link to what is open
                    if state.st_nlink == 0 and state.st_dev in devices:
                        found[state.st_dev, state.st_ino] = 512 * state.st_blocks
    return sum(found.values())
