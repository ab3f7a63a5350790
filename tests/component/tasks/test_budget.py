"""What budgets are counted from."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from contexten_core.db import Database, utc_now
from contexten_core.events import outbox_store
from contexten_core.events.models import EventModel, EventProvider, RunModel, RunStatus
from contexten_core.learning.models import LearningModel, LearningType
from contexten_core.projects.add import add_repository
from contexten_core.prompts import usage_store
from contexten_core.prompts.define import PromptSpec, define_prompt
from contexten_core.prompts.models import Executor
from contexten_core.tasks.budget import Allowance, allowance
from contexten_core.tasks.change import create_task
from contexten_core.tasks.inputs import TaskCreate
from contexten_core.tasks.models import TaskType

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

NOON = datetime(2026, 3, 15, 12, 0, tzinfo=UTC)
COMMIT = "4d1c2b3a" * 5
SUBJECT = "acme/cashbox#12"


class Budgeted:
    """A project with one prompt, and what it has used up."""

    slug = "fix"

    def __init__(self, project_id: UUID, prompt_id: UUID, *, executor: Executor = Executor.LLM) -> None:
        self.project_id = project_id
        self.prompt_id = prompt_id
        self.executor = executor

    async def use(self, session: "AsyncSession", *, day: datetime, cost: float) -> None:
        await usage_store.add(
            session,
            prompt_id=self.prompt_id,
            version=1,
            project_id=self.project_id,
            day=day.replace(hour=0),
            uses=1,
            successes=1,
            errors=0,
            seconds=1.0,
            cost=cost,
            last_used_at=day,
        )

    async def run(self, session: "AsyncSession", *, fingerprint: str | None = None) -> UUID:
        event = EventModel(
            id=uuid4(),
            name="push",
            title="push",
            event_type="push",
            provider=EventProvider.GITHUB,
            digest=str(uuid4()),
            payload={},
            available_at=NOON,
        )
        task, _ = await create_task(session, TaskCreate(name="Fix it", task_type=TaskType.BUG_FIX))
        session.add(event)
        await session.flush()
        run = RunModel(
            id=uuid4(),
            name="run",
            event_id=event.id,
            attempt=1,
            status=RunStatus.COMPLETED,
            subject=SUBJECT,
            project_id=self.project_id,
            prompt_id=self.prompt_id,
            probability=1.0,
            commit_sha=COMMIT,
            task_id=task.id,
            started_at=NOON,
        )
        outcome = LearningModel(
            id=uuid4(),
            name="outcome",
            learning_type=LearningType.ERROR_ANALYSIS,
            data={"fingerprint": fingerprint},
            source_component="tasks",
            task_id=task.id,
        )
        session.add_all([run, outcome])
        await session.flush()
        return run.id

    async def ask(self, session: "AsyncSession", *, now: datetime = NOON, **limits: Any) -> Allowance:
        return await allowance(
            session,
            self,
            config={("budget", key): value for key, value in limits.items()},
            project_id=self.project_id,
            run_id=uuid4(),
            subject=SUBJECT,
            commit=COMMIT,
            now=now,
        )


@pytest.fixture
async def budgeted(database: Database) -> Budgeted:
    async with database.transaction() as session:
        project, _ = await add_repository(session, full_name="acme/cashbox")
        spec = PromptSpec(slug="fix", name="Fix", template="Fix it", executor_config={"command": "true"})
        prompt = await define_prompt(session, spec)
        return Budgeted(project.id, prompt.id)


async def test_dollars_are_counted_by_day_and_by_month(database: Database, budgeted: Budgeted) -> None:
    async with database.transaction() as session:
        await budgeted.use(session, day=NOON, cost=4.5)
        await budgeted.use(session, day=NOON - timedelta(days=3), cost=3.5)
        await budgeted.use(session, day=NOON - timedelta(days=30), cost=100)
        near = await budgeted.ask(session, daily_dollars=10, monthly_dollars=10)
        over = await budgeted.ask(session, daily_dollars=10, monthly_dollars=8)

    assert near == Allowance(
        notes=(
            "daily dollars: $4.50 of $10 used, this run is likely to take $4.00",
            "monthly dollars: $8.00 of $10 used, this run is likely to take $4.00",
        )
    )
    assert over.stop is not None
    assert over.stop.reason.startswith("the project's budget is used up, monthly dollars: $8.00 of $8 used")


async def test_effects_are_counted_but_not_what_a_run_says_of_itself(database: Database, budgeted: Budgeted) -> None:
    now = utc_now()
    async with database.transaction() as session:
        run_id = await budgeted.run(session)
        for number, (kind, key) in enumerate(
            [
                ("github.comment", "github.comment:0"),
                ("slack.message", "slack.message:0"),
                ("slack.message", "slack.message:started"),
                ("github.commit_status", "commit_status:final"),
            ]
        ):
            await outbox_store.enqueue(
                session,
                kind=kind,
                effect_key=f"{run_id}:{key}",
                stream=key,
                position=number,
                content={},
                run_id=run_id,
            )
        allowed = await budgeted.ask(session, now=now, daily_effects=2)

    assert allowed.stop is not None
    assert allowed.stop.reason == "the project's budget is used up, daily effects: 2 of 2 effects used"


async def test_a_prompt_that_fails_in_the_same_way_again_and_again_is_stopped(
    database: Database, budgeted: Budgeted
) -> None:
    async with database.transaction() as session:
        await budgeted.run(session, fingerprint="same")
        before = await budgeted.ask(session, attempts=2)
        await budgeted.run(session, fingerprint="same")
        after = await budgeted.ask(session, attempts=2)
        budgeted.executor = Executor.COMMAND
        by_command = await budgeted.ask(session, attempts=2)

    assert (before.stop, by_command.stop) == (None, None)
    assert after.stop is not None
    assert after.stop.reason == "no progress: fix failed 2 times in the same way on 4d1c2b3"
