"""The web application over a real database, and people who ask it: with a token, without one, from elsewhere."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from contexten.server.app import create_app
from contexten_core.db import Database
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.security.tokens import create_token
from contexten_core.settings import DatabaseConfig, Settings

SECRET = "the-webhook-secret-of-the-tests"


class Door:
    """Opens the application to clients."""

    def __init__(self, app: FastAPI, database: Database) -> None:
        self.app = app
        self._database = database

    async def token(self, name: str = "tests") -> str:
        async with self._database.transaction() as session:
            return await create_token(session, name)

    @asynccontextmanager
    async def open(
        self, *, token: str | None = None, address: str = "127.0.0.1", host: str = "localhost"
    ) -> AsyncIterator[httpx.AsyncClient]:
        """Give a client that comes from `address`, and asks for `host`."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(address, 50_000))
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}", headers=headers) as client:
            yield client


@pytest.fixture
def settings(database_config: DatabaseConfig, tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path / "home",
        db=database_config,
        github_webhook_secrets=(SecretStr(SECRET),),
        response_timeout_seconds=30,
    )


@pytest.fixture
async def orchestrator(settings: Settings) -> AsyncIterator[SystemOrchestrator]:
    orchestrator = SystemOrchestrator(settings)
    await orchestrator.initialize()
    yield orchestrator
    await orchestrator.shutdown()


@pytest.fixture
def app(orchestrator: SystemOrchestrator) -> FastAPI:
    return create_app(orchestrator, lifespan=None)


@pytest.fixture
def door(app: FastAPI, orchestrator: SystemOrchestrator) -> Door:
    return Door(app, orchestrator.database)


@pytest.fixture
async def client(door: Door) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody on this machine who has a token."""
    async with door.open(token=await door.token()) as client:
        yield client
