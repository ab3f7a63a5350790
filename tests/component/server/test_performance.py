"""Figures over HTTP, and their absence."""

from collections.abc import AsyncIterator

import httpx
import pytest

from contexten.server.app import create_app
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.settings import Settings
from tests.component.server.conftest import Door


async def test_figures_are_there_from_the_first_request_on(client: httpx.AsyncClient) -> None:
    metrics = (await client.get("/api/performance/metrics")).json()
    assert 0 <= metrics["cpu_usage"] <= 100
    assert 0 <= metrics["performance_score"] <= 100
    assert metrics["network"]["bytes_sent"] >= 0
    report = (await client.get("/api/performance/report")).json()
    assert report["period_hours"] == 24
    assert report["total_samples"] >= 1
    assert set(report["cpu_usage"]) >= {"avg", "min", "max"}
    assert report["operation_counts"]["GET /api/performance/metrics"] == 1
    suggestions = (await client.get("/api/performance/suggestions")).json()
    assert isinstance(suggestions["suggestions"], list)


@pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("hours", "status"), [(1, 200), (8760, 200), (0, 422), (8761, 422), ("many", 422)])
async def test_a_report_covers_an_hour_to_a_year(client: httpx.AsyncClient, hours: int | str, status: int) -> None:
    answer = await client.get("/api/performance/report", params={"hours": hours})
    assert answer.status_code == status
    assert answer.json().get("period_hours", hours) == hours


@pytest.fixture
async def unmonitored(settings: Settings) -> AsyncIterator[SystemOrchestrator]:
    orchestrator = SystemOrchestrator(settings, enable_monitoring=False)
    await orchestrator.initialize()
    yield orchestrator
    await orchestrator.shutdown()


@pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)
@pytest.mark.parametrize("path", ["metrics", "report", "suggestions"])
async def test_without_a_monitor_there_are_none(unmonitored: SystemOrchestrator, path: str) -> None:
    door = Door(create_app(unmonitored, lifespan=None), unmonitored.database)
    async with door.open() as client:
        answer = await client.get(f"/api/performance/{path}")
        assert (answer.status_code, answer.json()["detail"]) == (404, "Performance monitoring not enabled")
        assert (await client.get("/health")).json()["performance"] == {"status": "disabled"}
        assert (await client.get("/api/tasks")).status_code == 200
