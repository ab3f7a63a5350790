"""Whether the process lives, is ready, and is well."""

from datetime import datetime

import httpx
import pytest
from sqlalchemy import text

from contexten_core.errors.breaker import BREAKERS, DependencyKind
from contexten_core.orchestrator import SystemOrchestrator
from tests.component.server.conftest import Door


async def test_a_system_that_works_is_ready_and_healthy(client: httpx.AsyncClient) -> None:
    assert (await client.get("/livez")).json() == {"status": "alive"}
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    assert ready.json()["checks"] == {"database": "ok", "migrations": "ok"}
    health = (await client.get("/health")).json()
    assert (health["status"], health["components"]["database"]) == ("healthy", "healthy")
    assert datetime.fromisoformat(health["timestamp"]).tzinfo is not None
    assert "cpu_usage" in health["performance"]


async def test_tables_of_another_version_are_not_ready(
    client: httpx.AsyncClient, orchestrator: SystemOrchestrator
) -> None:
    async with orchestrator.database.transaction() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["status"] == "not ready"
    assert answer.json()["checks"]["migrations"].startswith("at 0001")
    async with orchestrator.database.transaction() as session:
        await session.execute(text("DROP TABLE alembic_version"))
    assert (await client.get("/readyz")).json()["checks"] == {"database": "ok", "migrations": "not migrated yet"}


@pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)
async def test_a_database_that_is_not_open_is_said_to_be(door: Door, orchestrator: SystemOrchestrator) -> None:
    await orchestrator.shutdown()
    async with door.open() as client:
        assert (await client.get("/livez")).status_code == 200
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]["database"]) == (503, "not open")
        health = (await client.get("/health")).json()
        assert health["status"] == "degraded"
        assert health["components"]["database"] == "unhealthy: not open"
        assert "contexten_database_up 0.0" in (await client.get("/metrics")).text


async def test_the_status_says_what_is_behind_it(client: httpx.AsyncClient) -> None:
    await client.post("/api/events", json={"event_type": "deploy_finished"})
    status = (await client.get("/api/system/status")).json()
    health = (await client.get("/health")).json()
    assert status.keys() >= health.keys()
    assert (status["status"], status["name"], status["environment"]) == ("healthy", "contexten-cicd", "development")
    assert status["events"] == {"pending": 1}
    assert status["providers"] == {"github": True, "linear": False, "slack": False}
    assert status["features"]["performance_monitoring"] is True


async def test_what_is_left_alone_for_a_while_is_said_without_its_address(client: httpx.AsyncClient) -> None:
    BREAKERS.of(DependencyKind.LLM, "api.openai.com").hold(60)
    health = (await client.get("/health")).json()
    assert health["status"] == "degraded"
    assert health["components"]["llm provider"].startswith("unhealthy: left alone for another ")
