import re
import sqlite3
from datetime import UTC, datetime
from typing import Any

import pydantic
import pytest
from sqlalchemy.exc import IntegrityError

from contexten_core.errors import InvalidInputError, SystemError  # noqa: A004
from contexten_core.errors.classify import classify
from contexten_core.errors.describe import ErrorRecord, describe

NOW = datetime(2026, 1, 7, 10, 0, 5, tzinfo=UTC)


def _described(error: BaseException, **context: Any) -> ErrorRecord:
    return describe(error, context, classification=classify(error), component="worker", now=NOW)


def _raised(depth: int = 0) -> Exception:
    try:
        if depth:
            raise ValueError(f"level {depth}") from _raised(depth - 1)
        raise KeyError("the first cause")
    except (ValueError, KeyError) as error:
        return error


def test_ids_tell_the_second_and_are_never_the_same() -> None:
    ids = {_described(ValueError()).error_id for _ in range(1_000)}

    assert len(ids) == 1_000
    assert all(re.fullmatch(r"err_20260107_100005_[0-9]+", error_id) for error_id in ids)


def test_it_says_what_happened_and_where() -> None:
    record = _described(_raised(1), repository="acme/cashbox")

    assert (record.error_type, record.message, record.pattern) == ("ValueError", "level 1", "validation:ValueError")
    assert record.context == {"repository": "acme/cashbox"}
    assert record.traceback.index("the first cause") < record.traceback.index("ValueError: level 1")
    assert "in _raised" in record.traceback


def test_our_own_errors_keep_their_code_and_context() -> None:
    assert _described(InvalidInputError("no", fields={})).code == "invalid"
    assert _described(SystemError("no", context={"a": 1, "b": 1}), b=2).context == {"a": 1, "b": 2}
    assert _described(ValueError()).code is None


def test_it_is_bounded() -> None:
    record = _described(_raised(200))

    assert record.traceback.count("which led to") == 4
    assert len(_described(ValueError("x" * 1_000_000)).message) == 4_000
    assert len(_described(ValueError("x" * 1_000_000)).traceback) <= 16_000


def test_an_error_without_text_is_called_by_its_type() -> None:
    assert _described(TimeoutError()).message == "TimeoutError"


def test_values_that_libraries_put_into_messages_are_not_kept() -> None:
    refused = IntegrityError("INSERT INTO people VALUES (?)", {"x": "hunter2"}, sqlite3.IntegrityError("UNIQUE failed"))
    given = ["hunter2"]
    with pytest.raises(pydantic.ValidationError) as caught:
        pydantic.TypeAdapter(list[int]).validate_python(given)

    assert _described(refused).message == "UNIQUE failed"
    assert _described(caught.value).message.startswith("0: Input should be a valid integer")
    for error in (refused, caught.value):
        assert "hunter2" not in _described(error).traceback


def test_names_are_one_line() -> None:
    error = type("Two\nLines", (Exception,), {})()

    record = describe(error, {}, classification=classify(error), component="worker\nerror_id=forged", now=NOW)

    assert (record.error_type, record.component) == ("Two Lines", "worker error_id=forged")


def test_a_secret_in_the_text_is_left_out_of_message_and_traceback() -> None:
    record = _described(RuntimeError("cannot reach https://mona:hunter2@acme.example"))

    assert "hunter2" not in record.message + record.traceback
