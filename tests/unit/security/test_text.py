import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contexten_core.security.text import clean_json, clean_text, one_line, shorten

_any_text = st.text(st.characters(exclude_categories=())) | st.text("\0\ud800\udfff\n\u2028\u202ea ")
_any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | _any_text,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(_any_text, children, max_size=3),
    max_leaves=10,
)

EXAMPLES = settings(deadline=None, derandomize=True, database=None)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in _texts(part)]
    return [text for item in value for text in _texts(item)] if isinstance(value, list) else []


def test_nul_and_lone_surrogates_are_replaced() -> None:
    assert clean_text("a\0b\ud83dc\udc4d") == "a\ufffdb\ufffdc\ufffd"


def test_everything_else_stays() -> None:
    text = "tab\t newline\n escape\x1b[0m astral 👍 rtl \u202e"

    assert clean_text(text) == text


def test_json_is_cleaned_in_keys_and_in_depth() -> None:
    assert clean_json({"a\0": [{"b": ("\ud800", 1, None, True, 0.5)}]}) == {
        "a\ufffd": [{"b": ["\ufffd", 1, None, True, 0.5]}]
    }


@EXAMPLES
@given(_any_json)
def test_cleaned_json_can_be_stored(value: Any) -> None:
    cleaned = clean_json(value)

    assert all("\0" not in text and text.encode("utf-8") is not None for text in _texts(cleaned))
    assert clean_json(cleaned) == cleaned


@pytest.mark.parametrize(("text", "expected"), [("", ""), ("abc", "abc"), ("abcd", "ab…"), ("a" * 9, "aa…")])
def test_shortened_text_shows_that_something_is_missing(text: str, expected: str) -> None:
    assert shorten(text, 3) == expected


def test_one_line_has_no_breaks_no_controls_and_no_runs_of_blanks() -> None:
    assert one_line("  FAILED\r\n\ttests::a \x1b[31m\u2028red\u202e  \0", 100) == "FAILED tests::a [31m red �"


@EXAMPLES
@given(_any_text, st.integers(min_value=1, max_value=50))
def test_one_line_is_always_one_short_line(text: str, limit: int) -> None:
    line = one_line(text, limit)

    assert len(line) <= limit
    assert len(line.splitlines()) <= 1
    assert not any(unicodedata.category(character) in {"Cc", "Cs"} for character in line)
