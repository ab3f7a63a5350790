"""What every request is held to: an id, a place among the others, a time, headers; and how long it took."""

import asyncio
import logging
import re
import time
from collections.abc import Sequence
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contexten.server.auth import AccessDeniedError
from contexten.server.metrics import Metrics
from contexten.server.problems import LOOK_FIRST, READING, REQUEST_ID, internal_problem, problem
from contexten_core.errors import OperationTimeoutError, OverloadedError
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.settings import Settings

logger = logging.getLogger(__name__)

_SANE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_ABORTED = 499
_SERVER_ERROR = 500


class WatchMiddleware:
    """Gives each request an id, measures it, and answers for what nobody expected."""

    def __init__(self, app: ASGIApp, *, orchestrator: SystemOrchestrator, metrics: Metrics) -> None:
        self.app = app
        self.orchestrator = orchestrator
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        token = REQUEST_ID.set(given if _SANE_ID.fullmatch(given) else uuid4().hex)
        try:
            await self._answer(scope, receive, send)
        finally:
            REQUEST_ID.reset(token)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, status = time.perf_counter(), _ABORTED
        failure: Exception | None = None

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _complete(MutableHeaders(scope=message), status)
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except ClientDisconnect:
            logger.info("[%s] the client left before it had sent its request", REQUEST_ID.get())
        except Exception as error:  # noqa: BLE001 - here every failure is recorded
            failure, begun = error, status != _ABORTED
            status = _SERVER_ERROR
            if not begun:
                await internal_problem(scope["method"])(scope, receive, sending)
        finally:
            self._measure(scope, time.perf_counter() - started, status)
        if failure is not None:
            await self._record(scope, failure)
            if begun:
                raise failure

    async def _record(self, scope: Scope, error: Exception) -> None:
        logger.error("[%s] %s failed", REQUEST_ID.get(), _operation(scope), exc_info=error)
        context = {"operation_name": _operation(scope), "request_id": REQUEST_ID.get()}
        try:
            await self.orchestrator.error_handler.record(error, context=context, component="api")
        except Exception:
            logger.exception("[%s] the error could not be recorded", REQUEST_ID.get())

    def _measure(self, scope: Scope, seconds: float, status: int) -> None:
        self.metrics.observe(method=_method(scope), route=_route(scope), status=status, seconds=seconds)
        if self.orchestrator.performance_monitor is not None:
            self.orchestrator.performance_monitor.record(_operation(scope), seconds, success=status < _SERVER_ERROR)


class LimitMiddleware:
    """Lets at most `max_concurrent_operations` requests in, each for at most `response_timeout_seconds`.

    Requests for the `exempt` routes, outside of `/api/`, pass at any time: an acknowledged delivery depends on nothing
    else, and health is asked for when things go badly.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings, exempt: Sequence[BaseRoute]) -> None:
        self.app = app
        self.settings = settings
        given = [route for route in exempt if isinstance(route, Route)]
        self._exempt_paths = frozenset(route.path for route in given if not route.param_convertors)
        self._exempt_patterns = [route.path_regex for route in given if route.param_convertors]
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_exempt(scope):
            await self.app(scope, receive, send)
            return
        most = self.settings.max_concurrent_operations
        if self._in_flight >= most:
            hint = "try again in a moment; MAX_CONCURRENT_OPERATIONS is the limit"
            error = OverloadedError(f"{most} requests are being answered already", hint=hint, transient=True)
            await problem(error)(scope, receive, send)
            return
        self._in_flight += 1
        try:
            await self._within_time(scope, receive, send)
        finally:
            self._in_flight -= 1

    async def _within_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        seconds = self.settings.response_timeout_seconds
        answered = False

        async def sending(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                if not limit.expired():
                    limit.reschedule(None)
            await send(message)

        try:
            async with asyncio.timeout(seconds) as limit:
                await self.app(scope, receive, sending)
        except TimeoutError:
            if answered or not limit.expired():
                raise
            hint = "RESPONSE_TIMEOUT_SECONDS is the limit" if scope["method"] in READING else LOOK_FIRST
            error = OperationTimeoutError(f"this took longer than {seconds:g} s", hint=hint, transient=True)
            await problem(error)(scope, receive, send)

    def _is_exempt(self, scope: Scope) -> bool:
        path: str = scope["path"]
        if path in self._exempt_paths:
            return True
        return not path.startswith("/api/") and any(pattern.match(path) for pattern in self._exempt_patterns)


def _complete(headers: MutableHeaders, status: int) -> None:
    headers["X-Request-ID"] = REQUEST_ID.get()
    content_type = headers.get("content-type", "")
    if content_type.startswith("application/json"):
        headers.setdefault("X-Content-Type-Options", "nosniff")
        headers.setdefault("Cache-Control", "no-store")
    elif status == AccessDeniedError.status and content_type.startswith("text/html"):
        headers.setdefault("WWW-Authenticate", "Bearer")


def _operation(scope: Scope) -> str:
    return f"{_method(scope)} {_route(scope)}"


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in _METHODS else "OTHER"


def _route(scope: Scope) -> str:
    """Return the route's template, so that there are no more operations than routes."""
    return str(getattr(scope.get("route"), "path", "(none)"))
