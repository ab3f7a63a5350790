"""Figures as Prometheus reads them."""

import httpx
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event

from contexten_core.orchestrator import SystemOrchestrator


async def figures(client: httpx.AsyncClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def named(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


async def test_requests_and_the_database_are_counted(
    client: httpx.AsyncClient, orchestrator: SystemOrchestrator
) -> None:
    await client.post("/api/events", json={"event_type": "deploy_finished"})
    for path in ("/api/tasks", "/api/tasks", "/api/tasks/nonsense"):
        await client.get(path)
    await orchestrator.error_handler.handle_error(ValueError("wrong"), {})
    found = await figures(client)
    assert found[named("contexten_http_requests_total", method="GET", route="/api/tasks", status="200")] == 2
    assert found[named("contexten_http_requests_total", method="GET", route="/api/tasks/{task_id}", status="422")] == 1
    assert found[named("contexten_http_request_duration_seconds_count", method="GET", route="/api/tasks")] == 2
    assert found[named("contexten_events", status="pending")] == 1
    assert found[named("contexten_events", status="failed")] == 0
    assert found[named("contexten_outbox_pending")] == 0
    assert found[named("contexten_database_up")] == 1
    assert sum(value for (name, _), value in found.items() if name == "contexten_errors") == 1
    assert any(name == "contexten_info" and ("environment", "development") in labels for name, labels in found)
    assert any(name == "process_resident_memory_bytes" for name, _ in found)
    assert any(name == "python_info" for name, _ in found)


async def test_the_database_is_not_asked_at_every_scrape(
    client: httpx.AsyncClient, orchestrator: SystemOrchestrator
) -> None:
    await figures(client)
    statements: list[str] = []
    event.listen(
        orchestrator.database.engine.sync_engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_: statements.append(statement),
    )
    await figures(client)
    assert not any("outbox" in statement for statement in statements)


async def test_paths_that_nobody_has_do_not_fill_the_memory(client: httpx.AsyncClient) -> None:
    for number in range(20):
        await client.get(f"/nothing/{number}")
        await client.get(f"/api/tasks/{number}")
    routes = {
        dict(labels).get("route") for name, labels in await figures(client) if name == "contexten_http_requests_total"
    }
    assert routes <= {"(none)", "/api/tasks/{task_id}"}
