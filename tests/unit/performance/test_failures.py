"""Only kinds of errors are kept, never what they say."""

import pytest

from contexten_core.performance.failures import Failures


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError("secret"), "TimeoutError"),
        ("httpx.ConnectError: no route", "httpx.ConnectError"),
        ("ValueError", "ValueError"),
        ("the password is hunter2", "error"),
        ("", "error"),
    ],
)
def test_the_kind_of_an_error(error: BaseException | str, kind: str) -> None:
    failures = Failures()
    failures.add("push", error)
    assert failures.commonest() == {"push": kind}


def test_the_commonest_kind_is_told() -> None:
    failures = Failures()
    for error in ("ValueError", "KeyError", "ValueError"):
        failures.add("push", error)
    failures.add("pull", "OSError")
    assert failures.commonest() == {"push": "ValueError", "pull": "OSError"}


def test_endlessly_many_kinds_are_not_kept() -> None:
    failures = Failures()
    for number in range(1_000):
        failures.add("push", f"Error{number}")
    assert len(failures._counts["push"]) == 20
