import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contexten_core.errors import MalformedPayloadError
from contexten_core.security.json import MAXIMUM_DEPTH, parse_object


def _nested(depth: int) -> bytes:
    """Return an object with arrays in it, `depth` containers deep."""
    inner = depth - 1
    return b'{"a":' + b"[" * inner + b"]" * inner + b"}" if inner else b"{}"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=20,
)

EXAMPLES = settings(deadline=None, derandomize=True, database=None)


def test_an_object_is_read() -> None:
    assert parse_object('{"zen": "Mind your words ♥", "hook_id": 7}'.encode()) == {
        "zen": "Mind your words ♥",
        "hook_id": 7,
    }


@EXAMPLES
@given(st.dictionaries(st.text(), _json, max_size=5))
def test_what_json_writes_is_read_again(value: dict[str, Any]) -> None:
    assert parse_object(json.dumps(value).encode()) == value


@EXAMPLES
@given(st.binary() | st.text().map(str.encode) | _json.map(lambda value: json.dumps(value).encode()))
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b"-" + b"9" * 100_000)
def test_any_bytes_are_an_object_or_malformed(body: bytes) -> None:
    try:
        value = parse_object(body)
    except MalformedPayloadError as error:
        refused = error
    else:
        assert isinstance(value, dict)
        return
    assert 0 < len(refused.message) < 400


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"payload=%7B%7D", "not JSON"),
        (b'{"a": 1', "not JSON"),
        (b'{"a": 1} {"b": 2}', "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b"[1]", "a JSON list, not an object"),
        (b'"text"', "a JSON str, not an object"),
        (b"null", "a JSON NoneType, not an object"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": [-Infinity]}', "-Infinity"),
        (b'{"a": 1e400}', "1e400"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "not JSON"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        ('{"a": 1}'.encode("utf-16-le"), "not JSON"),
        ('{"a": 1}'.encode("utf-8-sig"), "not JSON"),
    ],
)
def test_what_is_wrong_is_said(body: bytes, reason: str) -> None:
    with pytest.raises(MalformedPayloadError, match=reason) as caught:
        parse_object(body)

    assert caught.value.status == 400
    assert not caught.value.transient


def test_of_a_key_that_comes_twice_the_last_counts() -> None:
    assert parse_object(b'{"action": "opened", "action": "closed"}') == {"action": "closed"}


def test_nul_and_lone_surrogates_are_json() -> None:
    assert parse_object(rb'{"a": "\u0000 \ud800"}') == {"a": "\0 \ud800"}


def test_as_deep_as_the_limit_is_fine() -> None:
    assert parse_object(_nested(MAXIMUM_DEPTH))


@pytest.mark.parametrize("depth", [MAXIMUM_DEPTH + 1, 900, 100_000])
def test_deeper_than_the_limit_is_malformed(depth: int) -> None:
    with pytest.raises(MalformedPayloadError, match="deep"):
        parse_object(_nested(depth))
