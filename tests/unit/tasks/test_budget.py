import pytest

from contexten_core.tasks.budget import Spent, why_stuck
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


def test_minutes_and_tokens_are_told_in_their_units() -> None:
    assert str(Spent("daily_minutes", 50, 60, "minutes", 2.5)) == (
        "daily minutes: 50 of 60 minutes used, this run is likely to take 2.5 minutes"
    )
    assert str(Spent("monthly_tokens", 1_900_000, 2_000_000, "tokens")) == (
        "monthly tokens: 1,900,000 of 2,000,000 tokens used"
    )


SAME = f"no progress: fix failed 3 times in the same way on {COMMIT[:7]}"
OFTEN = f"fix failed 3 times on {COMMIT[:7]}, and is not tried again there"
REPEATED = "no progress: fix proposed the same change twice and failed in the same way; a rerun tries it again"


@pytest.mark.parametrize(
    ("tried", "why"),
    [
        ([], None),
        ([Tried(COMMIT, "a"), Tried(COMMIT, "a")], None),
        ([Tried(COMMIT, "a")] * 3, SAME),
        ([Tried(COMMIT, "a"), Tried(COMMIT, "b"), Tried(COMMIT, "a")], OFTEN),
        ([Tried(COMMIT, "a"), Tried(COMMIT, "a"), Tried(OTHER, "a")], None),
        ([Tried(COMMIT, "a"), Tried(COMMIT, None), Tried(COMMIT, "a")], None),
        ([Tried(OTHER, "a")] * 3, None),
        ([Tried(COMMIT, None)] * 3, None),
        ([Tried(COMMIT, "a", "change"), Tried(OTHER, "a", "change")], REPEATED),
        ([Tried(COMMIT, "a", "change"), Tried(OTHER, "a", "another")], None),
        ([Tried(COMMIT, "a", "change"), Tried(OTHER, "b", "change")], None),
        ([Tried(COMMIT, None, "change"), Tried(OTHER, None, "change")], None),
        ([Tried(COMMIT, "a", "change")], None),
    ],
)
def test_when_trying_again_cannot_help(tried: list[Tried], why: str | None) -> None:
    assert why_stuck(tried, slug="fix", commit=COMMIT, attempts=3) == why


def test_who_asks_for_it_again_gets_it_again_but_not_more_often_than_it_may_be_tried() -> None:
    repeated = [Tried(COMMIT, "a", "change")] * 2
    assert why_stuck(repeated, slug="fix", commit=COMMIT, attempts=3, again=True) is None
    assert why_stuck([*repeated, *repeated], slug="fix", commit=COMMIT, attempts=3, again=True) == SAME
