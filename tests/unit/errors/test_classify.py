import asyncio
import errno
import json
import socket
import sqlite3
import ssl
import subprocess
import urllib.error
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from datetime import timedelta
from email.message import Message
from typing import Any, cast

import githubkit.exception as github
import httpx
import psycopg
import pydantic
import pytest
import slack_sdk.errors as slack
from cryptography.exceptions import InvalidSignature
from cryptography.fernet import InvalidToken
from githubkit.response import Response
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import exc
from sqlalchemy.orm.exc import StaleDataError

from contexten_core import errors
from contexten_core.errors import (
    ContextenError,
    ErrorCategory,
    ErrorSeverity,
    OutboundError,
    RecoverableError,
    SystemError,  # noqa: A004
    UnavailableError,
)
from contexten_core.errors.classify import Classification, classify
from contexten_core.execution.git_errors import UnknownRefError

TALKING = "Connection timeout talking to api.github.com"
REQUEST = httpx.Request("GET", "https://api.github.com/user")

C, S = ErrorCategory, ErrorSeverity


def _answered(status: int, **headers: str) -> httpx.HTTPStatusError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.HTTPStatusError("", request=REQUEST, response=httpx.Response(status, headers=named, request=REQUEST))


def _github(status: int) -> Response[Any]:
    return Response(httpx.Response(status, request=REQUEST), dict)


