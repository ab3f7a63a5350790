"""Fifty writers at once, through the orchestrator: `CONTEXTEN_SOAK_SECONDS` says how long (see `make soak`)."""

import asyncio
import os
import time
from collections import Counter
from pathlib import Path
from uuid import UUID

from sqlalchemy import func, select

from contexten_core.events.models import EventModel, EventProvider
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.projects.models import ProjectModel
from contexten_core.settings import DatabaseConfig, Settings
from contexten_core.tasks.models import TaskModel

WRITERS = 50
SECONDS = float(os.environ.get("CONTEXTEN_SOAK_SECONDS", "3"))
ENDINGS = ("completed", "failed")


async def test_fifty_writers_lose_nothing(database_config: DatabaseConfig, tmp_path: Path) -> None:
    """Any deadlock, lost update or "database is locked" fails this: each writer raises what it meets."""
    settings = Settings(db=database_config, home=tmp_path / "home", response_timeout_seconds=60)
    system = SystemOrchestrator(settings)
    handled: Counter[str] = Counter()
    for ending in ENDINGS:

        def count(data: dict[str, object], ending: str = ending) -> None:
            handled[ending] += 1

        system.register_event_handler(f"task_{ending}", count)
    await system.initialize()
    try:
        project = await system.create_project({"name": "Soaked", "slug": "soaked"})
        deadline = time.monotonic() + SECONDS

        async def write(number: int) -> Counter[str]:
            done: Counter[str] = Counter()
            ending = ENDINGS[number % 2]
            while time.monotonic() < deadline:
                task = await system.create_task(
                    {"name": f"{number}", "task_type": "testing", "project_id": str(project.id)}
                )
                await asyncio.gather(
                    system.update_task(task.id, {"description": f"writer {number}"}),
                    system.update_task(task.id, {"external_id": f"{number}-{done[ending]}"}),
                )
                for status in ("in_progress", ending):
                    await system.update_task(task.id, {"status": status})
                done[ending] += 1
            return done

        counted = sum(await asyncio.gather(*(write(number) for number in range(WRITERS))), Counter())
        await _check(system, project.id, counted, handled)
    finally:
        await system.shutdown()


async def _check(system: SystemOrchestrator, project_id: UUID, counted: Counter[str], handled: Counter[str]) -> None:
    assert sum(counted.values()) >= WRITERS
    assert handled == counted
    async with system.database.reading() as session:
        project = await session.get_one(ProjectModel, project_id)
        assert (project.total_tasks, project.completed_tasks, project.failed_tasks) == (
            counted.total(),
            counted["completed"],
            counted["failed"],
        )
        lost = await session.scalar(
            select(func.count())
            .select_from(TaskModel)
            .where(TaskModel.description.is_(None) | TaskModel.external_id.is_(None))
        )
        assert lost == 0
        by_type = dict(
            (
                await session.execute(
                    select(EventModel.event_type, func.count())
                    .where(EventModel.provider == EventProvider.SYSTEM)
                    .group_by(EventModel.event_type)
                )
            )
            .tuples()
            .all()
        )
    assert by_type["task_created"] == counted.total()
    assert {ending: by_type[f"task_{ending}"] for ending in ENDINGS} == dict(counted)
