"""Every error has one shape, and every answer the id of its request."""

import asyncio
import json
import logging
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, ProgrammingError

from contexten.server.problems import REQUEST_ID, RequestIdFilter
from contexten_core.orchestrator import SystemOrchestrator
from tests.component.server.conftest import Door

pytestmark = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)

FIELDS = {"code", "message", "hint", "request_id", "detail"}
MISSING = "3f0c1f1e-6a7b-4c8d-9e0f-1a2b3c4d5e6f"


def checked(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["code"]) == (status, code)
    assert set(body) - {"errors"} == FIELDS
    assert ("errors" in body) == (status == 422)
    assert body["detail"] == body["message"] != ""
    assert body["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["content-type"] == "application/json"
    return body


async def test_an_unknown_route(client: httpx.AsyncClient) -> None:
    checked(await client.get("/api/nothing"), 404, "not_found")


async def test_a_method_that_a_route_does_not_have(client: httpx.AsyncClient) -> None:
    answer = await client.put("/api/tasks", json={})
    checked(answer, 405, "method_not_allowed")
    assert "GET" in answer.headers["allow"]


async def test_an_id_that_nothing_has(client: httpx.AsyncClient) -> None:
    body = checked(await client.get(f"/api/tasks/{MISSING}"), 404, "not_found")
    assert body["message"] == f"there is no task {MISSING}"


async def test_a_wrong_question_names_each_field(client: httpx.AsyncClient) -> None:
    body = checked(await client.get("/api/tasks", params={"limit": 0, "status": "happy"}), 422, "invalid")
    assert [error["field"] for error in body["errors"]] == ["limit", "status"]


async def test_a_wrong_body_names_the_part_that_is_wrong(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/projects", json={"name": "Shop", "frameworks": ["flask", 3], "colour": "red"})
    body = checked(answer, 422, "invalid")
    assert {error["field"] for error in body["errors"]} == {"frameworks.1", "colour"}


async def test_a_contradiction_is_a_conflict(client: httpx.AsyncClient) -> None:
    await client.post("/api/projects", json={"name": "Shop", "slug": "shop"})
    body = checked(await client.post("/api/projects", json={"name": "Shop", "slug": "shop"}), 409, "conflict")
    assert "shop" in body["message"]


@pytest.mark.parametrize("given", ["r-1", "01JD.x:9_z", "a" * 128])
async def test_the_id_of_a_request_is_taken_over(client: httpx.AsyncClient, given: str) -> None:
    answer = await client.get("/api/nothing", headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == given


@pytest.mark.parametrize("given", ["", "a" * 129, "two words", "<script>", '"', "-"])
async def test_what_is_no_id_is_replaced_by_one(client: httpx.AsyncClient, given: str) -> None:
    answer = await client.get("/livez", headers={"X-Request-ID": given})
    assert len(answer.headers["x-request-id"]) == 32


async def test_json_is_neither_guessed_at_nor_kept(client: httpx.AsyncClient) -> None:
    for path in ("/api/tasks", "/api/nothing", "/livez", "/openapi.json"):
        headers = (await client.get(path)).headers
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")


async def test_a_mistake_of_ours_is_recorded_and_says_nothing(
    app: FastAPI, client: httpx.AsyncClient, orchestrator: SystemOrchestrator
) -> None:
    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("the password is hunter2")

    answer = await client.get("/broken", headers={"X-Request-ID": "r-500"})
    body = checked(answer, 500, "internal")
    assert "hunter2" not in answer.text
    assert "r-500" in body["hint"]
    statistics = await orchestrator.error_handler.read_statistics()
    assert statistics["total_errors"] == 1
    (error,) = (await client.get("/api/errors")).json()["items"]
    assert (error["error_type"], error["component"]) == ("RuntimeError", "api")
    assert error["context"]["request_id"] == "r-500"


async def test_a_mistake_of_ours_in_a_write_does_not_say_that_nothing_was_done(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    @app.post("/broken")
    async def broken() -> None:
        raise RuntimeError

    assert "look before you repeat it" in checked(await client.post("/broken"), 500, "internal")["hint"]


async def test_an_error_that_cannot_be_recorded_is_answered_all_the_same(
    app: FastAPI, client: httpx.AsyncClient, orchestrator: SystemOrchestrator
) -> None:
    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError

    async with orchestrator.database.transaction() as session:
        await session.execute(text("DROP TABLE errors"))
    checked(await client.get("/broken"), 500, "internal")


async def test_a_database_that_is_away_is_said_to_be(app: FastAPI, client: httpx.AsyncClient) -> None:
    @app.api_route("/away", methods=["GET", "POST"])
    async def away() -> None:
        raise OperationalError("SELECT 1", {}, Exception("server closed the connection"))

    answer = await client.get("/away")
    assert checked(answer, 503, "unavailable")["hint"] == "try again"
    assert int(answer.headers["retry-after"]) > 0
    assert "look before you repeat it" in checked(await client.post("/away"), 503, "unavailable")["hint"]


async def test_sql_that_is_wrong_is_a_mistake_of_ours(app: FastAPI, client: httpx.AsyncClient) -> None:
    @app.get("/broken")
    async def broken() -> None:
        raise ProgrammingError("SELEC 1", {}, Exception("syntax error"))

    answer = await client.get("/broken")
    checked(answer, 500, "internal")
    assert "SELEC" not in answer.text


async def test_a_broken_database_keeps_its_words_to_itself(
    client: httpx.AsyncClient, orchestrator: SystemOrchestrator
) -> None:
    async with orchestrator.database.transaction() as session:
        await session.execute(text("DROP TABLE task_dependencies"))
        await session.execute(text("DROP TABLE tasks"))
    answer = await client.get("/api/tasks")
    assert answer.status_code in {500, 503}
    assert "tasks" not in answer.json()["message"]


async def test_logs_know_which_request_they_were_written_for(app: FastAPI, door: Door) -> None:
    seen: dict[str, str] = {}

    @app.get("/noting/{number}")
    async def noting(number: str) -> None:
        await asyncio.sleep(0.01)
        record = logging.LogRecord("name", logging.INFO, "path", 1, "message", None, None)
        RequestIdFilter().filter(record)
        seen[number] = record.request_id  # type: ignore[attr-defined]

    async with door.open() as client:
        await asyncio.gather(
            *(client.get(f"/noting/{number}", headers={"X-Request-ID": f"r-{number}"}) for number in range(5))
        )
    assert seen == {str(number): f"r-{number}" for number in range(5)}
    assert REQUEST_ID.get() == "-"


async def test_a_body_that_is_no_json_is_told_so(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    for content, said in ((b"{", "not JSON"), (b"\xff", "not UTF-8"), (b"[NaN]", "no number"), (b"", "required")):
        body = checked(await client.post("/api/tasks", content=content, headers=headers), 422, "invalid")
        assert body["errors"][0]["field"] == "body"
        assert said.lower() in body["message"].lower()


async def test_a_body_of_another_type_is_told_so(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/tasks", data={"name": "Fix it", "task_type": "bug_fix"})
    checked(answer, 415, "unsupported_content_type")


async def test_a_body_may_hold_a_megabyte(client: httpx.AsyncClient) -> None:
    small, large = (json.dumps({"name": "x" * size}).encode() for size in (999_000, 1_000_001))
    headers = {"Content-Type": "application/json"}
    checked(await client.post("/api/projects", content=small, headers=headers), 422, "invalid")
    checked(await client.post("/api/projects", content=large, headers=headers), 413, "payload_too_large")


async def test_a_body_of_unknown_length_is_counted_as_it_arrives(client: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        for _ in range(1_000):
            sent += 1
            yield b"x" * 100_000

    answer = await client.post("/api/projects", content=endless(), headers={"Content-Type": "application/json"})
    checked(answer, 413, "payload_too_large")
    assert sent <= 12
