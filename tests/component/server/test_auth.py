"""Who may ask for what."""

import logging
from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import update
from starlette.routing import BaseRoute

from contexten_core.db import utc_now
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.security import store, tokens
from contexten_core.security.models import AccessTokenModel
from contexten_core.settings import Environment, Settings
from tests.component.server.conftest import Door

OPEN = {"/livez", "/readyz", "/health"}
ID = "3f0c1f1e-6a7b-4c8d-9e0f-1a2b3c4d5e6f"
CLOSED = (Environment.PRODUCTION, Environment.TESTING)
on_sqlite = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)


@on_sqlite
@pytest.mark.parametrize("path", ["/api/tasks", "/api/errors/statistics", "/", "/docs", "/metrics", "/openapi.json"])
async def test_in_development_reading_from_this_machine_needs_no_token(door: Door, path: str) -> None:
    async with door.open() as nobody:
        assert (await nobody.get(path)).status_code == 200


async def test_writing_needs_a_token_on_this_machine_too(door: Door) -> None:
    async with door.open() as nobody, door.open(token=await door.token()) as somebody:
        refused = await nobody.post("/api/projects", json={"name": "Shop"})
        assert refused.status_code == 401
        assert (await nobody.get("/api/projects")).json()["items"] == []
        assert (await somebody.post("/api/projects", json={"name": "Shop"})).status_code == 201


@on_sqlite
async def test_a_refusal_says_how_to_get_a_token(door: Door) -> None:
    async with door.open() as nobody:
        answer = await nobody.delete(f"/api/tasks/{ID}")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["code"] == "access_denied"
    assert "contexten tokens create NAME" in answer.json()["hint"]


@on_sqlite
@pytest.mark.parametrize(
    ("address", "host", "headers"),
    [
        ("203.0.113.7", "localhost", {}),
        ("127.0.0.1", "rebound.example", {}),
        ("127.0.0.1", "localhost.rebound.example", {}),
        ("127.0.0.1", "localhost", {"X-Forwarded-For": "127.0.0.1"}),
        ("127.0.0.1", "localhost", {"Forwarded": "for=127.0.0.1"}),
        ("127.0.0.1", "localhost", {"X-Real-IP": "127.0.0.1"}),
    ],
)
async def test_from_elsewhere_everything_needs_a_token(
    door: Door, address: str, host: str, headers: dict[str, str]
) -> None:
    async with door.open(address=address, host=host) as stranger:
        assert (await stranger.get("/api/tasks", headers=headers)).status_code == 401
        page = await stranger.get("/", headers=headers)
        assert (page.status_code, page.headers["www-authenticate"]) == (401, "Bearer")
        assert (await stranger.get("/livez", headers=headers)).status_code == 200
    async with door.open(address=address, host=host, token=await door.token()) as known:
        assert (await known.get("/api/tasks", headers=headers)).status_code == 200


@on_sqlite
@pytest.mark.parametrize("environment", CLOSED)
async def test_outside_of_development_every_route_needs_a_token(
    app: FastAPI, door: Door, settings: Settings, environment: Environment
) -> None:
    """All but webhooks, which their signatures guard, and health."""
    settings.secret_key = "a key of its own, long enough"  # type: ignore[assignment]
    app.state.settings.environment = environment
    async with door.open() as nobody:
        for method, path in requests(app.routes):
            answer = await nobody.request(method, path)
            assert (answer.status_code == 401) == (path not in OPEN), f"{method} {path}: {answer.status_code}"


@on_sqlite
async def test_in_production_a_token_opens_api_and_pages(door: Door, settings: Settings, app: FastAPI) -> None:
    settings.secret_key = "a key of its own, long enough"  # type: ignore[assignment]
    app.state.settings.environment = Environment.PRODUCTION
    async with door.open(token=await door.token(), address="203.0.113.7", host="contexten.example") as known:
        for path in ("/api/tasks", "/", "/metrics", "/docs", "/docs/assets/swagger-ui.css"):
            assert (await known.get(path)).status_code == 200


@on_sqlite
@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Bearer ctx_", f"Bearer ctx_{'a' * 43}", "bearer nonsense", f"Bearer {'x' * 5_000}"],
)
async def test_a_token_that_is_none_is_refused_even_where_none_is_needed(door: Door, header: str) -> None:
    async with door.open() as client:
        answer = await client.get("/api/tasks", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.json()["message"] == "the access token is not valid"


async def test_unknown_expired_and_revoked_tokens_are_told_apart_in_the_log_alone(
    door: Door, orchestrator: SystemOrchestrator, caplog: pytest.LogCaptureFixture
) -> None:
    expired, revoked = await door.token("expired"), await door.token("revoked")
    async with orchestrator.database.transaction() as session:
        await session.execute(
            update(AccessTokenModel)
            .where(AccessTokenModel.name == "expired")
            .values(expires_at=utc_now() - timedelta(seconds=1))
        )
        await tokens.revoke_token(session, "revoked")
    answers = []
    with caplog.at_level(logging.WARNING, logger="contexten_core.security.tokens"):
        for token in (f"ctx_{'a' * 43}", expired, revoked):
            async with door.open(token=token) as client:
                answer = (await client.get("/api/tasks")).json()
                answers.append({name: value for name, value in answer.items() if name != "request_id"})
    assert answers[0] == answers[1] == answers[2]
    assert ["unknown" in caplog.text, "has expired" in caplog.text, "was revoked" in caplog.text] == [True] * 3
    assert expired not in caplog.text
    assert revoked not in caplog.text


async def test_the_use_of_a_token_is_noted_once_a_minute(door: Door, orchestrator: SystemOrchestrator) -> None:
    async def last_used() -> AccessTokenModel:
        async with orchestrator.database.reading() as session:
            token = await store.by_name(session, "tests")
            assert token is not None
            return token

    async with door.open(token=await door.token()) as client:
        await client.get("/api/tasks")
        first = (await last_used()).last_used_at
        await client.get("/api/tasks")
        assert (await last_used()).last_used_at == first
        async with orchestrator.database.transaction() as session:
            await session.execute(update(AccessTokenModel).values(last_used_at=utc_now() - timedelta(seconds=61)))
        await client.get("/api/tasks")
        assert first is not None
        assert (await last_used()).last_used_at >= first  # type: ignore[operator]


@on_sqlite
async def test_access_is_settled_before_a_body_is_read(door: Door) -> None:
    async with door.open() as nobody:
        answer = await nobody.post("/api/tasks", content=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 401


def requests(routes: Sequence[BaseRoute]) -> Iterator[tuple[str, str]]:
    """Yield a request for every route that is not a webhook's."""
    for route in flat(routes):
        if route.path.endswith("/events") and "POST" in (route.methods or ()) and not route.path.startswith("/api/"):
            continue
        if route.path.startswith("/webhooks/"):
            continue
        for method in route.methods or ():
            path = route.path
            for name in route.param_convertors:
                path = path.replace(f"{{{name}}}", ID)
            yield method, path


def flat(routes: Sequence[BaseRoute]) -> Iterator[APIRoute]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        else:
            router = getattr(route, "original_router", None) or getattr(route, "included_router", None)
            assert router is not None, route
            yield from flat(router.routes)
