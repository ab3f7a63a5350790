"""Tasks over HTTP: their states, what they wait for, and each attempt."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from contexten_core.db import utc_now
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.tasks import store
from contexten_core.tasks.models import TaskExecutionModel, TaskStatus


async def make_task(client: httpx.AsyncClient, **values: Any) -> dict[str, Any]:
    answer = await client.post("/api/tasks", json={"name": "Fix it", "task_type": "bug_fix", **values})
    assert answer.status_code == 201, answer.text
    task: dict[str, Any] = answer.json()
    return task


async def test_a_task_tells_its_story_as_events(client: httpx.AsyncClient) -> None:
    task = await make_task(client)
    for status in ("in_progress", "completed"):
        changed = await client.patch(f"/api/tasks/{task['id']}", json={"status": status})
        assert changed.json()["status"] == status
    events = (await client.get("/api/events", params={"provider": "system"})).json()["items"]
    assert sorted(event["event_type"] for event in events) == [
        "task_completed",
        "task_created",
        "task_updated",
        "task_updated",
    ]


async def test_a_step_that_a_task_cannot_take_is_refused(client: httpx.AsyncClient) -> None:
    task = await make_task(client)
    answer = await client.patch(f"/api/tasks/{task['id']}", json={"status": "completed", "description": "done"})
    assert (answer.status_code, answer.json()["code"]) == (409, "transition")
    assert (await client.get(f"/api/tasks/{task['id']}")).json() == task


async def test_a_task_waits_for_what_it_depends_on(client: httpx.AsyncClient) -> None:
    first, second = await make_task(client, name="first"), await make_task(client, name="second", priority="critical")
    where = f"/api/tasks/{second['id']}/dependencies"
    added = await client.post(where, json={"depends_on_task_id": first["id"]})
    assert (added.status_code, added.headers["location"]) == (201, f"{where}/{first['id']}")
    assert [row["depends_on_task_id"] for row in (await client.get(where)).json()["items"]] == [first["id"]]
    assert await ready(client) == ["first"]
    refused = await client.patch(f"/api/tasks/{second['id']}", json={"status": "in_progress"})
    assert (refused.status_code, refused.json()["code"]) == (409, "dependency")
    circle = await client.post(
        f"/api/tasks/{first['id']}/dependencies", json={"depends_on_task_id": second["id"], "is_hard_dependency": True}
    )
    assert (circle.status_code, circle.json()["code"]) == (409, "dependency")
    assert (await client.delete(f"{where}/{first['id']}")).status_code == 204
    assert (await client.delete(f"{where}/{first['id']}")).status_code == 404
    assert await ready(client) == ["second", "first"]


async def ready(client: httpx.AsyncClient) -> list[str]:
    return [task["name"] for task in (await client.get("/api/tasks/ready")).json()["items"]]


async def test_each_attempt_is_shown_with_its_log(client: httpx.AsyncClient, orchestrator: SystemOrchestrator) -> None:
    task = await make_task(client)
    async with orchestrator.database.transaction() as session:
        running = TaskExecutionModel(
            id=uuid4(),
            name="first",
            execution_number=1,
            status=TaskStatus.IN_PROGRESS,
            started_at=utc_now(),
            task_id=UUID(task["id"]),
        )
        session.add(running)
        await session.flush()
        for position, content in enumerate(("collected 2 items\n", "1 passed")):
            await store.append_log(session, execution_id=running.id, position=position, content=content)
    where = f"/api/tasks/{task['id']}/executions"
    (listed,) = (await client.get(where)).json()["items"]
    assert "logs" not in listed
    assert (await client.get(f"{where}/{running.id}")).json() == listed | {"logs": "collected 2 items\n1 passed"}
    other = await make_task(client)
    assert (await client.get(f"/api/tasks/{other['id']}/executions/{running.id}")).status_code == 404
    assert (await client.get(f"/api/tasks/{uuid4()}/executions")).status_code == 404


@pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)
async def test_null_empties_a_field_and_what_is_left_out_stays(client: httpx.AsyncClient) -> None:
    task = await make_task(client, description="why", context={"a": 1})
    changed = (await client.patch(f"/api/tasks/{task['id']}", json={"description": None})).json()
    assert (changed["description"], changed["context"]) == (None, {"a": 1})
