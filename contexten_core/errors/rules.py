"""What each type of error means. The most specific class of an error that is found here decides.

A rule is a `Classification`, or a function of the error and its context that returns one; or another error to judge
instead (what a wrapper wraps); or None when the structure says nothing.
"""

import asyncio
import errno
import http.client
import json
import socket
import sqlite3
import ssl
import subprocess
import urllib.error
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor
from typing import Any

import httpx
import pydantic
from sqlalchemy import exc

from contexten_core.errors import base, classified
from contexten_core.errors import classification as kinds
from contexten_core.errors.classification import Classification
from contexten_core.errors.http_status import answer_of, judge_status
from contexten_core.errors.kinds import ErrorCategory, ErrorSeverity
from contexten_core.errors.rules_database import judge_driver, judge_statement
from contexten_core.errors.words import judge_words

Context = Mapping[str, Any]
Verdict = Classification | BaseException | None
Rule = Classification | Callable[[Any, Context], Verdict]

_SILENT = frozenset({ErrorCategory.EXTERNAL_SERVICE, ErrorCategory.DATABASE})
_TOLD_BY = ("url", "host", "service", "database", "component")

_SLACK_REFUSED_TOKEN = frozenset(
    {
        "access_denied",
        "account_inactive",
        "ekm_access_denied",
        "invalid_auth",
        "missing_scope",
        "no_permission",
        "not_allowed_token_type",
        "not_authed",
        "org_login_required",
        "token_expired",
        "token_revoked",
        "two_factor_setup_required",
    }
)
_SLACK_AWAY = frozenset(
    {"fatal_error", "internal_error", "ratelimited", "rate_limited", "request_timeout", "service_unavailable"}
)

_ERRNOS: Mapping[int, Classification] = {
    errno.EACCES: kinds.SECURITY,
    errno.EPERM: kinds.SECURITY,
    errno.ENOSPC: kinds.MACHINE,
    errno.EDQUOT: kinds.MACHINE,
    errno.EROFS: kinds.MACHINE,
    errno.EIO: kinds.MACHINE,
    errno.EMFILE: kinds.BUSY_MACHINE,
    errno.ENFILE: kinds.BUSY_MACHINE,
    errno.EAGAIN: kinds.BUSY_MACHINE,
    errno.EBUSY: kinds.BUSY_MACHINE,
    errno.ENOMEM: kinds.OUT_OF_MEMORY,
    errno.ENETDOWN: kinds.SERVICE_AWAY,
    errno.ENETUNREACH: kinds.SERVICE_AWAY,
    errno.EHOSTDOWN: kinds.SERVICE_AWAY,
    errno.EHOSTUNREACH: kinds.SERVICE_AWAY,
}


def verdict_of(error: BaseException, context: Context) -> Verdict:
    """Return what the error's type and structure say, or None when they say nothing."""
    for kind in type(error).__mro__:
        rule = _BY_TYPE.get(kind) or _BY_NAME.get(f"{kind.__module__}.{kind.__qualname__}")
        if isinstance(rule, Classification):
            return rule
        if rule is not None and (verdict := rule(error, context)) is not None:
            return verdict
    answer = answer_of(error)
    return None if answer is None else judge_status(*answer)


def _by_itself(error: classified.SystemError, _: Context) -> Verdict:
    return Classification(ErrorCategory(error.category), ErrorSeverity(error.severity), error.recoverable)


def _as_it_says(kind: Classification) -> Rule:
    return lambda error, _: kind.but(recoverable=error.transient)


def _by_cause(error: base.ContextenError, _: Context) -> Verdict:
    return error.__cause__ or kinds.UNKNOWN.but(recoverable=error.transient)


def _call_that_failed(error: base.ContextenError, context: Context) -> Verdict:
    """Judge a failed call: passing trouble is the service's, a refusal is between the two of us."""
    cause = None if error.__cause__ is None else verdict_of(error.__cause__, context)
    if isinstance(cause, Classification) and cause.category is ErrorCategory.SECURITY:
        return kinds.SECURITY.but(recoverable=error.transient)
    return kinds.SERVICE_AWAY if error.transient else kinds.INTEGRATION


def _no_answer(otherwise: Classification) -> Rule:
    """Judge a timeout or a broken connection by what it was raised from, or by what it or the context names."""

    def judge(error: BaseException, context: Context) -> Verdict:
        cause = error.__cause__
        if cause is not None and not isinstance(cause, asyncio.CancelledError):
            return cause
        told = (context.get(key) for key in _TOLD_BY)
        texts = [str(error), *(text for text in told if isinstance(text, str))]
        found = (judge_words(f"timeout {text}" if isinstance(error, TimeoutError) else text) for text in texts if text)
        return next((kind.but(recoverable=True) for kind in found if kind and kind.category in _SILENT), otherwise)

    return judge


def _by_errno(error: OSError, _: Context) -> Verdict:
    return None if error.errno is None else _ERRNOS.get(error.errno, kinds.UNKNOWN)


def _by_answer(error: BaseException, _: Context) -> Verdict:
    answer = answer_of(error)
    return kinds.INTEGRATION if answer is None else judge_status(*answer)


def _github_request(error: Any, _: Context) -> Verdict:
    return error.exc if isinstance(error.exc, httpx.HTTPError) else kinds.SERVICE_AWAY


def _urllib(error: urllib.error.URLError, _: Context) -> Verdict:
    if isinstance(error, urllib.error.HTTPError):
        return judge_status(error.code, {name.lower(): value for name, value in (error.headers or {}).items()})
    return error.reason if isinstance(error.reason, BaseException) else kinds.SERVICE_AWAY


