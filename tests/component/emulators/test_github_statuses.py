import json
from typing import Any

import httpx
import pytest
from githubkit import GitHub, TokenAuthStrategy
from hypothesis import given, settings
from hypothesis import strategies as st

from contexten.emulators.github import RunningEmulator, create_github_emulator

SHA = "8483a1df8d924c59c89238eca6fd98403d6cd0f7"
STATUSES = f"/repos/acme/cashbox/statuses/{SHA}"
COMMIT = f"/repos/acme/cashbox/commits/{SHA}"


async def test_githubkit_creates_lists_and_combines_statuses(served: RunningEmulator) -> None:
    github = GitHub(
        TokenAuthStrategy("ghp_only_this_one"),
        base_url=served.url,
        http_cache=False,
        auto_retry=False,
        trust_env=False,
    )
    async with github:
        created = await github.rest.repos.async_create_commit_status(
            "acme",
            "cashbox",
            SHA,
            state="failure",
            description="test_total_rounds_to_the_cent: 1.78 is not 1.79 €",
            target_url="http://127.0.0.1:8000/runs/1",
            context="contexten/tests",
        )
        listed = await github.rest.repos.async_list_commit_statuses_for_ref("acme", "cashbox", SHA)
        combined = await github.rest.repos.async_get_combined_status_for_ref("acme", "cashbox", SHA)

    status = created.parsed_data
    assert created.status_code == 201
    assert (status.state, status.context, status.target_url) == (
        "failure",
        "contexten/tests",
        "http://127.0.0.1:8000/runs/1",
    )
    assert status.description == "test_total_rounds_to_the_cent: 1.78 is not 1.79 €"
    assert status.url == f"{served.url}{STATUSES}"
    assert status.creator is not None
    assert status.creator.type == "Bot"
    assert [found.id for found in listed.parsed_data] == [status.id]
    assert (combined.parsed_data.state, combined.parsed_data.total_count) == ("failure", 1)
    assert combined.parsed_data.repository.full_name == "acme/cashbox"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"state": "great"}, "state"),
        ({"state": {}}, "state"),
        ({"state": "success", "description": "x" * 141}, "description"),
        ({"state": "success", "context": "x" * 256}, "context"),
        ({"state": "success", "target_url": "javascript:alert(1)"}, "target_url"),
    ],
)
async def test_a_value_that_github_would_not_take_is_refused(
    client: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    answer = await client.post(STATUSES, json=body)
    assert answer.status_code == 422
    assert answer.json()["message"] == "Validation Failed"
    assert [(error["resource"], error["field"]) for error in answer.json()["errors"]] == [("Status", field)]


@pytest.mark.parametrize("body", [{}, {"state": "success", "description": 5}])
async def test_a_missing_state_or_a_wrong_type_is_an_invalid_request(
    client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    answer = await client.post(STATUSES, json=body)
    assert answer.status_code == 422
    assert answer.json()["message"].startswith("Invalid request.")


@pytest.mark.parametrize("sha", ["main", "a" * 39, "g" * 40])
async def test_a_sha_that_is_none_is_not_found(client: httpx.AsyncClient, sha: str) -> None:
    created = await client.post(f"/repos/acme/cashbox/statuses/{sha}", json={"state": "success"})
    listed = await client.get(f"/repos/acme/cashbox/commits/{sha}/statuses")
    assert (created.status_code, listed.status_code) == (422, 422)
    assert created.json()["message"] == f"No commit found for SHA: {sha}"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b"null"])
async def test_a_body_that_is_no_json_object_is_malformed(client: httpx.AsyncClient, body: bytes) -> None:
    assert (await client.post(STATUSES, content=body)).status_code == 400


async def test_description_may_be_exactly_140_characters_and_half_a_surrogate_pair_is_replaced(
    client: httpx.AsyncClient,
) -> None:
    body = {"state": "success", "description": "ü" * 139 + "\ud800"}
    answer = await client.post(STATUSES, content=json.dumps(body))
    assert answer.status_code == 201
    assert answer.json()["description"] == "ü" * 139 + "?"


async def test_statuses_are_paged_newest_first(client: httpx.AsyncClient) -> None:
    for number in range(5):
        await client.post(STATUSES, json={"state": "pending", "context": f"check-{number}"})

    first = await client.get(f"{COMMIT}/statuses", params={"per_page": 2})
    second = await client.get(first.links["next"]["url"])
    last = await client.get(second.links["last"]["url"])

    pages = [[status["context"] for status in page.json()] for page in (first, second, last)]
    assert pages == [["check-4", "check-3"], ["check-2", "check-1"], ["check-0"]]
    assert set(first.links) == {"next", "last"}
    assert set(second.links) == {"prev", "next", "last", "first"}
    assert set(last.links) == {"prev", "first"}


@pytest.mark.parametrize(
    "query", ["per_page=0&page=0", "per_page=x&page=-1", "per_page=²", f"page={'9' * 5000}", f"page={'0' * 5000}1"]
)
async def test_odd_page_numbers_do_no_harm(client: httpx.AsyncClient, query: str) -> None:
    assert (await client.get(f"{COMMIT}/statuses?{query}")).status_code == 200


@pytest.mark.parametrize(
    ("states", "combined"),
    [
        ({}, "pending"),
        ({"lint": "success"}, "success"),
        ({"lint": "success", "tests": "pending"}, "pending"),
        ({"lint": "error", "tests": "pending"}, "failure"),
    ],
)
async def test_the_newest_status_of_each_context_decides_the_combined_state(
    client: httpx.AsyncClient, states: dict[str, str], combined: str
) -> None:
    for context, state in states.items():
        await client.post(STATUSES, json={"state": "pending", "context": context})
        await client.post(STATUSES, json={"state": state, "context": context})
    answer = (await client.get(f"{COMMIT}/status")).json()
    assert (answer["state"], answer["total_count"]) == (combined, len(states))


async def test_a_context_takes_a_thousand_statuses_and_no_more() -> None:
    app = create_github_emulator()
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://emulator") as client:
        answers = [(await client.post(STATUSES, json={"state": "pending"})).status_code for _ in range(1001)]
    assert answers == [201] * 1000 + [422]


@settings(max_examples=60, deadline=None)
@given(
    body=st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.dictionaries(st.sampled_from(["state", "description", "context", "target_url"]), inner),
    )
)
async def test_no_body_makes_the_emulator_fail(body: Any) -> None:
    transport = httpx.ASGITransport(app=create_github_emulator())
    async with httpx.AsyncClient(transport=transport, base_url="http://emulator") as client:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = await client.post(STATUSES, content=content)
    assert answer.status_code in {201, 400, 422}
