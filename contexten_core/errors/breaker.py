"""Leave what does not answer alone for a while: one circuit breaker for each outside thing, in each process.

Closed, calls go through. After so many failures in a row within a window it is open: calls are refused at once, and
nobody waits for a timeout. After a delay one call at a time is let through to see (half-open); the first that is
answered closes it. An answer that says when to come back (429 with Retry-After) holds calls back until then. A refusal
that is no trouble of the service's, such as a 404, is an answer.
"""

import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock

from contexten_core.errors.base import ConfigurationError, GitError, OutboundError
from contexten_core.errors.transience import is_transient

logger = logging.getLogger(__name__)

_MOST_DEPENDENCIES = 256
_LONGEST_PAUSE_SECONDS = 3_600.0
_CHAIN_LIMIT = 10


class DependencyKind(StrEnum):
    """What this system needs from outside of its own process."""

    GITHUB = "github"
    LINEAR = "linear"
    SLACK = "slack"
    GIT = "git remote"
    DATABASE = "database"
    PREFECT = "prefect"
    LLM = "llm provider"
    AGENT = "hosted agent"


class BreakerState(StrEnum):
    CLOSED = "closed"
    HALF_OPEN = "half-open"
    OPEN = "open"


class Verdict(StrEnum):
    """What a call's end says of the dependency; of one that was cancelled, say, nothing."""

    ANSWERED = "answered"
    FAILED = "failed"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Limits:
    """The budget of a dependency: `failures` in a row within the window, then none for `open_seconds`."""

    failures: int
    window_seconds: float
    open_seconds: float


_LIMITS: Mapping[DependencyKind, Limits] = {
    DependencyKind.GITHUB: Limits(5, 120, 15),
    DependencyKind.LINEAR: Limits(5, 120, 15),
    DependencyKind.SLACK: Limits(5, 120, 15),
    DependencyKind.GIT: Limits(5, 300, 20),
    # A local one is back within seconds, and everything waits for it.
    DependencyKind.DATABASE: Limits(5, 10, 2),
    DependencyKind.PREFECT: Limits(5, 30, 3),
    DependencyKind.LLM: Limits(5, 300, 20),
    DependencyKind.AGENT: Limits(5, 300, 20),
}


@dataclass(frozen=True, slots=True)
class DependencyStatus:
    """How a dependency stands; `seconds` until the next call may go there, 0 when one may now."""

    kind: DependencyKind
    host: str
    state: BreakerState
    seconds: float


class BreakerOpenError(OutboundError):
    """No call was made: what would be called has failed too often, or has asked to be left alone."""


