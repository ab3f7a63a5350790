"""A worker over the test's database: deliveries reach it signed, and it takes the seven steps without Prefect."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from contexten.emulators.github_payloads import push_payload
from contexten.emulators.sender import GitHubDelivery
from contexten_core.analytics.record import Recorded, record_outcome
from contexten_core.codebase.examine import CodebaseSummary, examine
from contexten_core.db import Database, utc_now
from contexten_core.errors import GitError
from contexten_core.events.admit import admit_events
from contexten_core.events.claim import RunRef, claim_events
from contexten_core.events.delivery import Delivery
from contexten_core.events.finish import Ignored, LifecycleResult, complete_run, ignore_run
from contexten_core.events.history import RunHistory, run_history
from contexten_core.events.ingest import ingest
from contexten_core.events.keep import write
from contexten_core.events.models import EventModel, EventProvider
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.receive import read_delivery
from contexten_core.events.steps import Step, run_step
from contexten_core.learning.mine import Mined, mine
from contexten_core.projects.add import add_repository
from contexten_core.projects.resolve import Target, resolve
from contexten_core.prompts.define import checks_of, define_prompt
from contexten_core.prompts.select import Choice, select
from contexten_core.runtime import Runtime, open_runtime
from contexten_core.settings import DatabaseConfig, Settings
from contexten_core.tasks.execute import execute
from contexten_core.tasks.outcome import Outcome, Unavailable

SECRET = "the-webhook-secret-of-the-tests"
COMMIT = "4d1c2b3a" * 5
BEFORE = "0a1b2c3d" * 5


class Worker:
    """One process that handles events. `database` and `runtime` are its own."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.database: Database = runtime.database

    async def receive(self, delivery: GitHubDelivery) -> UUID:
        """Store a delivery that GitHub signed, and return its event."""
        read = read_delivery(
            EventProvider.GITHUB,
            headers=delivery.headers(SECRET),
            body=delivery.body,
            settings=self.runtime.settings,
            now=utc_now(),
        )
        assert isinstance(read, Delivery)
        (receipt,) = await write(self.database, [read])
        await admit_events(self.runtime, limit=10)
        return receipt.event_id

    async def claim(self) -> RunRef:
        """Claim the one event that waits."""
        await admit_events(self.runtime, limit=10)
        (run,) = await claim_events(self.runtime, limit=10)
        return run

    async def take_on(self, delivery: GitHubDelivery) -> RunRef:
        await self.receive(delivery)
        return await self.claim()

    async def event(self, event_id: UUID) -> EventModel:
        async with self.database.reading() as session:
            event = await session.get(EventModel, event_id)
            assert event is not None
            return event

    async def history(self, run: RunRef) -> RunHistory:
        async with self.database.reading() as session:
            return await run_history(session, run.run_id)

    async def change_event(self, event_id: UUID, **values: Any) -> None:
        """Put an event into a state that would take long to reach, such as the end of a wait, or of a lease."""
        if "lease_expires_at" in values:
            self.runtime.leases.release(event_id)
        async with self.database.transaction() as session:
            event = await session.get(EventModel, event_id)
            for key, value in values.items():
                setattr(event, key, value)

    async def add_project(
        self,
        full_name: str,
        *,
        clone_url: str | None = None,
        command: str = "python -m pytest -q -p no:cacheprovider",
        limits: Mapping[str, Any] | None = None,
        api_url: str | None = None,
    ) -> None:
        """Make a repository known, with a prompt that runs its checks."""
        async with self.database.transaction() as session:
            config = {("github", "api_url"): api_url} if api_url else None
            project, _ = await add_repository(session, full_name=full_name, clone_url=clone_url, config=config)
            spec = checks_of(project_slug=project.slug, project_name=project.name, command=command, limits=limits or {})
            await define_prompt(session, spec)

    async def ingest(self, run: RunRef) -> NormalisedEvent:
        return await run_step(self.runtime, run, Step.INGEST_EVENT, NormalisedEvent, ingest)

    async def resolve(self, run: RunRef, event: NormalisedEvent) -> Target | Ignored:
        work = partial(resolve, event=event)
        return await run_step(self.runtime, run, Step.RESOLVE_PROJECT, Target | Ignored, work)

    async def select(self, run: RunRef, event: NormalisedEvent, target: Target) -> Choice | Ignored:
        work = partial(select, event=event, target=target)
        return await run_step(self.runtime, run, Step.SELECT_PROMPT, Choice | Ignored, work)

    async def examine(self, run: RunRef, target: Target) -> CodebaseSummary | Unavailable:
        work = partial(examine, target=target)
        try:
            return await run_step(self.runtime, run, Step.ANALYSE_CODEBASE, CodebaseSummary, work)
        except GitError as error:
            return Unavailable.because(error)

    async def execute(
        self,
        run: RunRef,
        event: NormalisedEvent,
        target: Target,
        choice: Choice,
        code: CodebaseSummary | Unavailable,
        say: Callable[[str], None],
    ) -> Outcome:
        work = partial(execute, event=event, target=target, choice=choice, code=code, say=say)
        return await run_step(self.runtime, run, Step.EXECUTE_TASK, Outcome, work)

    async def record(self, run: RunRef, target: Target, choice: Choice, outcome: Outcome) -> Recorded:
        work = partial(record_outcome, target=target, choice=choice, outcome=outcome)
        return await run_step(self.runtime, run, Step.RECORD_ANALYTICS, Recorded, work)

    async def mine(self, run: RunRef, target: Target, choice: Choice, outcome: Outcome) -> Mined:
        work = partial(mine, target=target, choice=choice, outcome=outcome)
        return await run_step(self.runtime, run, Step.MINE_PATTERNS, Mined, work)

    async def walk(self, run: RunRef, *, say: Callable[[str], None] = lambda _: None) -> LifecycleResult:
        """Take a run from its first unfinished step to its end, as `flows.lifecycle` does."""
        event = await self.ingest(run)
        target = await self.resolve(run, event)
        if isinstance(target, Ignored):
            return await ignore_run(self.runtime, run, target)
        choice = await self.select(run, event, target)
        if isinstance(choice, Ignored):
            return await ignore_run(self.runtime, run, choice)
        code = await self.examine(run, target)
        outcome = await self.execute(run, event, target, choice, code, say)
        await self.record(run, target, choice, outcome)
        await self.mine(run, target, choice, outcome)
        return await complete_run(self.runtime, run, outcome.conclusion)


