"""What is no input is refused with the name of its field, and nothing of it is written."""

import json
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from contexten_core.db.models import metadata
from contexten_core.orchestrator import SystemOrchestrator

on_sqlite = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)

GOOD: dict[str, dict[str, Any]] = {
    "tasks": {"name": "Fix it", "task_type": "bug_fix"},
    "projects": {"name": "Shop"},
    "prompts": {"name": "Run", "prompt_type": "testing", "template": "Run them."},
}
ENUM = {"tasks": "task_type", "projects": "status", "prompts": "prompt_type"}
JSON_FIELD = {"tasks": "context", "projects": "metadata", "prompts": "metadata"}
JSON_TYPE = {"Content-Type": "application/json"}


async def rows(orchestrator: SystemOrchestrator) -> dict[str, int]:
    """Return how many rows each table has that a write of the API could have added to."""
    names = ("tasks", "projects", "prompts", "events", "event_handlers", "outbox")
    async with orchestrator.database.reading() as session:
        return {
            name: (await session.execute(select(func.count()).select_from(metadata.tables[name]))).scalar_one()
            for name in names
        }


async def refused(client: httpx.AsyncClient, orchestrator: SystemOrchestrator, noun: str, body: str) -> list[str]:
    """Send a body that has to be refused, and return the fields that are said to be wrong."""
    before = await rows(orchestrator)
    answer = await client.post(f"/api/{noun}", content=body.encode(), headers=JSON_TYPE)
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert problem["code"] == "invalid"
    assert await rows(orchestrator) == before
    return [error["field"] for error in problem["errors"]]


async def given(client: httpx.AsyncClient, orchestrator: SystemOrchestrator, noun: str, **values: Any) -> list[str]:
    return await refused(client, orchestrator, noun, json.dumps(GOOD[noun] | values))


@pytest.mark.parametrize("noun", GOOD)
async def test_bad_input(client: httpx.AsyncClient, orchestrator: SystemOrchestrator, noun: str) -> None:
    free, choice = JSON_FIELD[noun], ENUM[noun]
    assert await given(client, orchestrator, noun, colour="red") == ["colour"]
    assert await given(client, orchestrator, noun, id="3f0c1f1e-6a7b-4c8d-9e0f-1a2b3c4d5e6f") == ["id"]
    assert await given(client, orchestrator, noun, **{choice: "happy"}) == [choice]
    assert await given(client, orchestrator, noun, name="x" * 501) == ["name"]
    assert await given(client, orchestrator, noun, name="") == ["name"]
    assert await given(client, orchestrator, noun, name=None) == ["name"]
    assert await given(client, orchestrator, noun, name=["a", "list"]) == ["name"]
    assert await given(client, orchestrator, noun, name="a\0b") == ["name"]
    assert await given(client, orchestrator, noun, name="a\ud800b") == ["name"]
    assert await given(client, orchestrator, noun, description="\udfff") == ["description"]
    assert await given(client, orchestrator, noun, **{free: {"a\0b": 1}}) == [free]
    assert await given(client, orchestrator, noun, **{free: {"a": ["\ud800"]}}) == [free]
    assert await given(client, orchestrator, noun, **{free: {"\ud800": 1}}) == [free]
    assert await given(client, orchestrator, noun, **{free: {"n": 2**63}}) == [free]
    assert await given(client, orchestrator, noun, **{free: {"n": -(2**63) - 1}}) == [free]
    assert await given(client, orchestrator, noun, **{free: [1]}) == [free]
    assert await given(client, orchestrator, noun, tags=[1]) == ["tags.0"]


@pytest.mark.parametrize("noun", GOOD)
async def test_several_mistakes_are_all_named(
    client: httpx.AsyncClient, orchestrator: SystemOrchestrator, noun: str
) -> None:
    found = await given(client, orchestrator, noun, name="", colour="red", tags="none")
    assert set(found) == {"name", "colour", "tags"}


@on_sqlite
@pytest.mark.parametrize("noun", GOOD)
async def test_an_unknown_field_may_have_any_name(
    client: httpx.AsyncClient, orchestrator: SystemOrchestrator, noun: str
) -> None:
    assert await given(client, orchestrator, noun, **{"a\ud800b": 1}) == ["body"]
    assert await given(client, orchestrator, noun, **{"a\0b": 1}) == ["a\ufffdb"]
    (long,) = await given(client, orchestrator, noun, **{"x" * 10_000: 1})
    assert len(long) <= 200


