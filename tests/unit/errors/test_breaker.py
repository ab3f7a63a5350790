import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy.exc import IntegrityError, OperationalError

from contexten_core.errors import ConfigurationError, GitError, OutboundError
from contexten_core.errors.breaker import (
    Breaker,
    BreakerOpenError,
    Breakers,
    BreakerState,
    DependencyKind,
    Limits,
    Verdict,
    refused_for,
)

LIMITS = Limits(failures=3, window_seconds=60, open_seconds=10)
CLOSED, HALF_OPEN, OPEN = BreakerState
GITHUB = DependencyKind.GITHUB
AWAY = OutboundError("no answer", transient=True, ambiguous=True)


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Calls:
    """Breakers over a clock that stands still, and calls that end as a test wants."""

    def __init__(self, *, most: int = 10) -> None:
        self.clock = Clock()
        self.breakers = Breakers(limits=dict.fromkeys(DependencyKind, LIMITS), most=most, clock=self.clock)
        self.made = 0

    def call(self, error: Exception | None = None, *, kind: DependencyKind = GITHUB, host: str = "a") -> None:
        with self.breakers.calling(kind, host):
            self.made += 1
            if error is not None:
                raise error

    def fail(self, error: Exception, *, times: int = 1, kind: DependencyKind = GITHUB) -> None:
        for _ in range(times):
            with pytest.raises(type(error)):
                self.call(error, kind=kind)

    @property
    def state(self) -> BreakerState:
        return self.breakers.of(GITHUB, "a").state


@pytest.fixture
def calls() -> Calls:
    return Calls()


def test_after_failures_in_a_row_nothing_is_called_and_one_is_told_for_how_long(calls: Calls) -> None:
    calls.fail(AWAY, times=3)
    with pytest.raises(BreakerOpenError, match=r"github a is left alone for 10\.0 s: 3 calls in a row") as caught:
        calls.call()

    assert calls.made == 3
    assert (caught.value.transient, caught.value.ambiguous, caught.value.retry_after) == (True, False, 10)
    calls.call(host="b")
    assert [(found.host, found.state, found.seconds) for found in calls.breakers.statuses()] == [
        ("a", OPEN, 10),
        ("b", CLOSED, 0),
    ]


def test_after_the_delay_one_call_is_let_through_and_its_success_closes(calls: Calls) -> None:
    calls.fail(AWAY, times=3)
    calls.clock.now += 10
    with calls.breakers.calling(GITHUB, "a"):
        assert calls.state is HALF_OPEN
        with pytest.raises(BreakerOpenError):
            calls.call()

    calls.call()
    assert calls.state is CLOSED
    calls.fail(AWAY, times=2)
    assert calls.state is CLOSED


def test_a_failed_look_opens_it_again_at_once(calls: Calls) -> None:
    calls.fail(AWAY, times=3)
    calls.clock.now += 10
    calls.fail(AWAY)

    assert (calls.state, calls.breakers.of(GITHUB, "a").seconds) == (OPEN, 10)


@pytest.mark.parametrize(
    "error",
    [OutboundError("GitHub answered 404"), GitError("no such commit"), ConfigurationError("the key is not valid")],
)
def test_a_refusal_is_an_answer(calls: Calls, error: Exception) -> None:
    calls.fail(AWAY, times=2)
    calls.fail(error)
    calls.fail(AWAY, times=2)

    assert calls.state is CLOSED


def test_failures_that_lie_far_apart_do_not_open_it(calls: Calls) -> None:
    for _ in range(10):
        calls.fail(AWAY)
        calls.clock.now += 31

    assert calls.state is CLOSED


def test_a_fault_of_our_own_says_nothing_of_the_other_side(calls: Calls) -> None:
    calls.fail(AWAY, times=2)
    calls.fail(KeyError("a fault"), times=5)
    assert calls.state is CLOSED
    calls.fail(AWAY)
    calls.clock.now += 10
    calls.fail(KeyError("a fault"))

    assert calls.state is HALF_OPEN
    calls.call()
    assert calls.state is CLOSED