def _sqlite(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("no")
    error.sqlite_errorcode = code
    return error


def _wrapped(error: Exception) -> exc.DBAPIError:
    return exc.DBAPIError("SELECT 1", {}, error)


def _slack(said: str, status: int = 200) -> slack.SlackApiError:
    class Answer(dict[str, Any]):
        status_code = status
        headers: dict[str, str] = {}  # noqa: RUF012

    return slack.SlackApiError("The request to the Slack API failed.", Answer(ok=False, error=said))  # type: ignore[no-untyped-call]


def _from(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


def _pydantic() -> pydantic.ValidationError:
    with pytest.raises(pydantic.ValidationError) as caught:
        pydantic.TypeAdapter(int).validate_python("x")
    return caught.value


@pytest.mark.parametrize(
    "kind", [Exception, RuntimeError, OSError, TimeoutError, ConnectionError, ConnectionResetError]
)
def test_a_timeout_of_a_service_is_the_services_never_the_databases(kind: type[Exception]) -> None:
    assert classify(kind(TALKING)) == Classification(C.EXTERNAL_SERVICE, S.MEDIUM, recoverable=True)


@pytest.mark.parametrize(
    ("error", "category", "severity", "recoverable"),
    [
        # what says it itself
        (SystemError("x"), C.SYSTEM, S.MEDIUM, True),
        (SystemError("x", C.SECURITY, S.CRITICAL, recoverable=False), C.SECURITY, S.CRITICAL, False),
        (RecoverableError("x", "api_timeout", category=C.DATABASE), C.DATABASE, S.MEDIUM, True),
        # our own
        (errors.SignatureError("no"), C.SECURITY, S.HIGH, False),
        (errors.InvalidInputError("no", fields={}), C.USER_INPUT, S.LOW, False),
        (errors.NotFoundError("no"), C.USER_INPUT, S.LOW, False),
        (errors.TransitionError("no"), C.USER_INPUT, S.LOW, False),
        (errors.MalformedPayloadError("no"), C.USER_INPUT, S.LOW, False),
        (errors.ConfigurationError("no"), C.SYSTEM, S.HIGH, False),
        (errors.NotConfiguredError("no"), C.INTEGRATION, S.LOW, False),
        (errors.OverloadedError("no"), C.PERFORMANCE, S.HIGH, True),
        (errors.OperationTimeoutError("no"), C.PERFORMANCE, S.MEDIUM, True),
        (errors.LeaseLostError("no"), C.SYSTEM, S.LOW, False),
        (errors.StackError("no"), C.SYSTEM, S.CRITICAL, False),
        (UnknownRefError("no"), C.INTEGRATION, S.MEDIUM, False),
        (errors.GitError("no", transient=True), C.EXTERNAL_SERVICE, S.MEDIUM, True),
        (OutboundError("no", transient=True), C.EXTERNAL_SERVICE, S.MEDIUM, True),
        (OutboundError("no"), C.INTEGRATION, S.MEDIUM, False),
        (_from(OutboundError("no"), _answered(401)), C.SECURITY, S.HIGH, False),
        (ContextenError("no", transient=True), C.SYSTEM, S.MEDIUM, True),
        (UnavailableError("no"), C.SYSTEM, S.MEDIUM, False),
        (_from(UnavailableError("no"), psycopg.OperationalError("refused")), C.DATABASE, S.CRITICAL, True),
        # databases
        (psycopg.OperationalError("connection refused"), C.DATABASE, S.CRITICAL, True),
        (psycopg.errors.AdminShutdown(), C.DATABASE, S.CRITICAL, True),
        (psycopg.errors.DeadlockDetected(), C.DATABASE, S.MEDIUM, True),
        (psycopg.errors.SerializationFailure(), C.DATABASE, S.MEDIUM, True),
        (psycopg.errors.QueryCanceled(), C.DATABASE, S.MEDIUM, True),
        (psycopg.errors.UniqueViolation(), C.DATABASE, S.MEDIUM, False),
        (psycopg.errors.NumericValueOutOfRange(), C.DATABASE, S.MEDIUM, False),
        (psycopg.errors.UndefinedTable(), C.DATABASE, S.HIGH, False),
        (psycopg.errors.InvalidPassword(), C.DATABASE, S.CRITICAL, False),
        (psycopg.errors.DataCorrupted(), C.DATABASE, S.CRITICAL, False),
        (sqlite3.OperationalError("unable to open database file"), C.DATABASE, S.CRITICAL, True),
        (_sqlite(sqlite3.SQLITE_BUSY), C.DATABASE, S.MEDIUM, True),
        (_sqlite(sqlite3.SQLITE_BUSY_SNAPSHOT), C.DATABASE, S.MEDIUM, True),
        (_sqlite(sqlite3.SQLITE_ERROR), C.DATABASE, S.HIGH, False),
        (_sqlite(sqlite3.SQLITE_CORRUPT), C.DATABASE, S.CRITICAL, False),
        (sqlite3.IntegrityError("no"), C.DATABASE, S.MEDIUM, False),
        (_wrapped(psycopg.errors.UniqueViolation()), C.DATABASE, S.MEDIUM, False),
        (_wrapped(_sqlite(sqlite3.SQLITE_LOCKED)), C.DATABASE, S.MEDIUM, True),
        (exc.OperationalError("SELECT 1", {}, sqlite3.Error(TALKING)), C.DATABASE, S.CRITICAL, True),
        (
            exc.DBAPIError("SELECT 1", {}, sqlite3.Error(), connection_invalidated=True),
            C.DATABASE,
            S.CRITICAL,
            True,
        ),
        (exc.StatementError("no", "SELECT 1", {}, ValueError("no time zone")), C.VALIDATION, S.LOW, False),
        (exc.TimeoutError("QueuePool limit reached"), C.DATABASE, S.HIGH, True),
        (exc.NoResultFound(), C.DATABASE, S.MEDIUM, False),
        (StaleDataError(), C.DATABASE, S.HIGH, False),
        # services
        (httpx.ConnectTimeout(""), C.EXTERNAL_SERVICE, S.MEDIUM, True),
        (httpx.ConnectError("database is down"), C.EXTERNAL_SERVICE, S.MEDIUM, True),
        (httpx.TooManyRedirects(""), C.INTEGRATION, S.MEDIUM, False),
        (httpx.UnsupportedProtocol(""), C.INTEGRATION, S.MEDIUM, False),
        (httpx.InvalidURL("no"), C.VALIDATION, S.LOW, False),
        (_answered(503), C.EXTERNAL_SERVICE, S.MEDIUM, True),
        (_answered(429), C.EXTERNAL_SERVICE, S.MEDIUM, True),
        (_answered(408), C.EXTERNAL_SERVICE, S.MEDIUM, True),
        (_answered(403), C.SECURITY, S.HIGH, False),
        (_answered(403, X_RateLimit_Remaining="0"), C.EXTERNAL_SERVICE, S.MEDIUM, True),
        (_answered(401), C.SECURITY, S.HIGH, False),
        (_answered(404), C.INTEGRATION, S.MEDIUM, False),
        (github.RequestFailed(_github(502)), C.EXTERNAL_SERVICE, S.MEDIUM, True),
        (github.RequestFailed(_github(422)), C.INTEGRATION, S.MEDIUM, False),
        (github.RequestFailed(_github(401)), C.SECURITY, S.HIGH, False),
        (github.RateLimitExceeded(_github(403), timedelta(seconds=3)), C.EXTERNAL_SERVICE, S.MEDIUM, True),
        (github.RequestTimeout(httpx.ReadTimeout("")), C.EXTERNAL_SERVICE, S.MEDIUM, True),
        (github.RequestError(httpx.ConnectError("")), C.EXTERNAL_SERVICE, S.MEDIUM, True),
        (github.AuthExpiredError(), C.SECURITY, S.HIGH, False),
        (github.GraphQLError(), C.INTEGRATION, S.MEDIUM, False),
        (_slack("channel_not_found"), C.INTEGRATION, S.MEDIUM, False),
        (_slack("ratelimited", 429), C.EXTERNAL_SERVICE, S.MEDIUM, True),
        (_slack("invalid_auth"), C.SECURITY, S.HIGH, False),
        (_slack("unheard_of", 500), C.EXTERNAL_SERVICE, S.MEDIUM, True),
        (slack.SlackRequestError("no"), C.INTEGRATION, S.MEDIUM, False),
        (urllib.error.HTTPError("https://x.example", 503, "", Message(), None), C.EXTERNAL_SERVICE, S.MEDIUM, True),
        (urllib.error.URLError(socket.gaierror(-2, "unknown")), C.EXTERNAL_SERVICE, S.MEDIUM, True),
        (urllib.error.URLError(ssl.SSLCertVerificationError()), C.SECURITY, S.HIGH, False),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), C.EXTERNAL_SERVICE, S.MEDIUM, True),
        (ssl.SSLCertVerificationError("self-signed"), C.SECURITY, S.HIGH, False),
        (ssl.SSLError("handshake"), C.EXTERNAL_SERVICE, S.MEDIUM, False),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), C.EXTERNAL_SERVICE, S.MEDIUM, True),
        (BrokenPipeError(), C.EXTERNAL_SERVICE, S.MEDIUM, True),
        (asyncio.IncompleteReadError(b"", 3), C.EXTERNAL_SERVICE, S.MEDIUM, True),
        # time and memory
        (TimeoutError(), C.PERFORMANCE, S.MEDIUM, True),
        (TimeoutError("it took too long"), C.PERFORMANCE, S.MEDIUM, True),
        (TimeoutError("the database did not answer"), C.DATABASE, S.HIGH, True),
        (TimeoutError("no valid token came"), C.PERFORMANCE, S.MEDIUM, True),
        (_from(TimeoutError(), asyncio.CancelledError()), C.PERFORMANCE, S.MEDIUM, True),
        (_from(TimeoutError(), httpx.ReadTimeout("")), C.EXTERNAL_SERVICE, S.MEDIUM, True),
        (ConnectionError("the database closed the connection"), C.DATABASE, S.HIGH, True),
        (MemoryError(), C.PERFORMANCE, S.CRITICAL, True),
        (asyncio.QueueFull(), C.PERFORMANCE, S.HIGH, True),
        (subprocess.TimeoutExpired("make", 3), C.PERFORMANCE, S.MEDIUM, False),
        # the machine
        (OSError(errno.ENOSPC, "No space left"), C.SYSTEM, S.CRITICAL, False),
        (OSError(errno.EMFILE, "Too many open files"), C.SYSTEM, S.HIGH, True),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), C.EXTERNAL_SERVICE, S.MEDIUM, True),
        (OSError(errno.ENOMEM, "Cannot allocate"), C.PERFORMANCE, S.CRITICAL, True),
        (PermissionError(errno.EACCES, "no"), C.SECURITY, S.HIGH, False),
        (FileNotFoundError(errno.ENOENT, "database"), C.SYSTEM, S.MEDIUM, False),
        (subprocess.CalledProcessError(1, "make"), C.SYSTEM, S.MEDIUM, False),
        (BrokenProcessPool(), C.SYSTEM, S.HIGH, False),
        (InvalidSignature(), C.SECURITY, S.HIGH, False),
        (InvalidToken(), C.SECURITY, S.HIGH, False),
        # values and programs
        (ValueError(TALKING), C.VALIDATION, S.LOW, False),
        (KeyError("database"), C.VALIDATION, S.LOW, False),
        (TypeError("x"), C.VALIDATION, S.LOW, False),
        (ZeroDivisionError(), C.VALIDATION, S.LOW, False),
        (json.JSONDecodeError("x", "", 0), C.VALIDATION, S.LOW, False),
        (UnicodeDecodeError("utf-8", b"", 0, 1, ""), C.VALIDATION, S.LOW, False),
        (_pydantic(), C.VALIDATION, S.LOW, False),
        (AttributeError(TALKING), C.SYSTEM, S.HIGH, False),
        (ModuleNotFoundError("x"), C.SYSTEM, S.HIGH, False),
        (RecursionError(), C.SYSTEM, S.HIGH, False),
        (NotImplementedError("database"), C.SYSTEM, S.HIGH, False),
        (asyncio.CancelledError(), C.SYSTEM, S.LOW, False),
        (KeyboardInterrupt(), C.SYSTEM, S.LOW, False),
        (Exception(), C.SYSTEM, S.MEDIUM, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_type_and_structure_decide(
    error: BaseException, category: ErrorCategory, severity: ErrorSeverity, *, recoverable: bool
) -> None:
    assert classify(error) == Classification(category, severity, recoverable)


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("GitHub webhook signature mismatch", C.SECURITY),
        ("the token has expired", C.SECURITY),
        ("Invalid API token", C.SECURITY),
        ("403 Forbidden", C.SECURITY),
        ("could not connect to database at db.acme.example", C.DATABASE),
        ("Database connection failed", C.DATABASE),
        ("connection pool exhausted", C.DATABASE),
        ("rate limit exceeded", C.EXTERNAL_SERVICE),
        ("Connection refused", C.EXTERNAL_SERVICE),
        ("cannot resolve artifacts.acme.example", C.EXTERNAL_SERVICE),
        ("POST https://hooks.acme.example answered nonsense", C.EXTERNAL_SERVICE),
        ("operation timed out", C.PERFORMANCE),
        ("out of memory", C.PERFORMANCE),
        ("invalid input from the form", C.USER_INPUT),
        ("webhook without a delivery id", C.INTEGRATION),
        ("validation failed: priority", C.VALIDATION),
        ("no module named foo.bar", C.SYSTEM),
        ("unexpected token )", C.SYSTEM),
        ("adbeditor crashed", C.SYSTEM),
        ("", C.SYSTEM),
    ],
)
@pytest.mark.parametrize("kind", [Exception, RuntimeError])
def test_the_text_decides_only_where_the_type_says_nothing(
    kind: type[Exception], text: str, category: ErrorCategory
) -> None:
    class Own(kind):  # type: ignore[misc, valid-type]
        pass

    assert classify(kind(text)).category is category
    assert classify(Own(text)).category is C.SYSTEM


