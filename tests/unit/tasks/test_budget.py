import pytest

from contexten_core.tasks.budget import Spent, is_stuck
from contexten_core.tasks.budget_store import Tried

COMMIT = "4d1c2b3a" * 5
OTHER = "0a1b2c3d" * 5


@pytest.mark.parametrize(
    ("used", "expected", "near", "over"),
    [
        (0.0, 0.0, False, False),
        (7.9, 0.0, False, False),
        (8.0, 0.0, True, False),
        (7.0, 1.5, True, False),
        (10.0, 0.0, True, True),
    ],
)
def test_a_budget_is_near_its_end_at_four_fifths(used: float, expected: float, *, near: bool, over: bool) -> None:
    spent = Spent("daily_dollars", used, 10, "$", expected)
    assert (spent.is_near, spent.is_over) == (near, over)


def test_a_budget_says_what_is_left_and_what_to_expect() -> None:
    assert str(Spent("daily_dollars", 8.1, 10, "$", 0.4)) == (
        "daily dollars: $8.10 of $10 used, this run is likely to take $0.40"
    )
    assert str(Spent("daily_runs", 19, 20, "runs", 1)) == "daily runs: 19 of 20 runs used"


def test_a_budget_of_nothing_is_over_at_once() -> None:
    assert Spent("daily_runs", 0, 0, "runs", 1).is_over


@pytest.mark.parametrize(
    ("tried", "stuck"),
    [
        ([], False),
        ([Tried(COMMIT, "a"), Tried(COMMIT, "a")], False),
        ([Tried(COMMIT, "a")] * 3, True),
        ([Tried(COMMIT, "a"), Tried(COMMIT, "b"), Tried(COMMIT, "a")], False),
        ([Tried(COMMIT, "a"), Tried(COMMIT, "a"), Tried(OTHER, "a")], False),
        ([Tried(OTHER, "a")] * 3, False),
        ([Tried(COMMIT, None)] * 3, False),
    ],
)
def test_the_same_commit_failing_in_the_same_way_is_no_progress(tried: list[Tried], *, stuck: bool) -> None:
    assert is_stuck(tried, commit=COMMIT, attempts=3) is stuck
