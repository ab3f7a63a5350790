"""A run that has come as far as its fifth step, on a real repository."""

import asyncio
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from contexten.emulators.repositories import DemoRepository, make_demo_repositories
from contexten_core.codebase.examine import CodebaseSummary
from contexten_core.events.claim import RunRef
from contexten_core.events.history import RunHistory
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.projects import store as project_store
from contexten_core.projects.resolve import Target
from contexten_core.prompts.select import Choice
from contexten_core.tasks.outcome import Outcome, Unavailable

if TYPE_CHECKING:
    from tests.component.conftest import Push, Worker


class Bench:
    """A run that has come as far as its fifth step."""

    def __init__(self, worker: "Worker", run: RunRef, event: NormalisedEvent, target: Target, choice: Choice) -> None:
        self.worker = worker
        self.run = run
        self.event = event
        self.target = target
        self.choice = choice
        self.code: CodebaseSummary | Unavailable = Unavailable("git", "not examined yet")
        self.heard: list[str] = []

    async def execute(self, *, worker: "Worker | None" = None, run: RunRef | None = None) -> Outcome:
        return await (worker or self.worker).execute(
            run or self.run, self.event, self.target, self.choice, self.code, self.heard.append
        )

    def use(self, command: Any, **limits: Any) -> None:
        self.choice = replace(self.choice, executor_config={"command": command}, limits=limits)

    def use_shell(self, script: str, **limits: Any) -> None:
        self.use(f"sh -c {shlex.quote(script)}", **limits)

    async def history(self) -> RunHistory:
        return await self.worker.history(self.run)

    async def counts(self) -> tuple[int, int, int]:
        """Return how many tasks the project has had, completed and failed."""
        async with self.worker.database.reading() as session:
            project = await project_store.get(session, self.target.project_id)
        assert project is not None
        return project.total_tasks, project.completed_tasks, project.failed_tasks

    @property
    def checkouts(self) -> Path:
        return self.worker.runtime.settings.checkouts

    async def until_heard(self, text: str) -> None:
        async with asyncio.timeout(30):
            while text not in "".join(self.heard):  # noqa: ASYNC110 - the command says it
                await asyncio.sleep(0.02)


@pytest.fixture(scope="session")
def thermometer(tmp_path_factory: pytest.TempPathFactory) -> DemoRepository:
    return make_demo_repositories(tmp_path_factory.mktemp("repositories")).thermometer


@pytest.fixture
async def bench(worker: "Worker", push: "Push", thermometer: DemoRepository) -> Bench:
    await worker.add_project(thermometer.full_name, clone_url=str(thermometer.path))
    run = await worker.take_on(push(thermometer.full_name, commit=thermometer.head))
    event = await worker.ingest(run)
    target = await worker.resolve(run, event)
    assert isinstance(target, Target)
    choice = await worker.select(run, event, target)
    assert isinstance(choice, Choice)
    bench = Bench(worker, run, event, target, choice)
    bench.code = await worker.examine(run, target)
    assert isinstance(bench.code, CodebaseSummary)
    return bench
