"""Every error as one JSON shape, with the id of the request that it answers."""

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from starlette.exceptions import HTTPException

from contexten_core.errors import (
    ConflictError,
    ContextenError,
    InvalidInputError,
    RateLimitedError,
    UnavailableError,
    is_transient,
)
from contexten_core.security.text import clean_json, shorten

logger = logging.getLogger(__name__)

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="-")
LOOK_FIRST = "it may have been done all the same; look before you repeat it"
READING = frozenset({"GET", "HEAD", "OPTIONS"})
_AGAIN_LATER = frozenset({429, 503})
_RETRY_AFTER_SECONDS = 5
_MOST_ERRORS = 50
_LONGEST_MESSAGE = 2_000
_CODES = {404: "not_found", 405: "method_not_allowed"}


class FieldProblem(BaseModel):
    field: str
    message: str


class Problem(BaseModel):
    """What went wrong. `detail` repeats `message`; `errors` names each field that was not what it has to be."""

    code: str
    message: str
    hint: str | None
    request_id: str
    detail: str
    errors: list[FieldProblem] | None = None


class RequestIdFilter(logging.Filter):
    """On a log handler, gives each record the `request_id` that it was written under; `-` outside of requests."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = REQUEST_ID.get()
        return True


def problem(error: ContextenError) -> JSONResponse:
    """Return the answer that an error becomes."""
    fields = error.fields if isinstance(error, InvalidInputError) else None
    headers = {}
    if error.code == "access_denied":
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, RateLimitedError):
        headers["Retry-After"] = str(error.retry_after)
    return _answer(error.status, error.code, error.message, hint=error.hint, fields=fields, headers=headers)


def internal_problem(method: str) -> JSONResponse:
    """Return the answer to a request that met a mistake of ours, of which it says nothing."""
    hint = f"the server's log and `/api/errors` have it, as request {REQUEST_ID.get()}"
    if method not in READING:
        hint = f"{LOOK_FIRST}; {hint}"
    return _answer(500, "internal", "something is wrong here, not with the request", hint=hint)


def install_problem_handlers(app: FastAPI) -> None:
    @app.exception_handler(ContextenError)
    async def ours(request: Request, error: ContextenError) -> JSONResponse:  # noqa: ARG001 - FastAPI's shape
        return problem(error)

    @app.exception_handler(SQLAlchemyError)
    async def database(request: Request, error: SQLAlchemyError) -> JSONResponse:
        hint = "try again" if request.method in READING else LOOK_FIRST
        if isinstance(error, IntegrityError):
            logger.warning("[%s] %s %s: %s", REQUEST_ID.get(), request.method, request.url.path, error)
            return problem(ConflictError("this contradicts what is stored, or refers to what is not there"))
        if not is_transient(error):
            raise error
        logger.error("[%s] %s %s: the database failed: %s", REQUEST_ID.get(), request.method, request.url.path, error)
        return problem(UnavailableError("the database does not answer", hint=hint, transient=True))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:  # noqa: ARG001 - FastAPI's shape
        fields = {
            _field(found["loc"]): str(found["msg"]).removeprefix("Value error, ")
            for found in error.errors()[:_MOST_ERRORS]
        }
        message = "; ".join(f"{name}: {text}" for name, text in fields.items())
        return problem(InvalidInputError(message, fields=fields))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        code = _CODES.get(error.status_code, f"http_{error.status_code}")
        message = f"{request.method} {request.url.path}: {error.detail}"
        return _answer(error.status_code, code, message, headers=error.headers)


def _field(place: tuple[str | int, ...]) -> str:
    """Return a field's name without where in the request it was: `("body", "tags", 2)` is `tags.2`."""
    return ".".join(str(part) for part in place[1:]) or str(place[0])


def _answer(
    status: int,
    code: str,
    message: str,
    *,
    hint: str | None = None,
    fields: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    message = shorten(message, _LONGEST_MESSAGE)
    body: dict[str, Any] = {
        "code": code,
        "message": message,
        "hint": hint,
        "request_id": REQUEST_ID.get(),
        "detail": message,
    }
    if fields is not None:
        body["errors"] = [{"field": shorten(name, 200), "message": text} for name, text in fields.items()]
    retry = {"Retry-After": str(_RETRY_AFTER_SECONDS)} if status in _AGAIN_LATER else {}
    return JSONResponse(clean_json(body), status_code=status, headers={**retry, **(headers or {})})
