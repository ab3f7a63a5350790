"""What budgets are counted from."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from contexten_core.analytics.models import AnalyticsEventType, AnalyticsModel
from contexten_core.db import Database, utc_now
from contexten_core.events import outbox_store
from contexten_core.events.models import Conclusion, EventModel, EventProvider, RunModel, RunStatus
from contexten_core.learning.models import LearningModel, LearningType
from contexten_core.projects.add import add_repository
from contexten_core.prompts.define import PromptSpec, define_prompt
from contexten_core.prompts.models import Executor
from contexten_core.tasks.budget import Allowance, allowance, effects_left
from contexten_core.tasks.change import create_task
from contexten_core.tasks.forecast import Forecast, Span, forecast
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
    version = 1

    def __init__(self, project_id: UUID, prompt_id: UUID, *, executor: Executor = Executor.LLM) -> None:
        self.project_id = project_id
        self.prompt_id = prompt_id
        self.executor = executor
        self.limits: dict[str, Any] = {}

    async def use(self, session: "AsyncSession", *, at: datetime, task_id: UUID | None = None, **cost: float) -> None:
        """Have a run taken 90 s, and what it cost."""
        session.add(
            AnalyticsModel(
                id=uuid4(),
                created_at=at,
                name="fix",
                session_id="run",
                event_type=AnalyticsEventType.TASK_COMPLETED,
                component="tasks",
                operation=self.slug,
                event_data={"cost": {"calls": 1, "tokens_in": 0, "tokens_out": 0, "dollars": None, **cost}},
                duration_ms=90_000,
                success=True,
                project_id=self.project_id,
                task_id=task_id,
            )
        )
        await session.flush()

    async def run(
        self, session: "AsyncSession", *, fingerprint: str | None = None, diff: str | None = None, **cost: float
    ) -> UUID:
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
        task.result = {"proposals": [{"kind": "patch", "diff": diff}] if diff else []}
        session.add(event)
        await session.flush()
        run = RunModel(
            id=uuid4(),
            name="run",
            event_id=event.id,
            attempt=1,
            status=RunStatus.COMPLETED,
            conclusion=Conclusion.FAILURE,
            created_at=NOON,
            subject=SUBJECT,
            project_id=self.project_id,
            prompt_id=self.prompt_id,
            prompt_version=1,
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
            source_operation=self.slug,
            task_id=task.id,
        )
        session.add_all([run, outcome])
        if cost:
            await self.use(session, at=NOON, task_id=task.id, **cost)
        await session.flush()
        return run.id

    async def ask(
        self,
        session: "AsyncSession",
        *,
        now: datetime = NOON,
        commit: str = COMMIT,
        again: bool = False,
        **limits: Any,
    ) -> Allowance:
        return await allowance(
            session,
            self,
            config={("budget", key): value for key, value in limits.items()},
            project_id=self.project_id,
            run_id=uuid4(),
            subject=SUBJECT,
            commit=commit,
            now=now,
            again=again,
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
        await budgeted.use(session, at=NOON, dollars=4.5)
        await budgeted.use(session, at=NOON - timedelta(days=3), dollars=3.5)
        await budgeted.use(session, at=NOON - timedelta(days=30), dollars=100)
        some = await budgeted.ask(session, daily_dollars=10, monthly_dollars=11)
        near = await budgeted.ask(session, daily_dollars=10, monthly_dollars=10)
        over = await budgeted.ask(session, daily_dollars=10, monthly_dollars=8)

    assert some.notes == ()
    assert near.notes == ("monthly dollars: $8.00 of $10 used", "this run may take no more than $2.00")
    assert over.stop is not None
    assert over.stop.reason == "the project's budget is used up, monthly dollars: $8.00 of $8 used"


async def test_tokens_and_minutes_are_counted_too(database: Database, budgeted: Budgeted) -> None:
    async with database.transaction() as session:
        for _ in range(2):
            await budgeted.use(session, at=NOON, tokens_in=300, tokens_out=200)
        near = await budgeted.ask(session, daily_tokens=1_250, monthly_minutes=3.5)
        too_many = await budgeted.ask(session, monthly_tokens=1_000)
        too_long = await budgeted.ask(session, daily_minutes=3)

    assert near.notes == (
        "daily tokens: 1,000 of 1,250 tokens used",
        "monthly minutes: 3 of 3.5 minutes used",
        "this run may take no more than 250 tokens, 30 s",
    )
    assert too_many.stop is not None
    assert too_many.stop.reason.endswith("monthly tokens: 1,000 of 1,000 tokens used")
    assert too_long.stop is not None
    assert too_long.stop.reason.endswith("daily minutes: 3 of 3 minutes used")


async def test_a_run_may_take_no_more_than_what_is_left(database: Database, budgeted: Budgeted) -> None:
    async with database.transaction() as session:
        await budgeted.use(session, at=NOON, dollars=4, tokens_in=900)
        budgets: dict[str, Any] = {
            "daily_dollars": 5,
            "daily_tokens": 1_000,
            "monthly_minutes": 2.5,
            "run_dollars": 0.5,
        }
        narrowed = await budgeted.ask(session, **budgets)
        budgeted.limits = {"max_cost": 0.25, "max_tokens": 50, "wall_seconds": 10}
        lower = await budgeted.ask(session, **budgets)
        budgeted.executor = Executor.COMMAND
        by_command = await budgeted.ask(session, **budgets)

    assert narrowed.limits == {"max_cost": 0.5, "max_tokens": 100, "wall_seconds": 60}
    assert lower.limits == by_command.limits == {}


async def test_what_a_run_is_likely_to_take_is_known_from_the_third_on(database: Database, budgeted: Budgeted) -> None:
    async with database.transaction() as session:
        for dollars in (1.0, 2.0):
            await budgeted.run(session, dollars=dollars, tokens_in=100)
        few = await forecast(session, prompt_id=budgeted.prompt_id, version=1, now=NOON)
        await budgeted.run(session, dollars=9.0, tokens_in=100)
        known = await forecast(session, prompt_id=budgeted.prompt_id, version=1, now=NOON)
        other = await forecast(session, prompt_id=budgeted.prompt_id, version=2, now=NOON)
        near = await budgeted.ask(session, daily_dollars=15)

    assert (few, other) == (Forecast(2), Forecast(0))
    assert known == Forecast(3, seconds=Span(90, 90), tokens=Span(100, 100), dollars=Span(2, 9))
    assert near.notes[0] == "daily dollars: $12.00 of $15 used, this run is likely to take $2.00"


async def test_effects_are_counted_but_not_what_a_run_says_of_itself(database: Database, budgeted: Budgeted) -> None:
    now = utc_now()
    async with database.transaction() as session:
        run_id = await budgeted.run(session)
        for number, (kind, key) in enumerate(
            [
                ("github.comment", "github.comment:0"),
                ("slack.message", "slack.message:0"),
                ("slack.message", "slack.message:started"),
                ("slack.message", "slack.message:void-approval"),
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
        left = await effects_left(
            session, {"monthly_effects": 5, "run_effects": 9}, project_id=budgeted.project_id, now=now
        )

    assert allowed.stop is not None
    assert allowed.stop.reason == "the project's budget is used up, daily effects: 2 of 2 effects used"
    assert left is not None
    assert (left.name, left.left) == ("monthly_effects", 3)


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


async def test_the_same_change_and_the_same_failure_on_another_commit_is_no_progress(
    database: Database, budgeted: Budgeted
) -> None:
    async with database.transaction() as session:
        for _ in range(2):
            await budgeted.run(session, fingerprint="same", diff="+ pass")
        by_itself = await budgeted.ask(session, commit="0a1b2c3d" * 5)
        asked_for = await budgeted.ask(session, commit="0a1b2c3d" * 5, again=True)

    assert by_itself.stop is not None
    assert by_itself.stop.reason.startswith("no progress: fix proposed the same change twice")
    assert asked_for.stop is None
