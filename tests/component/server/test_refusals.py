"""Refusals over HTTP."""

import httpx

from contexten.server.api import refusals
from contexten_core.events import refusal_store
from contexten_core.events.refusals import RefusalBuffer
from contexten_core.orchestrator import SystemOrchestrator


async def refuse(orchestrator: SystemOrchestrator, *, addresses: int = 1, code: str = "signature") -> None:
    buffer = RefusalBuffer()
    for number in range(addresses):
        buffer.add(provider="github", code=code, reason="mismatch", address=f"192.0.2.{number}", headers={})
    async with orchestrator.database.transaction() as session:
        await refusal_store.add(session, buffer.take())


async def test_refusals_are_listed_with_their_reasons(
    client: httpx.AsyncClient, orchestrator: SystemOrchestrator
) -> None:
    await refuse(orchestrator)
    answer = await client.get("/api/refusals")

    assert answer.status_code == 200
    (found,) = answer.json()["items"]
    assert set(found) == set(refusals.Refusal.model_fields)
    assert (found["provider"], found["code"], found["reason"], found["count"]) == ("github", "signature", "mismatch", 1)


async def test_they_come_in_pages_and_by_provider_and_code(
    client: httpx.AsyncClient, orchestrator: SystemOrchestrator
) -> None:
    await refuse(orchestrator, addresses=3)
    await refuse(orchestrator, code="rate_limit")
    first = (await client.get("/api/refusals", params={"limit": 3})).json()
    second = (await client.get("/api/refusals", params={"limit": 3, "cursor": first["next_cursor"]})).json()

    assert len({item["id"] for item in first["items"] + second["items"]}) == 4
    assert second["next_cursor"] is None
    for given, number in (
        ({"code": "rate_limit"}, 1),
        ({"code": "signature", "provider": "github"}, 3),
        ({"provider": "slack"}, 0),
    ):
        assert len((await client.get("/api/refusals", params=given)).json()["items"]) == number


async def test_they_are_not_for_everybody(orchestrator: SystemOrchestrator, client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/refusals", headers={"Authorization": "Bearer wrong"})

    assert answer.status_code == 401
