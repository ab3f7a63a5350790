"""Versions, labels and history of prompts over HTTP, and who may do what with them."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from contexten.server.api import prompt_versions
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.security.tokens import TokenRole, create_token
from tests.component.server.conftest import Door

pytestmark = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)
REVIEW = {"name": "Review", "slug": "review", "prompt_type": "code_review", "template": "Review it."}


@pytest.fixture
def app(app: FastAPI) -> FastAPI:
    app.include_router(prompt_versions.router)
    return app


@pytest.fixture
async def editor(door: Door, orchestrator: SystemOrchestrator) -> AsyncIterator[httpx.AsyncClient]:
    async with orchestrator.database.transaction() as session:
        token = await create_token(session, "eve", TokenRole.EDITOR)
    async with door.open(token=token) as client:
        yield client


@pytest.fixture
async def path(client: httpx.AsyncClient) -> str:
    """Where a prompt with two versions is."""
    answer = await client.post("/api/prompts", json=REVIEW, params={"message": "a start"})
    assert answer.status_code == 201
    where = answer.headers["Location"]
    assert (await client.patch(where, json={"template": "Review it well."})).json()["version"] == 2
    return where


async def test_versions_are_listed_shown_and_compared(client: httpx.AsyncClient, path: str) -> None:
    listed = (await client.get(f"{path}/versions")).json()
    first = (await client.get(f"{path}/versions/1")).json()
    compared = (await client.get(f"{path}/versions/1/diff/2")).json()
    same = (await client.get(f"{path}/versions/2/diff/2")).json()

    assert [(item["version"], item["author"], item["message"]) for item in listed["items"]] == [
        (2, "tests", "Changed template"),
        (1, "tests", "a start"),
    ]
    assert first == listed["items"][1]
    assert first["content"]["template"] == "Review it."
    assert (compared["before"], compared["after"]) == (1, 2)
    assert compared["diff"].splitlines()[:2] == ["--- version 1", "+++ version 2"]
    assert "-  template: Review it.\n+  template: Review it well.\n" in compared["diff"].replace("    ", "  ")
    assert same["diff"] == ""


async def test_an_earlier_version_comes_back_as_the_newest(client: httpx.AsyncClient, path: str) -> None:
    restored = (await client.post(f"{path}/versions/1/restore", params={"message": "it was better"})).json()
    late = await client.post(f"{path}/versions/2/restore", params={"expected_version": 2})

    assert (restored["version"], restored["template"]) == (3, "Review it.")
    assert (late.status_code, late.json()["code"]) == (409, "conflict")
    assert "the newest is version 3 by tests (it was better)" in late.json()["message"]


async def test_a_change_that_starts_from_an_older_version_is_refused(client: httpx.AsyncClient, path: str) -> None:
    late = await client.patch(path, json={"template": "x", "expected_version": 1})
    in_time = await client.patch(path, json={"template": "x", "expected_version": 2})

    assert (late.status_code, in_time.status_code, in_time.json()["version"]) == (409, 200, 3)


async def test_labels_are_put_listed_and_removed(client: httpx.AsyncClient, path: str) -> None:
    put = await client.put(f"{path}/labels/staging", json={"version": 2}, params={"message": "try it"})
    await client.put(f"{path}/labels/production", json={"version": 1})
    listed = (await client.get(f"{path}/labels")).json()

    assert (put.status_code, put.json()["label"], put.json()["version"]) == (200, "staging", 2)
    assert [(item["label"], item["version"]) for item in listed["items"]] == [("production", 1), ("staging", 2)]
    assert (await client.delete(f"{path}/labels/staging")).status_code == 204
    assert (await client.delete(f"{path}/labels/staging")).status_code == 404
    assert len((await client.get(f"{path}/labels")).json()["items"]) == 1


async def test_the_history_says_who_and_why_also_of_a_prompt_that_is_gone(
    client: httpx.AsyncClient, editor: httpx.AsyncClient, path: str
) -> None:
    condition = {"prompt_id": path.rsplit("/", 1)[1], "field_name": "event.type", "operator": "equals"}
    await editor.post("/api/prompt-conditions", json=condition | {"expected_value": "push"}, params={"message": "when"})
    await editor.patch(path, json={"status": "deprecated"})
    of_prompt = (await client.get(f"{path}/changes")).json()["items"]
    assert (await client.delete(path, params={"message": "nobody needs it"})).status_code == 204

    of_all = (await client.get("/api/prompt-changes", params={"limit": 1})).json()
    of_slug = (await client.get("/api/prompt-changes", params={"slug": "review"})).json()["items"]
    none = (await client.get("/api/prompt-changes", params={"slug": "other"})).json()["items"]

    assert [(item["change"], item["author"], item["message"]) for item in of_slug] == [
        ("removed", "tests", "nobody needs it"),
        ("status", "eve", "Made deprecated, was inactive"),
        ("version", "eve", "when"),
        ("version", "tests", "Changed template"),
        ("created", "tests", "a start"),
    ]
    assert [item["id"] for item in of_prompt] == [item["id"] for item in of_slug[1:]]
    assert of_all["items"] == of_slug[:1]
    assert of_all["next_cursor"]
    assert none == []


async def test_an_editor_does_everything_but_move_protected_labels_and_make_tokens(
    client: httpx.AsyncClient, editor: httpx.AsyncClient, path: str
) -> None:
    assert (await editor.patch(path, json={"priority": 3})).status_code == 200
    assert (await editor.put(f"{path}/labels/staging", json={"version": 1})).status_code == 200
    assert (await client.put(f"{path}/labels/production", json={"version": 1})).status_code == 200

    refused = [
        await editor.put(f"{path}/labels/production", json={"version": 2}),
        await editor.delete(f"{path}/labels/production"),
        await editor.patch(path, json={"slug": "other"}),
        await editor.delete(path),
    ]
    assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(403, "protected_label")}
    assert "`admin`" in refused[0].json()["hint"]
    assert {item["label"]: item["version"] for item in (await client.get(f"{path}/labels")).json()["items"]} == {
        "production": 1,
        "staging": 1,
    }

    token = await editor.post("/api/tokens", json={"name": "mine"})
    assert (token.status_code, token.json()["code"]) == (403, "not_permitted")
    assert (await editor.delete(f"/api/tokens/{uuid4()}")).status_code == 403
    assert (await editor.get("/api/tokens")).status_code == 200


@pytest.mark.parametrize(
    ("method", "end", "given", "status"),
    [
        ("GET", "versions/9", {}, 404),
        ("GET", "versions/0", {}, 422),
        ("GET", f"versions/{2**70}", {}, 422),
        ("GET", "versions/1/diff/9", {}, 404),
        ("POST", "versions/9/restore", {}, 404),
        ("PUT", "labels/staging", {"json": {"version": 9}}, 404),
        ("PUT", "labels/staging", {"json": {"version": "best"}}, 422),
        ("PUT", "labels/latest", {"json": {"version": 1}}, 422),
        ("PUT", "labels/3", {"json": {"version": 1}}, 422),
        ("PUT", "labels/staging", {"json": {"version": 1}, "params": {"message": ""}}, 422),
        ("DELETE", "labels/staging", {"params": {"message": "x" * 2001}}, 422),
    ],
)
async def test_what_cannot_be_is_said(
    client: httpx.AsyncClient, path: str, method: str, end: str, given: dict[str, Any], status: int
) -> None:
    answer = await client.request(method, f"{path}/{end}", **given)

    assert answer.status_code == status
    assert answer.json()["message"]


async def test_a_prompt_that_there_is_not_has_nothing(client: httpx.AsyncClient) -> None:
    where = f"/api/prompts/{uuid4()}"
    asked = [await client.get(f"{where}/{what}") for what in ("versions", "versions/1", "labels", "changes")]
    asked += [
        await client.post(f"{where}/versions/1/restore"),
        await client.put(f"{where}/labels/staging", json={"version": 1}),
        await client.delete(f"{where}/labels/staging"),
    ]

    assert {answer.status_code for answer in asked} == {404}
