"""What the routes of the API have in common: who may ask is settled first, then the body is read, within bounds."""

import json
import math
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NoReturn

from fastapi import APIRouter, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from contexten.server.auth import require_access
from contexten.server.problems import Problem
from contexten_core.errors import InvalidInputError, PayloadTooLargeError, UnsupportedContentTypeError

LARGEST_BODY = 1_000_000
_LONGEST_INTEGER = 40
_BEYOND = 10**_LONGEST_INTEGER

_BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="`contexten tokens create NAME` makes one. In development, reading from the same machine needs none.",
)
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "The request cannot be answered as it is."},
    "5XX": {"model": Problem, "description": "The server could not answer, or not in time."},
}


def api_router(prefix: str, tag: str, *, dependencies: Sequence[Any] = ()) -> APIRouter:
    """Return a router whose prefix is the whole path, so that a route's own path says everything."""
    return APIRouter(
        prefix=prefix,
        tags=[tag],
        route_class=GuardedRoute,
        responses=_PROBLEMS,
        dependencies=[Security(_BEARER), *dependencies],
    )


class GuardedRoute(APIRoute):
    """A route that asks for access before anything else, and takes JSON of at most `LARGEST_BODY` bytes."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        takes_body = self.body_field is not None

        async def answer(request: Request) -> Response:
            await require_access(request)
            return await handle(await _JSONRequest.read(request) if takes_body else request)

        return answer


class _JSONRequest(Request):
    """A request whose body has been read and parsed."""

    parsed: Any = None

    @classmethod
    async def read(cls, request: Request) -> "_JSONRequest":
        """Read a body as it arrives.

        Raises:
            PayloadTooLargeError: as soon as it is announced or found to be over the limit.
            UnsupportedContentTypeError: it does not say that it is JSON.
            InvalidInputError: it is not.
        """
        found = cls(request.scope, request.receive)
        found._body = await _read(request)
        if found._body:
            _must_be_json(request)
            found.parsed = _parse(found._body)
        return found

    async def json(self) -> Any:
        return self.parsed


async def _read(request: Request) -> bytes:
    error = PayloadTooLargeError(f"the body is larger than {LARGEST_BODY} bytes", hint="send less at once")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:_LONGEST_INTEGER]) > LARGEST_BODY:
        raise error
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise error
    return bytes(body)


def _must_be_json(request: Request) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedContentTypeError(
            "the body is not JSON, by its own word", hint="Content-Type: application/json"
        )


def _parse(body: bytes) -> Any:
    """Parse JSON; an integer of any length stays an integer, for the field that it is given to to refuse."""
    try:
        return json.loads(body.decode(), parse_int=_integer, parse_float=_finite, parse_constant=_refuse)
    except UnicodeDecodeError:
        reason = "not UTF-8"
    except RecursionError:
        reason = "nested too deep"
    except ValueError as error:
        reason = f"not JSON: {error}"[:200]
    raise InvalidInputError(f"body: {reason}", fields={"body": reason})


def _integer(text: str) -> int:
    return int(text) if len(text) <= _LONGEST_INTEGER else -_BEYOND if text.startswith("-") else _BEYOND


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text[:_LONGEST_INTEGER])


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number that JSON has")
