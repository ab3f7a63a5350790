"""What a command may use, and what came of it."""

import signal
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Limits:
    """What one command may use. None means no limit of its own.

    Attributes:
        wall_seconds: how long it may run.
        grace_seconds: how long it may take to end after it has been asked to.
        output_bytes: how much of its output is kept.
        file_bytes: the largest file that it may write.
        open_files: per process.
        memory_bytes: address space per process.
        processes: how many processes its user may have in all; without effect for root.
    """

    wall_seconds: float = 900
    grace_seconds: float = 2
    output_bytes: int = 1_048_576
    file_bytes: int = 1024**3
    open_files: int = 4096
    memory_bytes: int | None = None
    processes: int | None = None


class Ended(StrEnum):
    """How a command came to its end."""

    EXITED = "exited"
    SIGNALLED = "signalled"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"


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
