"""The API described: a page to read and try it on, from files of our own, and the document behind it."""

from functools import cache
from importlib import resources

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from contexten.server.api.routing import GuardedRoute
from contexten_core.errors import NotFoundError

router = APIRouter(route_class=GuardedRoute, include_in_schema=False)

_HEADERS = {
    # Swagger UI sets styles on its elements.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_START = b"""\
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  docExpansion: "none",
  filter: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
"""
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Contexten API</title>
<link rel="icon" href="/static/favicon.svg">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/assets/start.js"></script>
</body>
</html>
"""
_MEDIA_TYPES = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "start.js": "text/javascript; charset=utf-8",
}


@router.get("/docs")
async def show_docs() -> Response:
    """Show the API, with every route to try."""
    return HTMLResponse(_PAGE, headers=_HEADERS)


@router.get("/docs/assets/{name}")
async def show_docs_asset(name: str) -> Response:
    """Return a script or the stylesheet of that page."""
    if name not in _MEDIA_TYPES:
        raise NotFoundError(f"there is no file {name[:80]!r}")
    return Response(_asset(name), media_type=_MEDIA_TYPES[name], headers=_HEADERS)


@router.get("/openapi.json")
async def show_openapi(request: Request) -> Response:
    """Return the OpenAPI document."""
    return JSONResponse(request.app.openapi())


@cache
def _asset(name: str) -> bytes:
    if name == "start.js":
        return _START
    return (resources.files("fastapi_swagger.resources") / name).read_bytes()