@on_sqlite
@pytest.mark.parametrize("noun", GOOD)
@pytest.mark.parametrize("digits", [20, 41, 5_000])
async def test_an_integer_of_any_length_is_the_fields_matter(
    client: httpx.AsyncClient, orchestrator: SystemOrchestrator, noun: str, digits: int
) -> None:
    for sign in ("", "-"):
        value = f'{{"n": {sign}{"9" * digits}}}'
        body = json.dumps(GOOD[noun] | {JSON_FIELD[noun]: "VALUE"}).replace('"VALUE"', value)
        assert await refused(client, orchestrator, noun, body) == [JSON_FIELD[noun]]


@on_sqlite
@pytest.mark.parametrize("noun", GOOD)
@pytest.mark.parametrize(("depth", "field"), [(60, None), (500, None), (100_000, "body")])
async def test_json_that_is_too_deep(
    client: httpx.AsyncClient, orchestrator: SystemOrchestrator, noun: str, depth: int, field: str | None
) -> None:
    value = '{"a": ' + "[" * depth + "]" * depth + "}"
    body = json.dumps(GOOD[noun] | {JSON_FIELD[noun]: "VALUE"}).replace('"VALUE"', value)
    assert await refused(client, orchestrator, noun, body) == [field or JSON_FIELD[noun]]


@on_sqlite
@pytest.mark.parametrize("body", ["[]", "null", '"text"', "1", "[[]]", "true"])
async def test_a_body_that_is_no_object(client: httpx.AsyncClient, orchestrator: SystemOrchestrator, body: str) -> None:
    assert await refused(client, orchestrator, "tasks", body) == ["body"]


@on_sqlite
async def test_numbers_that_json_lacks(client: httpx.AsyncClient, orchestrator: SystemOrchestrator) -> None:
    for word in ("NaN", "Infinity", "-Infinity", "1e999"):
        body = json.dumps(GOOD["tasks"])[:-1] + f', "estimated_duration_minutes": {word}}}'
        assert await refused(client, orchestrator, "tasks", body) == ["body"]


@on_sqlite
@pytest.mark.parametrize(
    "path",
    [
        "tasks/{}",
        "tasks/{}/dependencies",
        "tasks/{}/executions",
        "projects/{}",
        "projects/{}/config",
        "repositories/{}",
        "prompts/{}",
        "prompt-templates/{}",
        "codebases/{}",
        "analytics/{}",
        "learning/{}",
        "patterns/{}",
        "feedback/{}",
        "tokens/{}",
    ],
)
async def test_an_id_that_is_no_uuid_is_named(client: httpx.AsyncClient, path: str) -> None:
    for wrong in ("abc", "3f0c1f1e", "3f0c1f1e-6a7b-4c8d-9e0f-1a2b3c4d5e6g", "%00", "%F0%9F%98%80"):
        answer = await client.get(f"/api/{path.format(wrong)}")
        assert answer.status_code == 422, wrong
        (error,) = answer.json()["errors"]
        assert error["field"].endswith("_id")


@on_sqlite
async def test_times_at_the_ends_of_time(client: httpx.AsyncClient, orchestrator: SystemOrchestrator) -> None:
    for wrong in ("0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00", "2026-02-30T00:00:00Z", 1_700_000_000, ""):
        assert await given(client, orchestrator, "tasks", due_date=wrong) == ["due_date"]


@pytest.mark.parametrize("noun", GOOD)
async def test_a_change_that_is_refused_changes_nothing(client: httpx.AsyncClient, noun: str) -> None:
    made = (await client.post(f"/api/{noun}", json=GOOD[noun])).json()
    where = f"/api/{noun}/{made['id']}"
    for wrong in ({"colour": "red"}, {"name": None}, {"status": "happy"}, {"description": "a\0b"}):
        answer = await client.patch(where, content=json.dumps({"tags": ["new"], **wrong}), headers=JSON_TYPE)
        assert answer.status_code == 422, wrong
        assert [error["field"] for error in answer.json()["errors"]] == list(wrong)
    assert (await client.get(where)).json() == made
