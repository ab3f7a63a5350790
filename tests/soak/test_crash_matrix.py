"""Wherever a worker breaks off, however it does, the next one brings its work to the same end.

One lifecycle runs undisturbed first and notes every fault point that it passes; then one breaks off at each of them. A
few of those in the normal suite, all of them under `make soak`. An error that nobody expected, a bug, is not tried
again: it may fail the run, once and for all to see.
"""

import asyncio
import json
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select, update

from contexten.emulators.github import RunningEmulator, run_emulator
from contexten.emulators.github_payloads import pull_request_payload
from contexten.emulators.repositories import DemoRepository, make_demo_repositories
from contexten.emulators.sender import GitHubDelivery
from contexten_core.analytics.models import AnalyticsModel
from contexten_core.db import Database, utc_now
from contexten_core.db.base import BaseModel
from contexten_core.db.models import metadata
from contexten_core.errors.breaker import BREAKERS
from contexten_core.events.delivery import Delivery
from contexten_core.events.keep import write
from contexten_core.events.models import (
    Conclusion,
    EffectStatus,
    EventHandlerModel,
    EventModel,
    EventProvider,
    EventStatus,
    OutboxModel,
    RunModel,
    RunStatus,
)
from contexten_core.events.receive import read_delivery
from contexten_core.learning.models import LearningModel, LearningPatternModel
from contexten_core.projects.add import add_repository
from contexten_core.projects.models import ProjectModel
from contexten_core.prompts.define import checks_of, define_prompt
from contexten_core.prompts.models import PromptModel
from contexten_core.runtime import open_runtime
from contexten_core.settings import DatabaseConfig
from contexten_core.tasks.models import TaskExecutionModel, TaskModel, TaskStatus
from tests.soak.crash_program import TOKEN, Kind, Point, settings_of, work

IS_LONG = "CONTEXTEN_SOAK_SECONDS" in os.environ
SAMPLE = 61
"""Every so many-th case is in the short form: a prime, so that all kinds are among them."""

SECRET = "a webhook secret of the crash matrix"
NUMBER = 12
KILLS = 50 if IS_LONG else 13
"""Of each kind of handling on each kind of database: 200 in all, or 52."""

MOST_TRIES = 3
SEED = 8_150_032
MOST_TAKEOVERS = 8
KILLED = -9


@dataclass(frozen=True, slots=True)
class End:
    """What there is in the end, without what differs from one lifecycle to the next: ids, times, durations."""

    events: Counter[tuple[str, str, bool]] = field(default_factory=Counter)
    runs: Sequence[tuple[Any, ...]] = ()
    steps: Sequence[tuple[str, str]] = ()
    tasks: Sequence[str] = ()
    executions: Counter[str] = field(default_factory=Counter)
    analytics: Sequence[bool | None] = ()
    learned: int = 0
    patterns: Sequence[int] = ()
    counted: Sequence[tuple[int, ...]] = ()
    effects: Sequence[tuple[str, str]] = ()
    statuses: Sequence[str] = ()
    comments: Sequence[str] = ()
    reactions: int = 0
    checkouts: Sequence[str] = ()

    def contradictions(self) -> list[str]:
        """Say what is wrong whether the run was completed or failed, which one that met a bug does for good."""
        (event, lives), *others = [each for each in self.events.items() if each[0][0] == "pull_request"]
        is_completed = event[1] is EventStatus.COMPLETED
        conclusion = Conclusion.FAILURE if is_completed else Conclusion.ERROR
        conditions = {
            "one event that ended": lives == 1 and not others and (is_completed or event[1] is EventStatus.FAILED),
            "no lease": not any(held for _, _, held in self.events),
            "one run that ended so": [run[1:3] for run in self.runs]
            == [(RunStatus.COMPLETED if is_completed else RunStatus.FAILED, conclusion)],
            "one task, which failed": self.tasks in ([], [TaskStatus.FAILED]),
            "counted once": len(self.analytics) <= 1 and self.learned <= 1 and sum(self.patterns) <= 1,
            "everything was said": {status for _, status in self.effects} <= {EffectStatus.SENT},
            "one last status": self.statuses in ([], ["pending", "failure"], ["pending", "error"]),
            "one comment": len(self.comments) <= 1,
            "no checkout": not self.checkouts,
        }
        return [f"not {name}: {self}" for name, holds in conditions.items() if not holds]

    def differences(self, other: "End") -> list[str]:
        """Say what is not as in another end."""
        ours, theirs = asdict(self), asdict(other)
        return [f"{name}: {ours[name]}, not {theirs[name]}" for name in ours if ours[name] != theirs[name]]


