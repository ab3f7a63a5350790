"""A look back is made of intervals that touch and do not overlap."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from contexten_core.performance.window import DAY, HOUR, MINUTE, TEN_MINUTES, Span, begin_of, cover

MIDNIGHT = 20_000 * DAY


@given(now=st.floats(MIDNIGHT, MIDNIGHT + 2 * DAY), seconds=st.floats(1, 60 * DAY))
def test_every_moment_is_covered_once(now: float, seconds: float) -> None:
    spans = cover(now - seconds, now)
    assert spans[0].begin == begin_of(now - seconds, now) <= now - seconds
    assert spans[-1].end > now
    assert all(left.end == right.begin for left, right in pairwise(spans))


@given(now=st.floats(MIDNIGHT, MIDNIGHT + 2 * DAY), hours=st.floats(0.01, 24))
def test_a_day_needs_few_intervals(now: float, hours: float) -> None:
    assert sum(len(span.starts) for span in cover(now - hours * HOUR, now)) <= 9 + 5 + 23 + 2


def test_edges_are_short_and_the_middle_is_long() -> None:
    now = MIDNIGHT + 2 * HOUR
    assert cover(now - DAY - 61, now) == [
        Span(MINUTE, now - DAY - 2 * MINUTE, now - DAY),
        Span(HOUR, now - DAY, MIDNIGHT),
        Span(DAY, MIDNIGHT, MIDNIGHT + DAY),
    ]


def test_within_one_hour_minutes_and_tens_of_minutes_do() -> None:
    now = MIDNIGHT + 1_800
    assert cover(now - 700, now) == [
        Span(MINUTE, now - 720, now - 600),
        Span(TEN_MINUTES, now - 600, MIDNIGHT + HOUR),
    ]


def test_beyond_two_days_a_look_back_begins_with_an_hour() -> None:
    now = MIDNIGHT + 1_800.0
    assert begin_of(now - 49 * HOUR, now) == MIDNIGHT - 49 * HOUR
    assert begin_of(now - 47 * HOUR, now) == MIDNIGHT - 47 * HOUR + 1_800
