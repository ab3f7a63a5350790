import json
import math
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from contexten_core.errors.redact import REDACTED, safe_context, safe_str, safe_text


class Colour(Enum):
    RED = "red"


class Strange:
    def __str__(self) -> str:
        raise RuntimeError("no")

    def __getattr__(self, name: str) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "GITHUB_TOKEN",
        "client_secret",
        "db-password",
        "Authorization",
        "auth",
        "apiKey",
        "key",
        "Set-Cookie",
        "X-Hub-Signature-256",
        "DSN",
    ],
)
def test_what_is_called_like_a_secret_is_left_out_at_any_depth(name: str) -> None:
    assert safe_context({name: "hunter2", "deep": [{name: {"x": 1}}]}) == {name: REDACTED, "deep": [{name: REDACTED}]}


@pytest.mark.parametrize("name", ["author", "repository", "task_id", "path", "session_id"])
def test_other_names_are_kept(name: str) -> None:
    assert safe_context({name: "x"}) == {name: "x"}


@pytest.mark.parametrize(
    "text",
    [
        "cannot reach postgresql://mona:hunter2@db.acme.example/contexten",
        "Authorization: Bearer hunter2hunter2",
        "sent 'password': 'hunter2'",
        "Settings(password='hunter2 and more', host='x')",
        "GET https://api.acme.example/?page=2&access_token=hunter2&x=1",
        "the token ghp_hunter2hunter2hunter2 was refused",
        "xoxb-hunter2-hunter2",
        "lin_api_hunter2hunter2",
    ],
)
def test_secrets_in_text_are_told_by_their_form(text: str) -> None:
    assert "hunter2" not in safe_text(text, 500)
    assert REDACTED in safe_text(text, 500)


def test_a_secret_at_the_end_of_what_is_kept_is_left_out_as_well() -> None:
    assert "hunter2" not in safe_text("x" * 80 + " password=hunter2hunter2", 100)


def test_ordinary_text_stays_as_it_is() -> None:
    text = 'Connection timeout talking to api.github.com: tokens used; see "the docs", mona@acme.example'

    assert safe_text(text, 500) == text


def test_values_become_json() -> None:
    moment = datetime(2026, 1, 7, 10, 0, tzinfo=UTC)
    context: dict[Any, Any] = {
        "text": "a\x00b\ud800",
        "number": 2**63 - 1,
        "large": 10**5_000,
        "not a number": math.nan,
        "when": moment,
        "id": UUID(int=7),
        "path": Path("a/b"),
        "colour": Colour.RED,
        "bytes": b"abc",
        "many": {1},
        "function": safe_str,
        "hidden": SecretStr("hunter2"),
        "strange": Strange(),
        7: None,
    }

    assert safe_context(context) == {
        "text": "a�b�",
        "number": 2**63 - 1,
        "large": "<integer of 16610 bits>",
        "not a number": None,
        "when": "2026-01-07T10:00:00+00:00",
        "id": "00000000-0000-0000-0000-000000000007",
        "path": "a/b",
        "colour": "red",
        "bytes": "<3 bytes>",
        "many": [1],
        "function": "safe_str",
        "hidden": "**********",
        "strange": "<Strange that cannot be kept>",
        "7": None,
    }


def test_it_is_bounded_in_every_direction() -> None:
    circle: dict[str, Any] = {}
    circle["again"] = circle
    wide = {f"{number}": {f"{inner}": "x" * 10_000 for inner in range(100)} for number in range(100)}

    for context in (circle, wide, {"text": "x" * 10_000_000}, {"list": [[0] * 1_000] * 1_000}):
        assert len(json.dumps(safe_context(context))) < 1_100_000


@given(
    st.recursive(
        st.none() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_anything_becomes_storable_json(value: Any) -> None:
    json.dumps(safe_context({"value": value}), allow_nan=False).encode("utf-8")


def test_an_object_without_text_has_a_name_at_least() -> None:
    assert safe_str(Strange()) == "<Strange that has no text>"