@pytest.mark.parametrize(
    ("text", "recoverable"),
    [
        (TALKING, True),
        ("GitHub answered nonsense", False),
        ("the token has expired because of a timeout", False),
        ("database is locked", True),
        ("wrong SQL", False),
    ],
)
def test_the_text_tells_what_may_pass(text: str, *, recoverable: bool) -> None:
    assert classify(RuntimeError(text)).recoverable is recoverable


def test_a_wrapper_is_judged_by_its_cause() -> None:
    assert classify(_from(RuntimeError("cannot load"), sqlite3.IntegrityError())).category is C.DATABASE
    assert classify(_from(RuntimeError(TALKING), Exception("x"))).category is C.EXTERNAL_SERVICE


def test_the_context_tells_who_was_silent_when_a_timeout_does_not() -> None:
    assert classify(TimeoutError(), {"url": "https://api.linear.app/graphql"}).category is C.EXTERNAL_SERVICE
    assert classify(TimeoutError(), {"service": "database"}).category is C.DATABASE
    assert classify(ValueError(), {"service": "database"}).category is C.VALIDATION


def test_a_response_with_a_status_is_enough_for_libraries_that_we_do_not_know() -> None:
    class Answer:
        status_code = 503

    class StrangersError(Exception):
        response = Answer()

    assert classify(StrangersError()) == Classification(C.EXTERNAL_SERVICE, S.MEDIUM, recoverable=True)