class Breaker:
    """The breaker of one dependency. May be used from any thread.

    Args:
        name: what errors call it.
        limits: when it opens, and for how long.
        clock: seconds that never go back.
    """

    def __init__(self, name: str, limits: Limits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._limits = limits
        self._clock = clock
        self._lock = Lock()
        self._failures: deque[float] = deque(maxlen=limits.failures)
        self._held_until = 0.0
        self._next_probe: float | None = None
        self._is_probing = False
        self._turn = 0

    def admit(self) -> int:
        """Let a call through, and return what its end is to be noted with.

        Raises:
            BreakerOpenError: it is not to be made; `retry_after` says for how long.
        """
        with self._lock:
            now = self._clock()
            if (seconds := self._seconds(now)) > 0:
                raise BreakerOpenError(
                    f"{self._name} is left alone for {seconds:.1f} s: {self._reason(now)}",
                    hint="it is called again by itself",
                    transient=True,
                    retry_after=seconds,
                )
            if self._next_probe is not None:
                self._next_probe = now + self._limits.open_seconds
                self._is_probing = True
            return self._turn

    def note(self, turn: int, verdict: Verdict) -> None:
        """Note how a call ended. One that began before the breaker opened, or closed, tells nothing any more."""
        with self._lock:
            if turn != self._turn:
                return
            match verdict:
                case Verdict.ANSWERED:
                    self._close()
                case Verdict.FAILED:
                    self._fail(self._clock())
                case Verdict.NOTHING if self._next_probe is not None:
                    self._next_probe, self._is_probing = self._clock(), False

    def hold(self, seconds: float) -> None:
        """Let no call through for so long, an hour at most."""
        with self._lock:
            self._held_until = max(self._held_until, self._clock() + min(seconds, _LONGEST_PAUSE_SECONDS))

    @property
    def state(self) -> BreakerState:
        with self._lock:
            now = self._clock()
            if self._held_until > now:
                return BreakerState.OPEN
            if self._next_probe is None:
                return BreakerState.CLOSED
            return BreakerState.HALF_OPEN if self._is_probing or self._next_probe <= now else BreakerState.OPEN

    @property
    def is_failing(self) -> bool:
        return self._next_probe is not None

    @property
    def seconds(self) -> float:
        """For how long no call is let through; 0 when one is now."""
        with self._lock:
            return self._seconds(self._clock())

    def _seconds(self, now: float) -> float:
        return max(self._held_until - now, (self._next_probe or now) - now, 0.0)

    def _reason(self, now: float) -> str:
        if self._held_until > now:
            return "it has asked for that"
        return f"{self._limits.failures} calls in a row have failed"

    def _close(self) -> None:
        self._failures.clear()
        if self._next_probe is not None:
            logger.info("%s answers again", self._name)
            self._next_probe, self._is_probing = None, False
            self._turn += 1

    def _fail(self, now: float) -> None:
        self._failures.append(now)
        if self._next_probe is None:
            is_enough = len(self._failures) == self._limits.failures
            if not is_enough or now - self._failures[0] > self._limits.window_seconds:
                return
            logger.warning("%s does not answer: left alone for %g s", self._name, self._limits.open_seconds)
            self._turn += 1
        self._next_probe, self._is_probing = now + self._limits.open_seconds, False


class Breakers:
    """The breakers of this process, of the 256 dependencies that were used last."""

    def __init__(
        self,
        *,
        limits: Mapping[DependencyKind, Limits] = _LIMITS,
        most: int = _MOST_DEPENDENCIES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._most = most
        self._clock = clock
        self._lock = Lock()
        self._breakers: OrderedDict[tuple[DependencyKind, str], Breaker] = OrderedDict()

    def of(self, kind: DependencyKind, host: str) -> Breaker:
        with self._lock:
            key = kind, host
            if key not in self._breakers:
                while len(self._breakers) >= self._most:
                    self._breakers.popitem(last=False)
                self._breakers[key] = Breaker(f"{kind} {host}", self._limits[kind], clock=self._clock)
            self._breakers.move_to_end(key)
            return self._breakers[key]

    @contextmanager
    def calling(self, kind: DependencyKind, host: str) -> Iterator[None]:
        """Surround a call: it is refused while the breaker is open, and how it ends is noted.

        Raises:
            BreakerOpenError: the call is not made.
        """
        breaker = self.of(kind, host)
        turn = breaker.admit()
        verdict = Verdict.NOTHING
        try:
            yield
        except Exception as error:
            verdict = _judge(kind, error)
            if (asked := _asked(error)) is not None:
                breaker.hold(asked)
                verdict = Verdict.ANSWERED
            raise
        else:
            verdict = Verdict.ANSWERED
        finally:
            breaker.note(turn, verdict)

    def statuses(self) -> list[DependencyStatus]:
        """Return how everything stands that was called lately, in the order of names."""
        with self._lock:
            breakers = sorted(self._breakers.items())
        return [
            DependencyStatus(kind, host, breaker.state, round(breaker.seconds, 1)) for (kind, host), breaker in breakers
        ]

    def is_failing(self, kind: DependencyKind) -> bool:
        """Tell whether one of the kind does not answer; one that only asked to be left alone does."""
        with self._lock:
            return any(breaker.is_failing for (of, _), breaker in self._breakers.items() if of is kind)

    def clear(self) -> None:
        """Forget everything, as a new process would."""
        with self._lock:
            self._breakers.clear()


BREAKERS = Breakers()


def refused_for(error: BaseException) -> float | None:
    """Return for how long a breaker refuses, when that is what the error, or what it was raised from, says."""
    part: BaseException | None = error
    for _ in range(_CHAIN_LIMIT):
        if part is None or isinstance(part, BreakerOpenError):
            return None if part is None else part.retry_after
        part = part.__cause__
    return None


def _asked(error: Exception) -> float | None:
    """Return the wait that a sure refusal told; one that may have been carried out is trouble, not a limit."""
    if isinstance(error, OutboundError) and error.transient and not error.ambiguous:
        return error.retry_after
    return None


def _judge(kind: DependencyKind, error: Exception) -> Verdict:
    if kind is DependencyKind.DATABASE:
        # Contention and refused statements are answers; what says so takes long to import.
        from contexten_core.errors.classification import DATABASE_DOWN
        from contexten_core.errors.classify import classify

        return Verdict.FAILED if classify(error) == DATABASE_DOWN else Verdict.NOTHING
    if is_transient(error):
        return Verdict.FAILED
    has_answered = isinstance(error, OutboundError | GitError | ConfigurationError)
    return Verdict.ANSWERED if has_answered else Verdict.NOTHING
