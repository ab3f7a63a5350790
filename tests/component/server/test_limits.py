"""How much at once, and how long: acceptance point 25 for the API."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse
from starlette.types import Message

from contexten.emulators.sender import GitHubDelivery
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.projects import store
from tests.component.server.conftest import SECRET, Door

on_sqlite = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)


class Gate:
    """A route that answers when it is told to, and counts who is inside."""

    def __init__(self, app: FastAPI) -> None:
        self.opened = asyncio.Event()
        self.arrived = asyncio.Semaphore(0)
        self.inside = self.most = 0

        @app.api_route("/gate", methods=["GET", "POST"])
        async def gate() -> dict[str, str]:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.arrived.release()
            try:
                await self.opened.wait()
            finally:
                self.inside -= 1
            return {"passed": "yes"}

    async def filled(self, count: int) -> None:
        async with asyncio.timeout(10):
            for _ in range(count):
                await self.arrived.acquire()


@pytest.fixture
def gate(app: FastAPI) -> Gate:
    return Gate(app)


@on_sqlite
async def test_at_most_max_concurrent_operations_are_answered_at_once(
    door: Door, gate: Gate, orchestrator: SystemOrchestrator
) -> None:
    orchestrator.settings.max_concurrent_operations = 3
    async with door.open() as client:
        waiting = [asyncio.create_task(client.get("/gate")) for _ in range(3)]
        await gate.filled(3)
        refused = [await client.get(path) for path in ("/gate", "/api/tasks", "/", "/api/nothing", "/metrics")]
        gate.opened.set()
        answered = await asyncio.gather(*waiting)
        assert (await client.get("/gate")).status_code == 200
    assert {answer.status_code for answer in answered} == {200}
    assert gate.most == 3
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert int(answer.headers["retry-after"]) > 0
        assert "MAX_CONCURRENT_OPERATIONS" in answer.json()["hint"]


@on_sqlite
async def test_deliveries_and_health_pass_a_full_house(
    door: Door, gate: Gate, orchestrator: SystemOrchestrator
) -> None:
    orchestrator.settings.max_concurrent_operations = 1
    delivery = GitHubDelivery(event="ping", payload={"zen": "Keep it logically awesome."})
    async with door.open() as client:
        waiting = asyncio.create_task(client.get("/gate"))
        await gate.filled(1)
        for path in ("/livez", "/readyz", "/health"):
            assert (await client.get(path)).status_code == 200
        stored = await client.post("/github/events", content=delivery.body, headers=delivery.headers(SECRET))
        assert stored.status_code == 202
        gate.opened.set()
        assert (await waiting).status_code == 200


@on_sqlite
async def test_an_answer_that_takes_too_long_is_given_up(
    door: Door, gate: Gate, orchestrator: SystemOrchestrator
) -> None:
    orchestrator.settings.response_timeout_seconds = 0.05
    async with door.open() as client:
        read, written = await client.get("/gate"), await client.post("/gate")
    for answer in (read, written):
        assert (answer.status_code, answer.json()["code"]) == (504, "timeout")
        assert "0.05 s" in answer.json()["message"]
    assert "it may have been done" not in read.json()["hint"]
    assert written.json()["hint"] == "it may have been done all the same; look before you repeat it"
    assert gate.inside == 0


@on_sqlite
async def test_an_answer_that_has_begun_is_not_cut_off(
    app: FastAPI, door: Door, orchestrator: SystemOrchestrator
) -> None:
    @app.get("/long")
    async def long() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(5):
                yield b"part "
                await asyncio.sleep(0.05)

        return StreamingResponse(parts())

    orchestrator.settings.response_timeout_seconds = 0.1
    async with door.open() as client:
        assert (await client.get("/long")).text == "part " * 5


async def test_a_write_that_is_given_up_writes_nothing(
    client: httpx.AsyncClient, orchestrator: SystemOrchestrator
) -> None:
    """The connection that it was given up on goes on to serve others."""
    project = (await client.post("/api/projects", json={"name": "Shop"})).json()
    orchestrator.settings.response_timeout_seconds = 0.2
    held, done = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with orchestrator.database.transaction() as session:
            await store.get_project(session, UUID(project["id"]), lock=True)
            held.set()
            await done.wait()

    holding = asyncio.create_task(hold())
    await held.wait()
    answer = await client.patch(f"/api/projects/{project['id']}", json={"description": "changed"})
    done.set()
    await holding
    assert answer.status_code == 504
    orchestrator.settings.response_timeout_seconds = 30
    assert (await client.get(f"/api/projects/{project['id']}")).json()["description"] is None
    again = await client.patch(f"/api/projects/{project['id']}", json={"description": "changed"})
    assert again.json()["description"] == "changed"


@on_sqlite
async def test_every_request_is_measured_under_its_route(
    client: httpx.AsyncClient, gate: Gate, orchestrator: SystemOrchestrator
) -> None:
    orchestrator.settings.response_timeout_seconds = 0.05
    for _ in range(2):
        await client.get("/gate")
    orchestrator.settings.response_timeout_seconds = 30
    for path in ("/api/tasks", "/api/tasks/nonsense", "/api/nothing", "/livez"):
        await client.get(path)
    await client.request("BREW", "/api/tasks")
    monitor = orchestrator.performance_monitor
    assert monitor is not None
    metrics = await monitor.get_current_metrics()
    assert metrics["operation_counts"] == {
        "GET /gate": 2,
        "GET /api/tasks": 1,
        "GET /api/tasks/{task_id}": 1,
        "GET (none)": 1,
        "GET /livez": 1,
        "OTHER /api/tasks": 1,
    }
    rates = metrics["error_rates"]
    assert rates["GET /gate"] == 100
    assert rates["GET /api/tasks/{task_id}"] == rates["GET (none)"] == 0


@on_sqlite
async def test_a_client_that_leaves_while_it_sends_is_no_error(app: FastAPI, orchestrator: SystemOrchestrator) -> None:
    messages: Iterator[Message] = iter(
        [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    )
    sent: list[Message] = []

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/github/events",
        "raw_path": b"/github/events",
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    assert sent == []
    assert (await orchestrator.error_handler.read_statistics())["total_errors"] == 0
