import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contexten_core.errors import InvalidInputError
from contexten_core.inputs import (
    DEEPEST_JSON,
    LARGEST_COUNT,
    LARGEST_INTEGER,
    LONGEST_NAME,
    LONGEST_TEXT,
    Count,
    JSONAny,
    JSONList,
    JSONObject,
    LongText,
    Moment,
    Name,
    RowInput,
    Seconds,
    Slug,
    checked,
)

EXAMPLES = settings(deadline=None, derandomize=True, database=None)
NOON = datetime(2026, 3, 29, 12, 0, tzinfo=UTC)


class Order(RowInput):
    """An input with a field of each kind."""

    name: Name
    slug: Slug = "a"
    text: LongText = ""
    count: Count = 0
    seconds: Seconds = 0
    at: Moment | None = None
    anything: JSONAny = None
    details: JSONObject | None = None
    items: JSONList | None = None


def _kept(**fields: Any) -> Any:
    """Return what becomes of the one field that is given."""
    (name,) = fields
    return getattr(checked(Order, {"name": "tea", **fields}), name)


def _refused(**fields: Any) -> dict[str, str]:
    with pytest.raises(InvalidInputError) as refused:
        checked(Order, {"name": "tea", **fields})
    assert refused.value.status == 422
    assert refused.value.transient is False
    return refused.value.fields


def _nested(levels: int) -> list[Any]:
    """Return a list of lists, so many levels deep that there is room in none of them."""
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_only_what_was_given_is_handed_on_under_the_names_of_columns() -> None:
    order = checked(Order, {"name": "tea", "metadata": {"a": 1}, "description": None})

    assert order.given() == {"name": "tea", "metadata": {"a": 1}, "description": None}
    assert order.columns() == {"name": "tea", "metadata_": {"a": 1}, "description": None}


def test_every_wrong_field_is_named() -> None:
    fields = _refused(name="", count=-1, tags=["ok", "x" * 201], surplus=1)

    assert fields.keys() == {"name", "count", "tags.1", "surplus"}


def test_a_missing_field_is_named() -> None:
    with pytest.raises(InvalidInputError, match="name: Field required") as refused:
        checked(Order, {})

    assert refused.value.fields == {"name": "Field required"}


def test_an_error_does_not_repeat_what_was_given() -> None:
    with pytest.raises(InvalidInputError) as refused:
        checked(Order, {"name": "tea", "count": "hunter2", "details": {"a": b"hunter2"}})

    assert "hunter2" not in str(refused.value) + str(refused.value.fields)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("name", ["text", "name", "description", "anything"])
@pytest.mark.parametrize("value", ["a\0b", "\ud800", "a\udfffb"])
def test_text_that_no_database_keeps_is_refused(name: str, value: str) -> None:
    assert name in _refused(**{name: value})


@pytest.mark.parametrize("value", [{"k": ["\0"]}, {"k\0": 1}, {"k": {"\ud800": 1}}, [["\udc00"]]])
def test_such_text_is_found_inside_json_as_well(value: Any) -> None:
    assert _refused(anything=value).keys() == {"anything"}


@pytest.mark.parametrize("value", ["ünï♥👍", "\t\r\n\u2028", "<script>", "' OR 1=1 --", "%s {0}", "\ufffd\ufffe"])
def test_any_other_text_is_taken_as_it_is(value: str) -> None:
    assert _kept(name=value) == value
    assert _kept(details={value: value}) == {value: value}


@pytest.mark.parametrize(("name", "longest"), [("name", LONGEST_NAME), ("text", LONGEST_TEXT)])
def test_text_has_a_largest_length(name: str, longest: int) -> None:
    assert len(_kept(**{name: "x" * longest})) == longest
    assert "at most" in _refused(**{name: "x" * (longest + 1)})[name]


@pytest.mark.parametrize("value", ["", "A", "-a", "a b", "a\n", "ü", "a" * 201, "../a", 5, None])
def test_a_slug_is_plain(value: Any) -> None:
    assert "slug" in _refused(slug=value)


@pytest.mark.parametrize("value", [0, 7, LARGEST_COUNT])
def test_a_count_fits_into_the_column_of_any_database(value: int) -> None:
    assert _kept(count=value) == value


@pytest.mark.parametrize(
    "value", [-1, LARGEST_COUNT + 1, 2**64, pytest.param(10**5000, id="huge"), "9" * 5000, 1.5, "many", None, [1]]
)
def test_what_is_no_count_is_refused(value: Any) -> None:
    assert "count" in _refused(count=value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "nan", -1, 1e10, "soon"])
def test_what_is_no_duration_is_refused(value: Any) -> None:
    assert "seconds" in _refused(seconds=value)