class Matrix:
    """One lifecycle after another, each on an emptied database, with a repository and a home of its own."""

    def __init__(
        self, config: DatabaseConfig, github: RunningEmulator, repository: DemoRepository, folder: Path
    ) -> None:
        self._config = config
        self._github = github
        self._repository = repository
        self._folder = folder
        self._numbers = count()
        self._process: asyncio.subprocess.Process | None = None
        # How long the first worker took, in seconds.
        self.lasted = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Matrix"]:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.soak.crash_program"),
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            yield self
        finally:
            # Whatever it is at.
            os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()

    async def live(
        self,
        *,
        at: Point | None = None,
        kind: Kind = Kind.KILL,
        together: bool = False,
        after: float | None = None,
    ) -> tuple[int, list[Point], End]:
        """Have a worker handle one event, and break off; then others, until all is done.

        Args:
            at: where it breaks off.
            kind: how it does.
            together: whether it handles events as is done when there are many.
            after: how many seconds after its start it is killed, wherever it is then.

        Returns:
            The code that the worker ended with, the fault points that it passed unless it was killed, and the end.
        """
        number = next(self._numbers)
        name, home = f"acme/till-{number}", self._folder / f"home-{number}"
        told = {
            "database_url": None if self._is_sqlite else self._config.address.render_as_string(hide_password=False),
            "sqlite_path": str(self._config.sqlite_path) if self._is_sqlite else None,
            "home": str(home),
            "github": self._github.url,
        }
        await self._prepare(name, told)
        points = self._folder / f"points-{number}.json"
        place = None if at is None else asdict(at)
        request = {"settings": told, "at": place, "kind": kind.value, "points": str(points), "together": together}
        began = time.monotonic()
        code = await self._ask({**request, "after": after})
        self.lasted = time.monotonic() - began
        passed = [Point(*each) for each in json.loads(points.read_text())] if points.exists() else []
        await self._take_over(told)
        return code, passed, await self._end(name, home)

    @property
    def _is_sqlite(self) -> bool:
        return bool(self._config.use_sqlite)

    async def _ask(self, request: dict[str, Any]) -> int:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        async with asyncio.timeout(60):
            return int(await self._process.stdout.readline())

    async def _prepare(self, name: str, told: dict[str, Any]) -> None:
        settings = settings_of(told).model_copy(update={"github_webhook_secrets": (SecretStr(SECRET),)})
        repository = self._repository
        database = Database(self._config)
        async with database.transaction() as session:
            for table in reversed(metadata.sorted_tables):
                await session.execute(table.delete())
            project, _ = await add_repository(session, full_name=name, clone_url=str(repository.path), config=None)
            await define_prompt(
                session, checks_of(project_slug=project.slug, project_name=project.name, command="false", limits={})
            )
        payload = pull_request_payload(
            name,
            NUMBER,
            "synchronize",
            repository.branch_head,
            repository.head,
            repository.branch,
            repository.branch_message,
            "mona",
            at=datetime(2026, 1, 7, 10, 0, tzinfo=UTC),
        )
        delivery = GitHubDelivery(event="pull_request", payload=payload)
        read = read_delivery(
            EventProvider.GITHUB, headers=delivery.headers(SECRET), body=delivery.body, settings=settings, now=utc_now()
        )
        assert isinstance(read, Delivery)
        await write(database, [read])
        await database.close()

    async def _take_over(self, told: dict[str, Any]) -> None:
        """Have what is waited for be over: leases, pauses before a next try, and what breakers remember."""
        for _ in range(MOST_TAKEOVERS):
            BREAKERS.clear()
            past = utc_now() - timedelta(seconds=1)
            async with open_runtime(settings_of(told)) as runtime:
                async with runtime.database.transaction() as session:
                    events = update(EventModel).where(EventModel.processed_at.is_(None))
                    await session.execute(events.values(available_at=past))
                    held = update(EventModel).where(EventModel.status == EventStatus.PROCESSING)
                    await session.execute(held.values(lease_expires_at=past))
                    waiting = update(OutboxModel).where(OutboxModel.status == EffectStatus.PENDING)
                    await session.execute(waiting.values(available_at=past))
                await work(runtime)
                async with runtime.database.reading() as session:
                    is_open = EventModel.provider == EventProvider.GITHUB, EventModel.processed_at.is_(None)
                    left = list(await session.scalars(select(EventModel.id).where(*is_open)))
                    is_pending = OutboxModel.status == EffectStatus.PENDING
                    left += await session.scalars(select(OutboxModel.id).where(is_pending))
            if not left:
                return

    async def _end(self, name: str, home: Path) -> End:
        database = Database(self._config)

        async def rows(model: type[BaseModel]) -> list[Any]:
            async with database.reading() as session:
                return list(await session.scalars(select(model).order_by(model.created_at)))

        events = await rows(EventModel)
        runs = await rows(RunModel)
        executions = await rows(TaskExecutionModel)
        try:
            return End(
                events=Counter((each.event_type, each.status, each.lease_owner is not None) for each in events),
                runs=[(each.attempt, each.status, each.conclusion, each.reason) for each in runs],
                steps=sorted((each.handler_name, each.status) for each in await rows(EventHandlerModel)),
                tasks=[each.status for each in await rows(TaskModel)],
                executions=Counter(each.status for each in executions if each.status is not TaskStatus.CANCELLED),
                analytics=[each.success for each in await rows(AnalyticsModel)],
                learned=len(await rows(LearningModel)),
                patterns=[each.occurrence_count for each in await rows(LearningPatternModel)],
                counted=[
                    *((each.usage_count,) for each in await rows(PromptModel)),
                    *((each.total_tasks, each.completed_tasks, each.failed_tasks) for each in await rows(ProjectModel)),
                ],
                effects=sorted((each.kind, each.status) for each in await rows(OutboxModel)),
                statuses=[each.state for each in self._github.recorder.statuses if each.repository == name],
                comments=[
                    _without_figures(each["body"])
                    for each in self._github.recorder.comments
                    if f"/{name}/" in each["issue_url"]
                ],
                reactions=len(self._github.recorder.reactions),
                checkouts=[path.name for path in (home / "checkouts").glob("*")],
            )
        finally:
            await database.close()


