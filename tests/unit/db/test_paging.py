import base64
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contexten_core.db.paging import _read, _write
from contexten_core.errors import InvalidInputError

EXAMPLES = settings(deadline=None, derandomize=True, database=None)
NOON = datetime(2026, 3, 29, 12, 0, tzinfo=UTC)
ID = UUID("160275e0-da12-4099-87c3-24acbf53134e")


def _cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@EXAMPLES
@given(st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_a_cursor_leads_back_to_the_row_that_it_was_made_of(moment: datetime, row_id: UUID) -> None:
    assert _read(_write(moment, row_id)) == (moment, row_id)


@EXAMPLES
@given(st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_a_cursor_can_stand_in_an_address_as_it_is(moment: datetime, row_id: UUID) -> None:
    cursor = _write(moment, row_id)

    assert cursor.isascii()
    assert cursor.replace("-", "").replace("_", "").isalnum()


@EXAMPLES
@given(st.text(st.characters(exclude_categories=())))
def test_any_other_text_is_refused_by_the_name_of_its_field(text: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        _read(text)

    assert refused.value.fields == {"cursor": "not a cursor of this list"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "|",
        f"{NOON.isoformat()}",
        f"{NOON.isoformat()}|",
        f"{NOON.isoformat()}|{ID}x",
        f"{NOON.isoformat()}|{ID}|{ID}",
        f"{NOON.replace(tzinfo=None).isoformat()}|{ID}",
        f"2026-03-29|{ID}",
        f"2026-13-29T12:00:00+00:00|{ID}",
        f"yesterday|{ID}",
        f"' OR 1=1 --|{ID}",
    ],
)
def test_what_only_looks_like_a_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="not a cursor"):
        _read(_cursor(text))


@pytest.mark.parametrize(
    "cursor",
    [
        pytest.param(_write(NOON, ID) + "=", id="padded"),
        pytest.param(_write(NOON, ID) + "!!!", id="more"),
        pytest.param(_write(NOON, ID)[:-1], id="less"),
    ],
)
def test_a_cursor_that_was_changed_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInputError, match="not a cursor"):
        _read(cursor)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_no_calendar_has_in_utc_is_refused(moment: str) -> None:
    with pytest.raises(InvalidInputError, match="not a cursor"):
        _read(_cursor(f"{moment}|{ID}"))
