import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request

from contexten.server.shortcut import Shortcut


@pytest.fixture
def app() -> FastAPI:
    first, second = APIRouter(), APIRouter()

    @first.post("/{name}/events")
    async def anybody(name: str) -> dict[str, str]:
        return {"anybody": name}

    @second.post("/github/events")
    @second.post("/{owner}/{name}/events")
    async def ours(request: Request) -> dict[str, str]:
        return {"ours": request.scope["route"].path}

    app = FastAPI()
    app.include_router(first)
    app.include_router(second)
    app.router.routes.insert(0, Shortcut(second))
    return app


@pytest.mark.parametrize(
    ("method", "path", "status", "answer"),
    [
        ("POST", "/github/events", 200, {"ours": "/github/events"}),
        ("POST", "/slack/events", 200, {"anybody": "slack"}),
        ("POST", "/acme/shop/events", 200, {"ours": "/{owner}/{name}/events"}),
        ("GET", "/github/events", 405, {"detail": "Method Not Allowed"}),
        ("POST", "/nothing", 404, {"detail": "Not Found"}),
    ],
)
async def test_only_what_has_a_fixed_path_and_that_method_takes_the_short_way(
    app: FastAPI, method: str, path: str, status: int, answer: dict[str, str]
) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        found = await client.request(method, path)
    assert (found.status_code, found.json()) == (status, answer)


def test_the_description_of_the_api_is_the_same(app: FastAPI) -> None:
    with_shortcut = app.openapi()
    app.router.routes.pop(0)
    app.openapi_schema = None
    assert app.openapi() == with_shortcut
