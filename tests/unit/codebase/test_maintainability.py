"""One figure for how easy code is to change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contexten_core.codebase.maintainability import function_score, mean_score


@pytest.mark.parametrize(
    ("lines", "complexity", "score"), [(1, 1, 8905), (10, 2, 6122), (50, 10, 4079), (200, 60, 1739), (5000, 900, 0)]
)
def test_short_plain_functions_score_best(lines: int, complexity: int, score: int) -> None:
    assert function_score(lines=lines, complexity=complexity) == score


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_score_is_between_0_and_100(lines: int, complexity: int) -> None:
    assert 0 <= function_score(lines=lines, complexity=complexity) <= 10_000


def test_the_mean_is_weighted_by_lines() -> None:
    assert mean_score(weighted=9000 * 10 + 3000 * 30, lines=40) == 45.0
    assert mean_score(weighted=0, lines=0) is None
