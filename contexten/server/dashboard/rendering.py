"""Templates, static files, and the headers under which all of it is sent."""

import logging
from collections.abc import Callable, Coroutine
from datetime import datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy.exc import SQLAlchemyError

from contexten.server.dashboard import format as formats
from contexten_core.db import utc_now
from contexten_core.errors import ContextenError, NotFoundError, UnavailableError
from contexten_core.events.history import result_of

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 5
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_HERE = Path(__file__).parent
_MEDIA_TYPES = {"contexten.css": "text/css; charset=utf-8", "favicon.svg": "image/svg+xml"}


class PageRoute(APIRoute):
    """A route whose reader is a person: what goes wrong is a page as well, and every answer has `SECURITY_HEADERS`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                response = await handle(request)
            except ContextenError as error:
                response = _problem(request, error)
            except SQLAlchemyError as error:
                logger.warning("%s: the database failed: %s", request.url.path, error)
                response = _problem(request, UnavailableError("the database does not answer", transient=True))
            response.headers.update(SECURITY_HEADERS)
            return response

        return answer


def render(request: Request, template: str, *, status: int = 200, live: bool = False, **values: Any) -> HTMLResponse:
    """Render a template; a `live` page loads itself again every few seconds unless its reader has paused that."""
    paused = request.query_params.get("refresh") == "off"
    toggled = request.url.remove_query_params("refresh") if paused else request.url.include_query_params(refresh="off")
    page = _environment().get_template(template)
    body = page.render(
        **values,
        now=utc_now(),
        live=live,
        refresh=REFRESH_SECONDS if live and not paused else None,
        toggle=f"?{toggled.query}",
    )
    return HTMLResponse(body, status_code=status, headers={"Cache-Control": "no-cache"})


def _problem(request: Request, error: ContextenError) -> HTMLResponse:
    return render(request, "problem.html", status=error.status, live=error.transient, error=error)


def static_file(name: str) -> Response:
    """Return one of our few files, to be kept for good: the pages ask for it by its digest.

    Raises:
        NotFoundError: there is no such file.
    """
    if name not in _MEDIA_TYPES:
        raise NotFoundError(f"there is no file {name[:80]!r}")
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(_content(name), media_type=_MEDIA_TYPES[name], headers=headers)


def static_url(name: str) -> str:
    return f"/static/{name}?v={sha256(_content(name)).hexdigest()[:12]}"


@cache
def _content(name: str) -> bytes:
    return (_HERE / "static" / name).read_bytes()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "absolute": formats.absolute,
        "ago": formats.ago,
        "code": formats.with_code,
        "commit": formats.short_commit,
        "counted": formats.counted,
        "duration": formats.duration,
        "literal": formats.literal,
        "megabytes": formats.megabytes,
        "moment": datetime.fromisoformat,
        "plain": formats.plain,
        "result": result_of,
        "short_id": formats.short_id,
        "tone": formats.tone,
        "until": formats.between,
    }
    environment.globals["static_url"] = static_url
    return environment
