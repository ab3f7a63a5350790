"""A web process whose database is away when it starts."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from contexten.server import waiting
from contexten.server.waiting import started_or_waiting
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.settings import DatabaseConfig, Settings


async def test_it_takes_deliveries_at_once_and_begins_for_good_when_the_database_comes_back(
    database_config: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_LOOK_SECONDS", 0.01)
    settings = Settings(home=tmp_path)
    settings.db = database_config
    orchestrator = SystemOrchestrator(settings, enable_monitoring=False)
    refused = 0
    is_back, is_begun = asyncio.Event(), asyncio.Event()

    async def initialize() -> None:
        nonlocal refused
        if not is_back.is_set():
            refused += 1
            raise OperationalError("SELECT 1", {}, OSError("connection refused"))
        await orchestrator.initialize()
        is_begun.set()

    async with started_or_waiting(orchestrator, initialize=initialize), asyncio.timeout(20):
        assert (refused, orchestrator.is_initialized()) == (1, False)
        # Deliveries have where to go.
        assert orchestrator.database.is_open
        assert orchestrator.intake.load == 0
        is_back.set()
        await is_begun.wait()
        await orchestrator.database.ping()
    await orchestrator.shutdown()


async def test_what_it_began_with_is_closed_when_the_database_never_comes_back(
    database_config: DatabaseConfig, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path)
    settings.db = database_config
    orchestrator = SystemOrchestrator(settings, enable_monitoring=False)

    async def initialize() -> None:
        raise OperationalError("SELECT 1", {}, OSError("connection refused"))

    async with started_or_waiting(orchestrator, initialize=initialize):
        assert orchestrator.database.is_open
    assert not orchestrator.database.is_open
