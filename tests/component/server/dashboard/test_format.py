import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contexten.server.dashboard.format import ago, duration, plain, pretty_json, tone, web_link, with_code

NOW = datetime(2025, 11, 22, 16, 40, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (-1, "0 ms"),
        (0.0004, "0 ms"),
        (0.34, "340 ms"),
        (0.9999, "1.0 s"),
        (4.24, "4.2 s"),
        (9.97, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (187, "3 min 07 s"),
        (3599.7, "1 h 00 min"),
        (2 * 3600 + 5 * 60, "2 h 05 min"),
        (53 * 3600, "2 d 5 h"),
    ],
)
def test_a_duration_is_written_in_the_units_that_matter(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("passed", "text"),
    [
        (timedelta(seconds=-3), "just now"),
        (timedelta(seconds=4), "just now"),
        (timedelta(seconds=42), "42 s ago"),
        (timedelta(minutes=5, seconds=59), "5 min ago"),
        (timedelta(hours=3), "3 h ago"),
        (timedelta(days=29, hours=23), "29 d ago"),
        (timedelta(days=31), "2025-10-22"),
    ],
)
def test_a_moment_is_written_as_how_long_ago_it_was(passed: timedelta, text: str) -> None:
    assert ago(NOW - passed, NOW) == text


@pytest.mark.parametrize("url", ["https://github.com/acme/billing/pull/7", "http://127.0.0.1:4200/runs?a=b#c"])
def test_web_addresses_are_linked(url: str) -> None:
    assert web_link(url) == url


@pytest.mark.parametrize(
    "url",
    [
        None,
        7,
        "",
        "javascript:alert(1)",
        "JaVaScRiPt://github.com/%0aalert(1)",
        "java\nscript:alert(1)",
        "https://github.com/\nacme",
        "data:text/html,<script>alert(1)</script>",
        "//github.com/acme",
        "/runs/1",
        "https://",
        "http://[broken",
    ],
)
def test_nothing_else_is_linked(url: object) -> None:
    assert web_link(url) is None


def test_what_stands_between_backticks_is_code_and_nothing_is_markup() -> None:
    assert with_code("run `contexten <b>` & see") == "run <code>contexten &lt;b&gt;</code> &amp; see"
    assert with_code("a ` alone <b>") == "a ` alone &lt;b&gt;"


@given(st.text())
def test_no_text_becomes_markup(text: str) -> None:
    markup = with_code(text).replace("<code>", "").replace("</code>", "")
    assert "<" not in markup
    assert ">" not in markup


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_json_is_whole_within_the_limit_and_cut_at_it(value: object) -> None:
    text, is_cut = pretty_json(value, limit=10_000_000)
    assert (json.loads(text), is_cut) == (value, False)
    if len(text) > 1:
        assert pretty_json(value, limit=len(text) - 1) == (text[:-1], True)


def test_any_value_fits_on_one_line() -> None:
    assert plain("two\nlines\x1b[31m") == "two lines [31m"
    assert plain({"ü": [1, None]}) == '{"ü": [1, null]}'
    assert plain("x" * 301) == "x" * 299 + "…"


def test_a_word_that_nobody_knows_has_a_quiet_look() -> None:
    assert [tone(word) for word in ("success", "failure", "error", "running", "surprise")] == [
        "good",
        "bad",
        "warn",
        "busy",
        "idle",
    ]
