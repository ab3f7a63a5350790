"""What a command may use, and what came of it."""

import signal
from dataclasses import dataclass
from enum import StrEnum

from contexten_core.execution.sandbox import SandboxLevel


@dataclass(frozen=True, slots=True)
class Limits:
    """What one command may use. None means no limit of its own.

    One that uses more memory, disk or processes than it may is ended, and its result says which.

    Attributes:
        wall_seconds: how long it may run.
        grace_seconds: how long it may take to end after it has been asked to.
        output_bytes: how much of its output is kept.
        file_bytes: the largest file that it may write.
        open_files: per process.
        memory_bytes: address space per process.
        processes: how many processes and threads it may have at once.
        total_memory_bytes: resident memory of all its processes together, with what it holds in temporary files in a
            sandbox; never more than three quarters of the machine's.
        disk_bytes: what its checkout, its home and its temporary files may take together, the code included; an empty
            file counts as a small one.
        temporary_bytes: its temporary files in a sandbox, where they are held in memory.
    """

    wall_seconds: float = 900
    grace_seconds: float = 2
    output_bytes: int = 1_048_576
    file_bytes: int = 1024**3
    open_files: int = 4096
    memory_bytes: int | None = None
    processes: int | None = 1024
    total_memory_bytes: int | None = 8 * 1024**3
    disk_bytes: int | None = 8 * 1024**3
    temporary_bytes: int = 1024**3


class Exceeded(StrEnum):
    """What a command has used too much of."""

    PROCESSES = "processes"
    MEMORY = "memory"
    DISK = "disk"


class Ended(StrEnum):
    """How a command came to its end."""

    EXITED = "exited"
    SIGNALLED = "signalled"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    EXHAUSTED = "exhausted"


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What came of a command that was started.

    Attributes:
        ended: how; a command that was stopped may have an exit code all the same.
        exit_code: None when a signal ended it.
        signal: the number of the signal that ended it, or None.
        duration_seconds: by the wall clock.
        limit_seconds: how long it was allowed to run.
        cpu_seconds: user and system time of all its processes.
        cpu_percent: of one core, so two busy cores make 200.
        peak_memory_mb: resident memory of all its processes together, sampled; None when it was over too soon.
        output: standard output and error in order; beyond the limit its beginning and its end.
        output_bytes_total: how much it printed.
        truncated: whether `output` leaves something out.
        sandbox: the walls it ran behind.
        exceeded: what it used too much of, when that is how it ended.
        limit: as words, how much of that it was allowed.
        refused_hosts: hosts that it asked the proxy for and was refused, with their ports; the first fifty.
    """

    ended: Ended
    exit_code: int | None
    signal: int | None
    duration_seconds: float
    limit_seconds: float
    cpu_seconds: float
    cpu_percent: float
    peak_memory_mb: float | None
    output: str
    output_bytes_total: int
    truncated: bool
    sandbox: SandboxLevel = SandboxLevel.NONE
    exceeded: Exceeded | None = None
    limit: str | None = None
    refused_hosts: tuple[str, ...] = ()

    @property
    def succeeded(self) -> bool:
        return self.ended is Ended.EXITED and self.exit_code == 0

    @property
    def summary(self) -> str:
        """One line for people: how it ended and what it used."""
        memory = "" if self.peak_memory_mb is None else f", {self.peak_memory_mb:.0f} MB of memory at most"
        return f"{describe(self)} ({self.cpu_seconds:.1f} s of CPU{memory})"


def describe(result: CommandResult) -> str:
    """Say how a command ended, as in "exit code 1 after 3.2 s" or "killed by SIGSEGV after 0.1 s"."""
    after = f"after {result.duration_seconds:.1f} s"
    match result.ended:
        case Ended.TIMED_OUT:
            return f"stopped after the limit of {result.limit_seconds:g} s"
        case Ended.CANCELLED:
            return f"cancelled {after}"
        case Ended.EXHAUSTED:
            return f"stopped {after} for using more than {result.limit}"
        case Ended.SIGNALLED:
            return f"killed by {_signal_name(result.signal)} {after}"
        case Ended.EXITED:
            return f"exit code {result.exit_code} {after}"


def _signal_name(number: int | None) -> str:
    if number is None:
        return "a signal"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