def test_a_rate_limit_holds_everybody_back_for_as_long_as_it_says(calls: Calls) -> None:
    limit = OutboundError("GitHub's rate limit is used up", transient=True, retry_after=90)
    calls.fail(limit)
    calls.clock.now += 89
    with pytest.raises(BreakerOpenError, match="it has asked for that"):
        calls.call()

    assert not calls.breakers.is_failing(GITHUB)
    calls.clock.now += 1
    calls.call()
    calls.fail(OutboundError("a day", transient=True, retry_after=86_400))
    assert calls.breakers.of(GITHUB, "a").seconds == 3_600


def test_the_database_is_away_only_when_it_does_not_answer(calls: Calls) -> None:
    calls.fail(IntegrityError("INSERT", {}, ValueError("taken")), times=9, kind=DependencyKind.DATABASE)
    assert not calls.breakers.is_failing(DependencyKind.DATABASE)
    calls.fail(OperationalError("SELECT 1", {}, OSError("refused")), times=3, kind=DependencyKind.DATABASE)
    assert calls.breakers.is_failing(DependencyKind.DATABASE)


def test_what_was_called_last_is_remembered() -> None:
    calls = Calls(most=2)
    for host in ("a", "b", "a", "c"):
        calls.call(host=host)

    assert [found.host for found in calls.breakers.statuses()] == ["a", "c"]


def test_a_refusal_is_found_below_what_was_raised_from_it(calls: Calls) -> None:
    calls.fail(AWAY, times=3)
    with pytest.raises(BreakerOpenError) as caught:
        calls.call()
    error = GitError("git was not called")
    error.__cause__ = caught.value

    assert refused_for(error) == 10
    assert refused_for(AWAY) is None


class AnyCalls(RuleBasedStateMachine):
    """Calls that begin, take a while and end, in any order, beside a plain model of what the breaker should know."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = Breaker("it", LIMITS, clock=self.clock)
        self.under_way: list[tuple[int, int]] = []
        self.era = 0
        self.streak: list[float] = []
        self.next_look: float | None = None
        self.held_until = 0.0

    @rule(seconds=st.sampled_from([0.5, 4.0, 10.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def begin(self) -> None:
        wait = max(self.held_until, self.next_look or 0.0) - self.clock.now
        if wait > 0:
            with pytest.raises(BreakerOpenError) as caught:
                self.breaker.admit()
            assert caught.value.retry_after == pytest.approx(wait)
            return
        self.under_way.append((self.breaker.admit(), self.era))
        if self.next_look is not None:
            self.next_look = self.clock.now + LIMITS.open_seconds

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), verdict=st.sampled_from(Verdict))
    def end(self, data: st.DataObject, verdict: Verdict) -> None:
        turn, era = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        self.breaker.note(turn, verdict)
        if era != self.era:
            return
        if verdict is Verdict.ANSWERED:
            self.streak = []
            if self.next_look is not None:
                self.next_look, self.era = None, self.era + 1
        elif verdict is Verdict.FAILED:
            self.streak = [*self.streak, self.clock.now][-LIMITS.failures :]
            is_enough = len(self.streak) == LIMITS.failures
            if self.next_look is not None:
                self.next_look = self.clock.now + LIMITS.open_seconds
            elif is_enough and self.clock.now - self.streak[0] <= LIMITS.window_seconds:
                self.next_look, self.era = self.clock.now + LIMITS.open_seconds, self.era + 1
        elif self.next_look is not None:
            self.next_look = self.clock.now

    @rule(seconds=st.sampled_from([1.0, 30.0]))
    def hold(self, seconds: float) -> None:
        self.breaker.hold(seconds)
        self.held_until = max(self.held_until, self.clock.now + seconds)

    @invariant()
    def says_how_it_stands(self) -> None:
        is_held = self.held_until > self.clock.now
        if self.next_look is None:
            assert self.breaker.state is (OPEN if is_held else CLOSED)
        else:
            assert self.breaker.state is not CLOSED
        assert self.breaker.seconds <= max(LIMITS.open_seconds, 30)

    def teardown(self) -> None:
        """Whatever has happened: left alone for a while it lets a call through, and an answer closes it."""
        self.clock.now += 60
        self.breaker.note(self.breaker.admit(), Verdict.ANSWERED)
        assert self.breaker.state is CLOSED


TestAnyCalls = AnyCalls.TestCase
TestAnyCalls.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
