"""Which process is which: pids are reused, so a process is known by its pid together with its birth mark."""

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import psutil

_STATE, _START_TICKS = 0, 19
_GONE: Final = ("Z", "X", "x")


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process, never confused with a later one that got the same pid.

    Attributes:
        pid: the process id.
        birth: in which boot of the machine, in which pid namespace, and when the process was created.
    """

    pid: int
    birth: str

    @classmethod
    def of(cls, pid: int) -> "ProcessId | None":
        """Identify a running process; None when there is none, or only its exit status is left."""
        started = _linux_start(pid) if psutil.LINUX else _portable_start(pid)
        return None if started is None else cls(pid, f"{_world()}:{started}")

    @classmethod
    def of_started(cls, pid: int) -> "ProcessId":
        """Identify a process that was started just now, even when it has ended since."""
        return cls.of(pid) or cls(pid, f"{_world()}:ended")

    def is_running(self) -> bool:
        return ProcessId.of(self.pid) == self

    @property
    def _is_of_this_world(self) -> bool:
        return self.birth.rpartition(":")[0] == _world()

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless the process is gone already."""
        if self.is_running():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def family(self) -> set["ProcessId"]:
        """Every other process that belongs to this one: its descendants and the members of the session it leads.

        The session is found even when this process itself has ended: its pid is not reused while a session bears it.
        """
        found: set[int] = set()
        if self.is_running():
            with suppress(psutil.NoSuchProcess):
                found.update(child.pid for child in psutil.Process(self.pid).children(recursive=True))
        if self._is_of_this_world and ProcessId.of(self.pid) in (self, None):
            found.update(pid for pid in psutil.pids() if _session_of(pid) == self.pid)
        found -= {self.pid, os.getpid()}
        return {process for process in map(ProcessId.of, found) if process is not None}


def kill(processes: Iterable[ProcessId]) -> None:
    """End processes at once (SIGKILL); those that are gone are passed over."""
    for process in processes:
        process.send(signal.SIGKILL)


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _linux_start(pid: int) -> str | None:
    # psutil's create time moves when the wall clock is set; the ticks since boot do not.
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].decode().split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[_STATE] in _GONE else fields[_START_TICKS]


def _portable_start(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.3f}"
    except psutil.NoSuchProcess:
        return None


@cache
def _world() -> str:
    """What pids count in: a boot and, as a home may move from one container to the next, a pid namespace."""
    if psutil.LINUX:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return str(int(psutil.boot_time()))
