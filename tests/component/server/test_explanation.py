"""What became of an event, over HTTP."""

import httpx
import pytest

from contexten.emulators.sender import GitHubDelivery
from tests.component.server.conftest import SECRET

pytestmark = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)


async def test_the_gates_of_an_event_are_told_in_order(client: httpx.AsyncClient) -> None:
    delivery = GitHubDelivery(event="ping", payload={"zen": "Keep it logically awesome."})
    sent = await client.post("/github/events", content=delivery.body, headers=delivery.headers(SECRET))
    event_id = sent.json()["event_id"]
    answer = await client.get(f"/api/events/{event_id[:8]}/explanation")
    explanation = answer.json()

    assert answer.status_code == 200
    assert (explanation["event_id"], explanation["outcome"]) == (event_id, "pending")
    assert explanation["summary"] == "waiting at parsed: a worker takes it next, once one is free"
    gates = {gate["name"]: gate["verdict"] for gate in explanation["gates"]}
    assert list(gates) == [
        *("received", "readable", "parsed", "not ours", "project", "prompt"),
        *("codebase", "execution", "report", "functions"),
    ]
    assert (gates["received"], gates["parsed"], gates["project"]) == ("passed", "waiting", "not reached")


async def test_an_event_that_is_not_there_has_no_explanation(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/events/00000000-0000-4000-8000-000000000000/explanation")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"
