"""What waits for a person, over the API."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI

from contexten.server.api import approvals
from contexten_core.db import Database, utc_now
from contexten_core.events.models import EventModel, EventProvider, EventStatus
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.tasks.approve import VALID_FOR
from contexten_core.tasks.models import ApprovalModel


@pytest.fixture(autouse=True)
def routed(app: FastAPI) -> None:
    if not any(getattr(route, "path", "").startswith("/api/approvals") for route in app.routes):
        app.include_router(approvals.router)


async def _ask(database: Database) -> tuple[UUID, UUID]:
    """Have an event that has ended wait for an approval; returns the approval's id and the event's."""
    event = EventModel(
        id=uuid4(),
        name="pull_request",
        title="Add tax",
        event_type="pull_request",
        provider=EventProvider.GITHUB,
        status=EventStatus.SKIPPED,
        digest=str(uuid4()),
        payload={},
        available_at=datetime(2026, 1, 7, tzinfo=UTC),
    )
    approval = ApprovalModel(
        id=uuid4(),
        name="checks on 4d1c2b3",
        event_id=event.id,
        subject="acme/cashbox#12",
        repository="acme/cashbox",
        commit_sha="4d1c2b3a" * 5,
        plan_digest="0" * 64,
        plan={"prompt": "checks", "version": 1},
        reason="the pull request comes from a fork",
        expires_at=utc_now() + VALID_FOR,
    )
    async with database.transaction() as session:
        session.add(event)
        await session.flush()
        session.add(approval)
    return approval.id, event.id


async def test_an_approval_is_given_once(client: httpx.AsyncClient, orchestrator: SystemOrchestrator) -> None:
    approval, event = await _ask(orchestrator.database)
    listed = (await client.get("/api/approvals", params={"status": "pending"})).json()["items"]
    given = await client.post(f"/api/approvals/{str(approval)[:8]}/approve")
    again = await client.post(f"/api/approvals/{approval}/refuse")

    assert [(one["id"], one["subject"], one["status"]) for one in listed] == [
        (str(approval), "acme/cashbox#12", "pending")
    ]
    assert given.status_code == 200
    assert {name: given.json()[name] for name in ("status", "decided_by", "decided_through")} == {
        "status": "approved",
        "decided_by": "tests",
        "decided_through": "api",
    }
    assert again.status_code == 409
    async with orchestrator.database.reading() as session:
        assert (await session.get_one(EventModel, event)).status is EventStatus.PENDING


async def test_a_refusal_leaves_the_event_alone(client: httpx.AsyncClient, orchestrator: SystemOrchestrator) -> None:
    approval, event = await _ask(orchestrator.database)

    assert (await client.post(f"/api/approvals/{approval}/refuse")).json()["status"] == "refused"
    assert (await client.get("/api/approvals", params={"status": "pending"})).json()["items"] == []
    async with orchestrator.database.reading() as session:
        assert (await session.get_one(EventModel, event)).status is EventStatus.SKIPPED


async def test_an_approval_that_there_is_not(client: httpx.AsyncClient) -> None:
    assert (await client.post(f"/api/approvals/{uuid4()}/approve")).status_code == 404
