"""Runs are cancelled and parked events discarded over the API, under the name of the token."""

from uuid import UUID, uuid4

import httpx
import pytest

from contexten.emulators.sender import GitHubDelivery
from contexten_core.db import utc_now
from contexten_core.events.models import EventModel, EventStatus, RunModel, RunStatus
from contexten_core.orchestrator import SystemOrchestrator
from tests.component.server.conftest import SECRET, Door

pytestmark = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)


async def _send(client: httpx.AsyncClient, raw: bytes | None = None) -> UUID:
    delivery = GitHubDelivery(event="ping", payload={"zen": "Keep it logically awesome."}, raw=raw)
    sent = await client.post("/github/events", content=delivery.body, headers=delivery.headers(SECRET))
    return UUID(sent.json()["event_id"])


async def _running(client: httpx.AsyncClient, orchestrator: SystemOrchestrator) -> UUID:
    """Have a worker at work on an event; returns its run."""
    event_id, run_id = await _send(client), uuid4()
    run = RunModel(id=run_id, name="a run", event_id=event_id, attempt=1, started_at=utc_now())
    async with orchestrator.database.transaction() as session:
        session.add(run)
        (await session.get_one(EventModel, event_id)).status = EventStatus.PROCESSING
    return run_id


async def test_a_run_is_cancelled_by_whoever_asks(client: httpx.AsyncClient, orchestrator: SystemOrchestrator) -> None:
    run_id = await _running(client, orchestrator)
    answer = await client.post(f"/api/runs/{str(run_id)[:8]}/cancel")
    told = answer.json()
    assert (answer.status_code, told["id"], told["status"]) == (202, str(run_id), "running")
    assert (told["cancel_by"], told["cancel_reason"]) == ("tests", "cancelled by tests")
    assert told["cancel_requested_at"] is not None


async def test_a_run_that_has_ended_is_not_cancelled(
    client: httpx.AsyncClient, orchestrator: SystemOrchestrator
) -> None:
    run_id = await _running(client, orchestrator)
    async with orchestrator.database.transaction() as session:
        (await session.get_one(RunModel, run_id)).status = RunStatus.COMPLETED
    answer = await client.post(f"/api/runs/{run_id}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert (await client.post(f"/api/runs/{uuid4()}/cancel")).status_code == 404


async def test_nobody_cancels_or_discards_without_a_token(
    door: Door, client: httpx.AsyncClient, orchestrator: SystemOrchestrator
) -> None:
    run_id, event_id = await _running(client, orchestrator), await _send(client, b"{oh")
    async with door.open() as stranger:
        for path in (f"/api/runs/{run_id}/cancel", f"/api/events/{event_id}/discard"):
            assert (await stranger.post(path)).status_code == 401


async def test_a_parked_event_is_discarded_once(client: httpx.AsyncClient) -> None:
    event_id = await _send(client, b"{oh")
    (parked,) = (await client.get("/api/events", params={"parked": True})).json()["items"]
    answer = await client.post(f"/api/events/{event_id}/discard")
    told = answer.json()
    assert (parked["id"], answer.status_code, told["status"], told["parked_at"]) == (
        str(event_id),
        200,
        "skipped",
        None,
    )
    assert told["reason"].startswith("discarded by tests: ")
    assert (await client.post(f"/api/events/{event_id}/discard")).status_code == 409