def _without_figures(text: str) -> str:
    """Return a comment without the ids, commits and durations that it names."""
    return re.sub(r"<!--.*?-->|`[0-9a-f]{12}`|[0-9a-f]{8}-[0-9a-f-]{27}|\d[\d.]* m?s|till-\d+|:\d+", "#", text)


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> DemoRepository:
    return make_demo_repositories(tmp_path_factory.mktemp("crash-repositories")).cashbox


async def test_wherever_a_worker_breaks_off_the_end_is_the_same(
    database_config: DatabaseConfig, repository: DemoRepository, tmp_path: Path
) -> None:
    async with (
        run_emulator(required_token=TOKEN, capacity=100_000) as github,
        Matrix(database_config, github, repository, tmp_path).running() as matrix,
    ):
        code, points, undisturbed = await matrix.live()
        assert code == 0
        assert undisturbed.statuses == ["pending", "failure"]
        assert len(undisturbed.comments) == len(undisturbed.patterns) == len(undisturbed.analytics) == 1
        code, joint, together = await matrix.live(together=True)
        assert (code, together.differences(undisturbed)) == (0, [])
        cases = [(point, kind, False) for point in points for kind in Kind]
        cases += [(point, Kind.KILL, True) for point in joint]
        chosen = cases if IS_LONG else cases[::SAMPLE]
        reached = 0
        wrong: list[str] = []
        for point, kind, is_joint in chosen:
            code, passed, end = await matrix.live(at=point, kind=kind, together=is_joint)
            reached += code == KILLED or point in passed
            for told in end.differences(undisturbed) if kind is not Kind.BUG else end.contradictions():
                wrong.append(f"{kind} {point}: {told}")
                print(wrong[-1], flush=True)
    print(f"{len(chosen)} of {len(cases)} cases, {reached} came to their fault point")
    assert wrong == []
    # Which of two effects comes first, and so which is which, is for the network to say.
    assert reached > len(chosen) / 2


@pytest.mark.parametrize("together", [False, True], ids=["alone", "together"])
async def test_kill_9_at_any_time_loses_and_doubles_nothing(
    database_config: DatabaseConfig, repository: DemoRepository, tmp_path: Path, together: bool
) -> None:
    chance, kills = random.Random(SEED), 0
    async with (
        run_emulator(required_token=TOKEN, capacity=100_000) as github,
        Matrix(database_config, github, repository, tmp_path).running() as matrix,
    ):
        await matrix.live(together=together)
        _, _, undisturbed = await matrix.live(together=together)
        longest = matrix.lasted
        for _ in range(KILLS * MOST_TRIES):
            after = chance.uniform(0, longest)
            code, _, end = await matrix.live(together=together, after=after)
            assert end.differences(undisturbed) == [], f"killed after {after:.3f} s of {longest:.3f} s"
            kills += code == KILLED
            if kills == KILLS:
                break
    assert kills == KILLS
