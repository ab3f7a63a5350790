"""Every error as one JSON shape: code, message, hint."""

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from contexten_core.errors import ContextenError, UnavailableError

logger = logging.getLogger(__name__)

_RETRY_AFTER_SECONDS = 5


def problem(error: ContextenError) -> JSONResponse:
    headers = {"Retry-After": str(_RETRY_AFTER_SECONDS)} if error.status == UnavailableError.status else None
    body = {"code": error.code, "message": error.message, "hint": error.hint}
    return JSONResponse(body, status_code=error.status, headers=headers)


def install_problem_handlers(app: FastAPI) -> None:
    @app.exception_handler(ContextenError)
    async def ours(request: Request, error: ContextenError) -> JSONResponse:  # noqa: ARG001 - FastAPI's shape
        return problem(error)

    @app.exception_handler(SQLAlchemyError)
    async def database(request: Request, error: SQLAlchemyError) -> JSONResponse:
        logger.error("%s %s: the database failed: %s", request.method, request.url.path, error)
        return problem(UnavailableError("the database does not answer", hint="try again; nothing was stored"))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:  # noqa: ARG001 - FastAPI's shape
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        body = {"code": "invalid", "message": f"{place}: {first['msg']}", "hint": None}
        return JSONResponse(body, status_code=422)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        message = f"{request.method} {request.url.path}: {error.detail}"
        body = {"code": f"http_{error.status_code}", "message": message, "hint": None}
        return JSONResponse(body, status_code=error.status_code, headers=error.headers)
