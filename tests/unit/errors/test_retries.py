import pytest
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from contexten_core.errors import ContextenError, GitError, LeaseLostError, OutboundError, UnavailableError
from contexten_core.errors.retries import Retries, may_pass, retried

RETRIES = Retries(most=3, seconds=60, first_delay=1, jitter=0.5)
AT_ONCE = Retries(most=2, seconds=60, first_delay=0)
PASSING = GitError("the network is away", transient=True)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (PASSING, True),
        (GitError("no such repository"), False),
        (UnavailableError("full", transient=True), True),
        (LeaseLostError("taken over"), False),
        (OperationalError("SELECT 1", {}, OSError("connection refused")), True),
        (ProgrammingError("SELCT 1", {}, ValueError("syntax")), False),
        (PoolTimeoutError("no connection is free"), True),
        (ConnectionResetError(), True),
        (KeyError("a fault"), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error: Exception, passes: bool) -> None:
    assert may_pass(error) is passes
    assert (RETRIES.wait(error, attempt=1, spent=0) is not None) is passes


def test_delays_double_and_are_spread() -> None:
    assert RETRIES.delays == [1, 2, 4]
    assert all(1 <= RETRIES.delay(2) <= 3 for _ in range(100))
    assert len({RETRIES.delay(2) for _ in range(10)}) > 1


def test_the_number_of_attempts_has_an_end() -> None:
    assert [RETRIES.wait(PASSING, attempt=number, spent=0) for number in range(1, 5)] == [0, 0, 0, None]


def test_so_has_their_time() -> None:
    assert RETRIES.wait(PASSING, attempt=1, spent=58.5) == 0
    assert RETRIES.wait(PASSING, attempt=1, spent=58.6) is None


def test_what_the_other_side_asks_for_comes_first_and_counts() -> None:
    def limited(seconds: float) -> OutboundError:
        return OutboundError("a rate limit", transient=True, retry_after=seconds)

    wrapped = GitError("not called", transient=True)
    wrapped.__cause__ = limited(30)
    assert RETRIES.wait(limited(30), attempt=1, spent=0) == 30
    assert RETRIES.wait(wrapped, attempt=1, spent=0) == 30
    assert RETRIES.wait(limited(30), attempt=1, spent=30) is None
    assert RETRIES.wait(limited(3_600), attempt=1, spent=0) is None


@pytest.mark.parametrize(
    ("errors", "made"),
    [([], 1), ([PASSING, PASSING], 3), ([PASSING] * 3, 3), ([GitError("gone")], 1)],
    ids=["at once", "at the third", "never", "not again"],
)
async def test_a_call_without_prefect_is_retried_alike(errors: list[ContextenError], made: int) -> None:
    attempts = 0

    async def call() -> str:
        nonlocal attempts
        attempts += 1
        if attempts <= len(errors):
            raise errors[attempts - 1]
        return "done"

    if made <= len(errors):
        with pytest.raises(GitError):
            await retried(AT_ONCE, call)
    else:
        assert await retried(AT_ONCE, call) == "done"
    assert attempts == made