@EXAMPLES
@given(st.datetimes(timezones=st.timezones(), min_value=datetime(1980, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001
def test_a_time_becomes_the_same_moment_in_utc(moment: datetime) -> None:
    for given_as in (moment, moment.isoformat()):
        kept = _kept(at=given_as)
        assert (kept, kept.tzinfo) == (datetime.fromisoformat(moment.isoformat()), UTC)


def test_a_time_without_a_zone_is_taken_as_utc() -> None:
    assert _kept(at="2026-03-29T12:00:00") == NOON
    assert _kept(at=datetime(2026, 3, 29, 12, 0)) == NOON  # noqa: DTZ001 - that is the point
    assert _kept(at=NOON.astimezone(timezone(timedelta(hours=-11)))) == NOON


@pytest.mark.parametrize(
    "value",
    [
        1_700_000_000,
        1.7e9,
        True,
        "1700000000",
        "1.7e9",
        "-1",
        "yesterday",
        "",
        "2026-13-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_what_is_no_time_is_refused(value: Any) -> None:
    assert "at" in _refused(at=value)


@pytest.mark.parametrize("value", [None, True, 0, -1.5, "", [], {}, {"a": [1, {"b": None}]}, LARGEST_INTEGER, -(2**63)])
def test_anything_that_json_can_say_is_taken(value: Any) -> None:
    assert _kept(anything=value) == value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (LARGEST_INTEGER + 1, "an integer beyond 64 bits"),
        (-(2**63) - 1, "an integer beyond 64 bits"),
        pytest.param([{"a": 10**5000}], "an integer beyond 64 bits", id="huge"),
        (math.nan, "a number that JSON has no word for"),
        ({"a": [math.inf]}, "a number that JSON has no word for"),
        ({1: 2}, "a key that is not text"),
        ({None: 2}, "a key that is not text"),
        (b"bytes", "a bytes, which JSON has no form for"),
        ({"a": {1, 2}}, "a set, which JSON has no form for"),
        (NOON, "a datetime, which JSON has no form for"),
    ],
)
def test_what_json_cannot_say_is_refused(value: Any, reason: str) -> None:
    assert _refused(anything=value) == {"anything": f"holds {reason}"}


def test_json_has_a_largest_size() -> None:
    assert "larger than" in _refused(anything="x" * 1_000_001)["anything"]
    assert "larger than" in _refused(items=[0] * 1_000_001)["items"]
    assert "larger than" in _refused(details={"x" * 600_000: "x" * 600_000})["details"]


def test_json_has_a_largest_depth() -> None:
    assert _kept(items=_nested(DEEPEST_JSON))
    assert "levels deep" in _refused(items=_nested(DEEPEST_JSON + 1))["items"]
    assert "levels deep" in _refused(items=_nested(100_000))["items"]


def test_what_holds_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert "levels deep" in _refused(anything=loop)["anything"]
    loop.append(loop)
    assert "larger than" in _refused(anything=loop)["anything"]


@pytest.mark.parametrize("value", [["a"] * 101, ["x" * 201], [1], "abc", [None], ["\0"]])
def test_tags_are_a_few_short_words(value: Any) -> None:
    assert any(name.startswith("tags") for name in _refused(tags=value))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda children: st.lists(children) | st.dictionaries(st.text(st.characters(exclude_categories=())), children),
    max_leaves=20,
)


@EXAMPLES
@given(JSON_VALUES)
def test_what_is_taken_comes_back_from_json_the_same_and_what_is_not_is_named(value: Any) -> None:
    try:
        kept = _kept(anything=value)
    except InvalidInputError as error:
        refused = set(error.fields)
    else:
        refused = {"anything"}
        text = json.dumps(kept, allow_nan=False, ensure_ascii=False)
        assert json.loads(text) == value
        assert "\0" not in text.encode().decode()
    assert refused == {"anything"}


@EXAMPLES
@given(st.dictionaries(st.text(st.characters(exclude_categories=())), JSON_VALUES))
def test_whatever_comes_in_nothing_but_our_error_comes_out(data: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError) as refused:
        checked(Order, {"surplus": 1, **data})

    assert refused.value.fields
    json.dumps([str(refused.value), refused.value.fields], ensure_ascii=False).encode()


@pytest.mark.parametrize("data", [[], None, 5, "abc"])
def test_what_is_no_set_of_fields_is_refused(data: Any) -> None:
    with pytest.raises(InvalidInputError):
        checked(Order, data)


def test_an_error_stays_short_whatever_was_given() -> None:
    with pytest.raises(InvalidInputError) as refused:
        checked(Order, {"x" * 1_000_000: 1, **{f"surplus{number}": 1 for number in range(10_000)}})

    assert len(str(refused.value)) < 10_000
    assert sum(map(len, refused.value.fields)) < 10_000
