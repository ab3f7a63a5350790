"""Events and runs over HTTP."""

import json
from uuid import UUID, uuid4

import httpx
import pytest

from contexten.emulators.sender import GitHubDelivery
from contexten_core.db import utc_now
from contexten_core.events.models import EventModel, EventStatus, RunModel, RunStatus
from contexten_core.orchestrator import SystemOrchestrator
from tests.component.server.conftest import SECRET

DELIVERY = GitHubDelivery(event="ping", payload={"zen": "Keep it logically awesome.", "hook_id": 7, "ü": "\u2028"})


async def deliver(client: httpx.AsyncClient) -> str:
    answer = await client.post("/github/events", content=DELIVERY.body, headers=DELIVERY.headers(SECRET))
    assert answer.status_code == 202
    event_id: str = answer.json()["event_id"]
    return event_id


async def test_a_delivery_is_shown_whole(client: httpx.AsyncClient) -> None:
    event_id = await deliver(client)
    (line,) = (await client.get("/api/events")).json()["items"]
    event = (await client.get(f"/api/events/{event_id}")).json()
    assert event.items() >= line.items()
    assert (event["payload"], event["runs"]) == (dict(DELIVERY.payload), [])


async def test_the_bytes_of_a_delivery_are_given_back_as_they_came(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/api/events/{await deliver(client)}/payload")
    assert answer.content == DELIVERY.body
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)
async def test_an_id_may_be_shortened(client: httpx.AsyncClient) -> None:
    event_id = await deliver(client)
    for short in (event_id[:8], event_id[:8].upper(), event_id.replace("-", "")):
        assert (await client.get(f"/api/events/{short}")).json()["id"] == event_id
    for wrong in ("abc", "no-id", "3f0c1f1e-6a7b-4c8d-9e0f-1a2b3c4d5e6f", "%00%00%00%00"):
        for path in (f"/api/events/{wrong}", f"/api/events/{wrong}/payload", f"/api/runs/{wrong}"):
            assert (await client.get(path)).status_code == 404, path


async def test_an_event_without_a_title_gets_one(client: httpx.AsyncClient) -> None:
    event = (await client.post("/api/events", json={"event_type": "deploy_finished"})).json()
    assert event["title"]
    assert (event["provider"], event["status"]) == ("user", "pending")
    assert (await client.get(f"/api/events/{event['id']}/payload")).status_code == 404


async def test_an_event_that_has_ended_can_be_replayed(
    client: httpx.AsyncClient, orchestrator: SystemOrchestrator
) -> None:
    event_id = await deliver(client)
    too_early = await client.post(f"/api/events/{event_id}/replay")
    assert (too_early.status_code, too_early.json()["code"]) == (409, "conflict")
    async with orchestrator.database.transaction() as session:
        event = await session.get_one(EventModel, UUID(event_id))
        event.status, event.reason = EventStatus.SKIPPED, "an unknown repository"
    replayed = await client.post(f"/api/events/{event_id[:8]}/replay")
    assert replayed.status_code == 202
    assert (replayed.json()["status"], replayed.json()["reason"]) == ("pending", None)
    assert (await client.post("/api/events/ffffffff/replay")).status_code == 404


async def test_runs_are_listed_by_event_and_status(client: httpx.AsyncClient, orchestrator: SystemOrchestrator) -> None:
    event_id = await deliver(client)
    async with orchestrator.database.transaction() as session:
        for attempt in (1, 2):
            session.add(
                RunModel(
                    id=uuid4(),
                    name="ping",
                    event_id=UUID(event_id),
                    attempt=attempt,
                    status=RunStatus.IGNORED if attempt == 1 else RunStatus.RUNNING,
                    started_at=utc_now(),
                )
            )
    runs = (await client.get("/api/runs", params={"event_id": event_id})).json()["items"]
    assert [run["attempt"] for run in runs] == [2, 1]
    (running,) = (await client.get("/api/runs", params={"status": "running"})).json()["items"]
    shown = (await client.get(f"/api/runs/{running['id'][:8]}")).json()
    assert shown.items() >= running.items()
    assert (shown["event"]["id"], shown["steps"], shown["task"]) == (event_id, [], None)


@pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)
async def test_a_large_payload_is_no_part_of_a_list(client: httpx.AsyncClient) -> None:
    await client.post("/api/events", json={"event_type": "big", "payload": {"text": "x" * 500_000}})
    assert len(json.dumps((await client.get("/api/events")).json())) < 5_000