def push(
    repository: str = "acme/cashbox", *, commit: str = COMMIT, before: str = BEFORE, branch: str = "main"
) -> GitHubDelivery:
    """Return the push of one commit, always the same bytes for the same arguments."""
    payload = push_payload(
        repository,
        before=before,
        after=commit,
        ref=f"refs/heads/{branch}",
        message="Add tax to the total",
        pusher="jonas",
        pushed_at=datetime(2026, 1, 7, 10, 0, tzinfo=UTC),
    )
    return GitHubDelivery(event="push", payload=payload)


OpenWorker = Callable[..., AbstractAsyncContextManager[Worker]]
Push = Callable[..., GitHubDelivery]


@pytest.fixture(name="push")
def push_fixture() -> Push:
    return push


@pytest.fixture
def open_worker(database_config: DatabaseConfig, tmp_path: Path) -> OpenWorker:
    """Start a worker on the test's database, as often as one is needed; settings can be given by name."""

    @asynccontextmanager
    async def opening(*, name: str | None = None, **changed: Any) -> AsyncIterator[Worker]:
        given: dict[str, Any] = {
            "db": database_config,
            "home": tmp_path / "home",
            "github_webhook_secrets": (SecretStr(SECRET),),
            "github_token": None,
            "public_url": "https://contexten.acme.example",
            "lease_seconds": 60,
            "debounce_seconds": 0,
            "heartbeat_seconds": 60,
            # Most repositories here are on no server.
            "repository_prompts": False,
        }
        async with open_runtime(Settings(**(given | changed)), name=name) as runtime:
            yield Worker(runtime)

    return opening


@pytest.fixture
async def worker(open_worker: OpenWorker) -> AsyncIterator[Worker]:
    async with open_worker() as worker:
        yield worker