def test_a_group_is_judged_by_its_worst_member_and_recovers_with_all_of_them() -> None:
    inner = ExceptionGroup("inner", [psycopg.OperationalError("down")])

    assert classify(ExceptionGroup("g", [ValueError(), inner])) == Classification(C.DATABASE, S.CRITICAL)
    assert classify(ExceptionGroup("g", [TimeoutError(), inner])).recoverable


def test_a_circle_of_causes_ends() -> None:
    first, second = RuntimeError("first"), RuntimeError("second")
    first.__cause__, second.__cause__ = second, first

    assert classify(first).category is C.SYSTEM


def _raises(*_: object) -> str:
    raise RuntimeError("no")


class _MuteError(Exception):
    __str__ = __repr__ = _raises


class _Snare(httpx.HTTPStatusError):
    def __init__(self) -> None:
        Exception.__init__(self)

    response = property(_raises)


class _EndlessError(RuntimeError):
    @property
    def __cause__(self) -> BaseException:  # type: ignore[override]
        return _EndlessError()


@pytest.mark.parametrize(
    ("make", "category"),
    [
        (_MuteError, C.SYSTEM),
        (_EndlessError, C.SYSTEM),
        (lambda: SystemError("x", cast(ErrorCategory, "nonsense")), C.SYSTEM),
        (_Snare, C.INTEGRATION),
    ],
)
def test_nothing_makes_it_raise(make: Callable[[], Exception], category: ErrorCategory) -> None:
    assert classify(make()) == Classification(category, S.MEDIUM)


@given(st.text())
def test_any_text_will_do(text: str) -> None:
    assert classify(Exception(text)).category in C


def test_a_long_text_is_read_in_no_time() -> None:
    assert classify(Exception("a." * 1_000_000)).category is C.SYSTEM
    assert classify(Exception("token " * 1_000_000)).category is C.SYSTEM
