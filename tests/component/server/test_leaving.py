"""How a web process leaves: it is not ready at once, answers what comes, and sends its clients away."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from contexten.server import serving
from contexten.server.api import health
from contexten.server.serving import make_server
from contexten_core.db import Database
from contexten_core.settings import Settings
from deployments.listening import listen


class Web:
    """A server of this process, with one route that answers when it is told to."""

    def __init__(self, settings: Settings) -> None:
        self.go_on = asyncio.Event()
        self.is_asked = asyncio.Event()
        app = FastAPI()
        app.state.settings, app.state.database = settings, Database()
        app.include_router(health.router)
        app.get("/slow")(self.slow)
        self.server: uvicorn.Server = make_server(app, lifespan="off")
        self.listener = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    async def slow(self) -> str:
        self.is_asked.set()
        await self.go_on.wait()
        return "done"

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=10)


@pytest.fixture
async def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Web]:
    # However slow this machine is, the server leaves no sooner than the test is over.
    monkeypatch.setattr(serving, "_LEAVE_SECONDS", 60.0)
    monkeypatch.setattr(serving, "_BUSY_SECONDS", 60.0)
    web = Web(Settings(home=tmp_path))
    running = asyncio.create_task(web.server.serve(sockets=[web.listener]))
    yield web
    web.go_on.set()
    web.server.should_exit = web.server.force_exit = True
    # What a signal was caught for is raised again at the end, as the process is to end of it.
    web.server._captured_signals.clear()
    await running


async def test_it_says_that_it_is_not_ready_while_it_still_answers(web: Web) -> None:
    async with web.client() as client, web.client() as other:
        assert (await other.get("/livez")).headers.get("connection") is None
        answering = asyncio.create_task(client.get("/slow"))
        await web.is_asked.wait()
        web.server.handle_exit(signal.SIGTERM, None)
        ready = await other.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]) == (503, {"process": "ending"})
        async with web.client() as newcomer:
            assert (await newcomer.get("/livez")).status_code == 200
        web.go_on.set()
        assert (await answering).json() == "done"


async def test_clients_are_sent_away_by_the_next_answer(web: Web) -> None:
    async with web.client() as client, web.client() as holding:
        await client.get("/livez")
        answering = asyncio.create_task(holding.get("/slow"))
        await web.is_asked.wait()
        web.server.handle_exit(signal.SIGTERM, None)
        while not web.server.config.encoded_headers:  # noqa: ASYNC110 - the server says nothing of it
            await asyncio.sleep(0.01)
        assert (await client.get("/livez")).headers["connection"] == "close"
        web.go_on.set()
        await answering
