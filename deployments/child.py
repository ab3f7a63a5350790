"""What the supervisor needs to know about one child process."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGHUP, SIGTERM, Signals

ReadyCheck = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The user and group ids a child runs with; only root can give a child another account than its own."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateMount:
    """A folder that appears a second time, at `target`, for one child alone (Linux, root only).

    It makes a folder reachable for an account that may not enter the folders above it. `target` must exist; what it
    held before is hidden from that child.
    """

    source: Path
    target: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """When a child that died is started again, and when that is given up.

    By default it is started again soon, since others wait for it, and never given up: a part that has come up once is
    wanted for as long as the stack is, and what it lacks may come back by itself.

    Attributes:
        first_delay: seconds before the first restart; doubled for each further one.
        longest_delay: seconds that a delay never exceeds.
        healthy_after: seconds a child has to stay ready for its earlier deaths to be forgotten.
        attempts: restarts in a row before the supervisor gives up; 0 makes the first death final, None none.
    """

    first_delay: float = 0.5
    longest_delay: float = 2.0
    healthy_after: float = 2.0
    attempts: int | None = None

    def delay(self, failures: int) -> float:
        """Seconds to wait after the given number (1 or more) of deaths in a row."""
        return float(min(self.first_delay * 2 ** (failures - 1), self.longest_delay))


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One process to supervise.

    Attributes:
        name: short and unique within one supervisor; names the child in messages and in the state file.
        argv: the command; its first part is an absolute path.
        env: the complete environment; nothing is inherited.
        cwd: entered after the change of account.
        log: the file that receives what the child prints, rotated when it gets large.
        ready: polled until it answers True; it answers False, and does not raise, while the child is still starting.
            None when the child reports itself with `deployments.readiness.report_ready`.
        start_timeout: seconds until it has to be ready.
        stop_signals: sent one after the other, each when the one before had no effect for `patience` seconds; KILL
            follows by itself. The first one is also what the child gets when the supervisor dies (Linux).
        hurry_signals: sent instead when there is a hurry; None where it makes no difference.
        hurry_patience: and the seconds after each of them.
        replaced_signal: sent before the others to a child whose successor is ready.
        inherited: file descriptors that it gets besides, under the same numbers.
        account: whom to run as, or None for the supervisor's own account.
        mount: a mount that only this child sees, or None.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    log: Path
    ready: ReadyCheck | None = None
    start_timeout: float = 60.0
    stop_signals: tuple[Signals, ...] = (SIGTERM,)
    patience: float = 5.0
    hurry_signals: tuple[Signals, ...] | None = None
    hurry_patience: float = 5.0
    replaced_signal: Signals = SIGHUP
    inherited: tuple[int, ...] = ()
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    account: Account | None = None
    mount: PrivateMount | None = None
