import sqlite3

import httpx
import pytest
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError, OperationalError, ProgrammingError

from contexten_core.errors import ContextenError, GitError, OutboundError, UnavailableError, is_transient
from contexten_core.errors import base as errors

REQUEST = httpx.Request("POST", "https://api.github.com/")
CAUSE = sqlite3.Error("database is locked")


def _answered(status: int) -> httpx.HTTPStatusError:
    return httpx.HTTPStatusError("", request=REQUEST, response=httpx.Response(status, request=REQUEST))


@pytest.mark.parametrize("error", [GitError, UnavailableError, OutboundError, ContextenError])
@pytest.mark.parametrize("transient", [True, False])
def test_our_errors_know_it_themselves(error: type[ContextenError], *, transient: bool) -> None:
    assert is_transient(error("the network is away", transient=transient)) is transient


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("SELECT 1", {}, CAUSE),
        InterfaceError("SELECT 1", {}, CAUSE),
        ProgrammingError("SELECT 1", {}, CAUSE, connection_invalidated=True),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("too slow"),
        httpx.RemoteProtocolError("hung up"),
        _answered(429),
        _answered(500),
        _answered(503),
        TimeoutError(),
        ConnectionResetError(),
        BrokenPipeError(),
    ],
    ids=repr,
)
def test_what_may_pass_by_itself(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        IntegrityError("INSERT", {}, CAUSE),
        DataError("INSERT", {}, CAUSE),
        ProgrammingError("SELEKT 1", {}, CAUSE),
        httpx.InvalidURL("no"),
        _answered(401),
        _answered(404),
        ValueError("timeout: connection refused, try again later"),
        FileNotFoundError("git"),
        RecursionError(),
        KeyboardInterrupt(),
    ],
    ids=repr,
)
def test_what_stays_until_somebody_changes_something(error: BaseException) -> None:
    assert not is_transient(error)


def test_every_error_has_a_code_of_its_own_and_a_status() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ContextenError)]

    assert len({kind.code for kind in kinds}) == len(kinds)
    assert all(400 <= kind.status < 600 for kind in kinds)


def test_an_error_tells_what_happened_and_what_to_do() -> None:
    error = GitError("the commit is gone", hint="push it again", transient=True)

    assert str(error) == "the commit is gone"
    assert error.as_dict() == {
        "code": "git",
        "message": "the commit is gone",
        "hint": "push it again",
        "transient": True,
    }