def _slack(error: Any, context: Context) -> Verdict:
    said = error.response.get("error") if hasattr(error.response, "get") else None
    if said in _SLACK_AWAY:
        return kinds.SERVICE_AWAY
    if said in _SLACK_REFUSED_TOKEN:
        return kinds.SECURITY
    return _by_answer(error, context)


_BY_TYPE: Mapping[type, Rule] = {
    classified.SystemError: _by_itself,
    base.ContextenError: _by_cause,
    base.AddressNotAllowedError: kinds.SECURITY,
    base.ConfigurationError: kinds.BUG,
    base.ConflictError: _as_it_says(kinds.USER_INPUT),
    base.ExecutionError: _as_it_says(kinds.UNKNOWN),
    base.GitError: _call_that_failed,
    base.InvalidInputError: kinds.USER_INPUT,
    base.LeaseLostError: kinds.STOPPED,
    base.MalformedPayloadError: kinds.USER_INPUT,
    base.NotConfiguredError: kinds.NOT_SET_UP,
    base.NotFoundError: kinds.USER_INPUT,
    base.OperationTimeoutError: kinds.TOO_SLOW,
    base.OutboundError: _call_that_failed,
    base.OverloadedError: kinds.OVERLOADED,
    base.PayloadTooLargeError: kinds.USER_INPUT,
    base.RateLimitedError: kinds.OVERLOADED,
    base.SignatureError: kinds.SECURITY,
    base.StackError: _as_it_says(kinds.MACHINE),
    base.UnknownFlowError: kinds.USER_INPUT,
    base.UnsupportedContentTypeError: kinds.USER_INPUT,
    exc.SQLAlchemyError: kinds.DATABASE_STATEMENT,
    exc.StatementError: lambda error, _: judge_statement(error),
    exc.TimeoutError: kinds.DATABASE_EXHAUSTED,
    exc.DisconnectionError: kinds.DATABASE_DOWN,
    exc.NoResultFound: kinds.DATABASE_DATA,
    exc.MultipleResultsFound: kinds.DATABASE_DATA,
    sqlite3.Error: lambda error, _: judge_driver(error),
    httpx.HTTPStatusError: _by_answer,
    httpx.TransportError: kinds.SERVICE_AWAY,
    httpx.UnsupportedProtocol: kinds.INTEGRATION,
    httpx.LocalProtocolError: kinds.INTEGRATION,
    httpx.RequestError: kinds.INTEGRATION,
    httpx.InvalidURL: kinds.VALIDATION,
    http.client.HTTPException: kinds.SERVICE_AWAY,
    urllib.error.URLError: _urllib,
    ssl.SSLCertVerificationError: kinds.SECURITY,
    ssl.SSLError: kinds.SERVICE_WRONG,
    socket.gaierror: kinds.SERVICE_AWAY,
    socket.herror: kinds.SERVICE_AWAY,
    ConnectionError: _no_answer(kinds.SERVICE_AWAY),
    TimeoutError: _no_answer(kinds.TOO_SLOW),
    asyncio.IncompleteReadError: kinds.SERVICE_AWAY,
    asyncio.QueueFull: kinds.OVERLOADED,
    subprocess.TimeoutExpired: kinds.COMMAND_TOO_SLOW,
    subprocess.SubprocessError: kinds.UNKNOWN,
    BrokenExecutor: kinds.BUG,
    PermissionError: kinds.SECURITY,
    OSError: _by_errno,
    MemoryError: kinds.OUT_OF_MEMORY,
    pydantic.ValidationError: kinds.VALIDATION,
    json.JSONDecodeError: kinds.VALIDATION,
    ValueError: kinds.VALIDATION,
    TypeError: kinds.VALIDATION,
    LookupError: kinds.VALIDATION,
    ArithmeticError: kinds.VALIDATION,
    AssertionError: kinds.BUG,
    AttributeError: kinds.BUG,
    NameError: kinds.BUG,
    ImportError: kinds.BUG,
    SyntaxError: kinds.BUG,
    NotImplementedError: kinds.BUG,
    RecursionError: kinds.BUG,
    SystemError: kinds.MACHINE,
    asyncio.CancelledError: kinds.STOPPED,
    KeyboardInterrupt: kinds.STOPPED,
    SystemExit: kinds.STOPPED,
}

# By name, because importing these costs half a second that a process without GitHub or Slack need not pay.
_BY_NAME: Mapping[str, Rule] = {
    "psycopg.Error": lambda error, _: judge_driver(error),
    "githubkit.exception.GitHubException": kinds.INTEGRATION,
    "githubkit.exception.AuthCredentialError": kinds.SECURITY,
    "githubkit.exception.AuthExpiredError": kinds.SECURITY,
    "githubkit.exception.RateLimitExceeded": kinds.SERVICE_AWAY,
    "githubkit.exception.RequestError": _github_request,
    "githubkit.exception.RequestFailed": _by_answer,
    "githubkit.exception.RequestTimeout": kinds.SERVICE_AWAY,
    "githubkit.exception.WebhookTypeNotFound": kinds.USER_INPUT,
    "slack_sdk.errors.SlackClientError": kinds.INTEGRATION,
    "slack_sdk.errors.SlackApiError": _slack,
    "slack_sdk.errors.BotUserAccessError": kinds.SECURITY,
    "slack_sdk.errors.SlackTokenRotationError": kinds.SECURITY,
    "slack_sdk.errors.SlackClientNotConnectedError": kinds.SERVICE_AWAY,
    "cryptography.exceptions.InvalidSignature": kinds.SECURITY,
    "cryptography.fernet.InvalidToken": kinds.SECURITY,
}
