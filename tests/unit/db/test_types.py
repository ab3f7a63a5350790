import math
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import StatementError

from contexten_core.db.types import CleanText, EnumText, JSONValue, TZDateTime

POSTGRESQL = postgresql.dialect()  # type: ignore[no-untyped-call] # SQLAlchemy leaves it untyped
NOON = datetime(2026, 3, 29, 12, 0, 0, 123_456, tzinfo=UTC)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


THINGS = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("at", TZDateTime),
    Column("json", JSONValue),
    Column("text", CleanText),
    Column("colour", EnumText(Colour)),
)

EXAMPLES = settings(deadline=None, derandomize=True, database=None)


def _stored(column: str, value: Any) -> Any:
    """Return what a value is after SQLite has kept it."""
    engine = create_engine("sqlite://")
    try:
        with engine.begin() as connection:
            THINGS.create(connection)
            connection.execute(insert(THINGS).values({column: value}))
            return connection.execute(select(THINGS.c[column])).scalar_one()
    finally:
        engine.dispose()


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-11))])
def test_a_time_comes_back_as_the_same_moment_in_utc(zone: timezone) -> None:
    kept = _stored("at", NOON.astimezone(zone))

    assert kept == NOON
    assert kept.tzinfo is UTC


def test_a_time_that_comes_in_a_servers_zone_is_turned_into_utc() -> None:
    seen = TZDateTime().process_result_value(NOON.astimezone(timezone(timedelta(hours=2))), POSTGRESQL)

    assert seen is not None
    assert (seen, seen.tzinfo) == (NOON, UTC)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(StatementError, match="has no time zone"):
        _stored("at", datetime(2026, 3, 29, 2, 30))  # noqa: DTZ001 - that is the point


@pytest.mark.parametrize("column", ["at", "json", "text", "colour"])
def test_nothing_stays_nothing(column: str) -> None:
    assert _stored(column, None) is None


def test_json_loses_only_what_postgresql_cannot_keep() -> None:
    value = {"a\0": ["\ud800", 1, 2.5, None, True, {"ü": "♥"}], "big": 2**70}

    assert _stored("json", value) == {"a�": ["�", 1, 2.5, None, True, {"ü": "♥"}], "big": 2**70}


@pytest.mark.parametrize("value", [True, 0, "", [], {}, "text", 1.5])
def test_json_may_be_any_value(value: Any) -> None:
    kept = _stored("json", value)

    assert (kept, type(kept)) == (value, type(value))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_becomes_nothing_since_json_has_no_word_for_it(value: float) -> None:
    assert _stored("json", {"a": [value, 1.5]}) == {"a": [None, 1.5]}


def test_text_loses_only_what_postgresql_cannot_keep() -> None:
    assert _stored("text", "a\0b\ud800 \x1b[0m\n👍") == "a�b� \x1b[0m\n👍"


@EXAMPLES
@given(st.text(st.characters(exclude_categories=())))
def test_any_text_can_be_kept(text: str) -> None:
    bound = CleanText().process_bind_param(text, sqlite.dialect())

    assert bound is not None
    assert len(bound) == len(text)
    assert b"\0" not in bound.encode("utf-8")


@pytest.mark.parametrize("value", [Colour.RED, "red"])
def test_a_member_comes_back_as_a_member(value: str) -> None:
    assert _stored("colour", value) is Colour.RED


def test_what_is_no_member_is_refused() -> None:
    with pytest.raises(StatementError, match="'green' is not a valid Colour"):
        _stored("colour", "green")


def test_postgresql_keeps_json_in_its_own_type() -> None:
    assert isinstance(JSONValue().load_dialect_impl(POSTGRESQL), postgresql.JSONB)
