import pytest

from contexten_core.tasks.forecast import Forecast, Span, told


def test_a_span_is_the_median_and_what_nine_of_ten_stay_within() -> None:
    assert Span.of([5, 1, 3]) == Span(median=3, high=5)
    assert Span.of(range(1, 101)) == Span(median=50, high=90)
    assert Span.of([7]) == Span(median=7, high=7)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            Forecast(12, Span(1.5, 90), Span(900, 12_000), Span(0.02, 1.5)),
            "1.5 s (up to 1.5 min), 900 tokens (up to 12,000 tokens), $0.0200 (up to $1.50); by 12 past runs",
        ),
        (Forecast(3, Span(1.5, 2), Span(0, 0), Span(0, 0)), "1.5 s (up to 2.0 s); by 3 past runs"),
        (Forecast(2), "unknown, fewer than 3 past runs"),
    ],
)
def test_what_a_run_is_likely_to_take_in_words(found: Forecast, words: str) -> None:
    assert told(found.as_dict()) == words


def test_an_approval_from_before_there_were_forecasts() -> None:
    assert told(None) == "unknown, fewer than 3 past runs"
