"""A migrated SQLite database, the real application over it, and rows as the lifecycle leaves them."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from pydantic import TypeAdapter

from contexten.server.app import create_app
from contexten_core.analytics.record import Recorded
from contexten_core.codebase.examine import CodebaseSummary
from contexten_core.db import Database, utc_now
from contexten_core.db.migrate import upgrade
from contexten_core.events.models import (
    Conclusion,
    EffectStatus,
    EventHandlerModel,
    EventModel,
    EventProvider,
    EventStatus,
    HandlerStatus,
    OutboxModel,
    RunModel,
    RunStatus,
)
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.steps import Step
from contexten_core.learning.failure import explain_failure
from contexten_core.learning.mine import Mined
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.projects.resolve import Target
from contexten_core.prompts.conditions import ConditionVerdict
from contexten_core.prompts.models import ConditionOperator, Executor
from contexten_core.prompts.select import Candidate, Choice, Explanation
from contexten_core.settings import DatabaseConfig, Settings
from contexten_core.tasks.models import TaskExecutionModel, TaskModel, TaskPriority, TaskStatus, TaskType
from contexten_core.tasks.outcome import Outcome

MakeEvent = Callable[..., Awaitable[EventModel]]
MakeRun = Callable[..., Awaitable[RunModel]]

COMMIT = "9f2c1e7ab4d05836c17f00e2d8a94b6351ce7d20"
GREEN_LOG = "\x1b[32m.....................\x1b[0m [100%]\n\x1b[32m21 passed\x1b[0m in 0.31s\n"
RED_LOG = """\
\x1b[1m============================= test session starts ==============================\x1b[0m
platform linux -- Python 3.11.7, pytest-8.4.2, pluggy-1.6.0
rootdir: /var/lib/contexten/checkouts/5d1c/code
collected 21 items

tests/test_invoice.py \x1b[32m.\x1b[0m\x1b[32m.\x1b[0m\x1b[31mF\x1b[0m\x1b[32m..........\x1b[0m          [ 61%]
tests/test_rounding.py \x1b[32m........\x1b[0m               [100%]

=================================== FAILURES ===================================
\x1b[31m\x1b[1m_____________________________ test_total_rounds_half_even ______________________________\x1b[0m

    def test_total_rounds_half_even():
        invoice = Invoice(lines=[Line(price=Decimal("0.125"), quantity=1)])
>       assert invoice.total == Decimal("0.12")
E       AssertionError: assert Decimal('0.13') == Decimal('0.12')
E        +  where Decimal('0.13') = Invoice(lines=[<script>alert(1)</script>]).total

tests/test_invoice.py:31: AssertionError
=========================== short test summary info ============================
FAILED tests/test_invoice.py::test_total_rounds_half_even - AssertionError: assert Decimal('0.13') == Decimal('0.12')
======================== 1 failed, 20 passed in 0.42s =========================
"""


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "contexten.db"
    upgrade(DatabaseConfig(use_sqlite=True, sqlite_path=path))
    return path


@pytest.fixture
def settings(migrated: Path, tmp_path: Path) -> Settings:
    path = tmp_path / "contexten.db"
    shutil.copy(migrated, path)
    return Settings(
        home=tmp_path,
        db=DatabaseConfig(use_sqlite=True, sqlite_path=path),
        prefect_api_url="http://127.0.0.1:4200/api",
        github_webhook_secrets=("not a secret to anybody",),
        secret_key="not a secret to anybody",
        response_timeout_seconds=30,
    )


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    database = Database(settings.db)
    yield database
    await database.close()


@pytest.fixture
def app(settings: Settings, database: Database) -> FastAPI:
    app = create_app(SystemOrchestrator(settings), lifespan=None)
    app.state.database = database
    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 50_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


@pytest.fixture
def make_event(database: Database) -> MakeEvent:
    async def make(**values: Any) -> EventModel:
        number = values.pop("number", 7)
        received_at = values.pop("received_at", utc_now() - timedelta(minutes=4))
        event = EventModel(
            **{
                "id": uuid4(),
                "name": "pull_request",
                "event_type": "pull_request",
                "provider": EventProvider.GITHUB,
                "external_id": str(uuid4()),
                "digest": uuid4().hex,
                "title": "Round totals the way the bank does",
                "status": EventStatus.COMPLETED,
                "subject": f"acme/billing#{number}",
                "source_repository": "acme/billing",
                "source_user": "ada",
                "source_url": f"https://github.com/acme/billing/pull/{number}",
                "payload": {
                    "action": "synchronize",
                    "number": number,
                    "repository": {"full_name": "acme/billing", "html_url": "https://github.com/acme/billing"},
                },
                "headers": {"content-type": "application/json", "x-github-event": "pull_request"},
                "available_at": received_at,
                "processed_at": received_at + timedelta(seconds=8),
                "created_at": received_at,
                **values,
            }
        )
        async with database.transaction() as session:
            session.add(event)
        return event

    return make


@pytest.fixture
def make_run(database: Database, make_event: MakeEvent) -> MakeRun:
    """Rows of a run alone: without steps, task or effects."""

    async def make(**values: Any) -> RunModel:
        event = values.pop("event", None) or await make_event(number=values.pop("number", 7))
        started_at = values.pop("started_at", utc_now() - timedelta(minutes=3))
        run = RunModel(
            **{
                "id": uuid4(),
                "name": f"{event.subject} synchronize",
                "event_id": event.id,
                "attempt": 1,
                "flow_run_id": uuid4(),
                "status": RunStatus.COMPLETED,
                "conclusion": Conclusion.SUCCESS,
                "subject": event.subject,
                "commit_sha": COMMIT,
                "explanation": asdict(explanation()),
                "started_at": started_at,
                "finished_at": started_at + timedelta(seconds=6),
                "created_at": started_at,
                **values,
            }
        )
        async with database.transaction() as session:
            session.add(run)
        return run

    return make


@pytest.fixture
def make_story(database: Database, make_run: MakeRun) -> MakeRun:
    """A run with everything that the seven steps of the lifecycle leave behind."""

    async def make(*, log: str = RED_LOG, **values: Any) -> RunModel:
        failed = values.get("conclusion", Conclusion.FAILURE) is Conclusion.FAILURE
        run = await make_run(**{"conclusion": Conclusion.FAILURE, **values})
        task = task_of(run)
        outcome = outcome_of(run, task, log=log, failed=failed)
        execution = TaskExecutionModel(
            id=outcome.execution_id,
            name=f"{run.name} (1)",
            execution_number=1,
            status=TaskStatus.FAILED if failed else TaskStatus.COMPLETED,
            input_parameters={"command": "python -m pytest -q --color=yes", "limits": {}},
            started_at=run.started_at + timedelta(seconds=1.3),
            completed_at=run.started_at + timedelta(seconds=5.2),
            duration_seconds=3.9,
            cpu_usage_percent=142.0,
            memory_usage_mb=87.2,
            logs=log,
            task_id=task.id,
        )
        if failed:
            task.error_message = outcome.headline
        async with database.transaction() as session:
            session.add(task)
            await session.flush()
            session.add_all([execution, *steps_of(run, outcome), *effects_of(run, outcome)])
            (await session.get_one(RunModel, run.id)).task_id = task.id
        return run

    return make


def explanation() -> Explanation:
    def condition(name: str, field: str, expected: Any, seen: Any) -> ConditionVerdict:
        operator = ConditionOperator.IN if isinstance(expected, list) else ConditionOperator.EQUALS
        holds = seen in expected if isinstance(expected, list) else seen == expected
        return ConditionVerdict(name, field, operator, expected, seen, holds)

    is_pull_request = condition("is a pull request", "event.type", "pull_request", "pull_request")
    is_push = condition("is a push", "event.type", "push", "pull_request")
    on_default = condition("is the default branch", "event.branch", "main", "round-half-even")
    action = condition("has new code", "event.action", ["opened", "synchronize", "reopened"], "synchronize")
    return Explanation(
        "run-tests",
        "run-tests applies",
        [
            Candidate("run-tests", 3, 100, applies=True, conditions=[is_pull_request, action]),
            Candidate("check-default-branch", 1, 50, applies=False, conditions=[is_push, on_default]),
        ],
    )


def task_of(run: RunModel) -> TaskModel:
    return TaskModel(
        id=uuid4(),
        name=run.name,
        title=f"run-tests: {run.name}",
        task_type=TaskType.TESTING,
        status=TaskStatus.COMPLETED,
        prompt="Run the project's tests.",
        started_at=run.started_at,
    )


def outcome_of(run: RunModel, task: TaskModel, *, log: str, failed: bool) -> Outcome:
    failure = explain_failure(log, exit_code=1, ended="exited") if failed else None
    return Outcome(
        task_id=task.id,
        execution_id=uuid4(),
        conclusion=Conclusion.FAILURE if failed else Conclusion.SUCCESS,
        headline=failure.headline if failure else "Succeeded in 3.9 s",
        exit_code=1 if failed else 0,
        duration_seconds=3.9,
        cpu_seconds=5.5,
        cpu_percent=142.0,
        memory_mb=87.2,
        failure=failure,
    )


def steps_of(run: RunModel, outcome: Outcome) -> list[EventHandlerModel]:
    """Records as `contexten_core.events.steps` writes them, one after the other with a little time between."""
    results: dict[Step, tuple[float, Any]] = {
        Step.INGEST_EVENT: (
            0.08,
            NormalisedEvent("pull_request", run.name, action="synchronize", actor="ada", title="Round totals"),
        ),
        Step.RESOLVE_PROJECT: (
            0.06,
            Target(
                project_id=uuid4(),
                project_slug="billing",
                project_name="Billing",
                repository_id=uuid4(),
                repository="acme/billing",
                clone_url="https://github.com/acme/billing",
                default_branch="main",
                commit=COMMIT,
                ref="refs/pull/7/head",
                allow_local=False,
                api_url=None,
            ),
        ),
        Step.SELECT_PROMPT: (
            0.11,
            Choice(
                prompt_id=uuid4(),
                slug="run-tests",
                version=3,
                instruction="Run the project's tests.",
                executor=Executor.COMMAND,
                executor_config={"command": "python -m pytest -q --color=yes"},
                limits={},
                task_type=TaskType.TESTING,
                task_priority=TaskPriority.MEDIUM,
            ),
        ),
        Step.ANALYSE_CODEBASE: (
            0.94,
            CodebaseSummary(
                codebase_id=uuid4(),
                files=212,
                lines=31_904,
                functions=1_204,
                classes=188,
                primary_language="Python",
                languages={},
                analysed=3,
                left_out=0,
                duration_seconds=0.9,
            ),
        ),
        Step.EXECUTE_TASK: (4.1, outcome),
        Step.RECORD_ANALYTICS: (0.09, Recorded(reported=True, description=outcome.headline)),
        Step.MINE_PATTERNS: (
            0.12,
            Mined(uuid4(), uuid4(), "5f" * 16, outcome.headline, occurrences=4, known=True)
            if outcome.failure
            else Mined(uuid4()),
        ),
    }
    started_at, records = run.started_at, []
    for step, (seconds, result) in results.items():
        records.append(step_record(run, step, started_at=started_at, seconds=seconds, result=result))
        started_at += timedelta(seconds=seconds + 0.05)
    return records


def step_record(run: RunModel, step: Step, *, started_at: datetime, seconds: float, result: Any) -> EventHandlerModel:
    return EventHandlerModel(
        name=step.value,
        handler_name=step.value,
        handler_type="step",
        status=HandlerStatus.COMPLETED,
        started_at=started_at,
        completed_at=started_at + timedelta(seconds=seconds),
        duration_ms=seconds * 1000,
        output_data=TypeAdapter(type(result)).dump_python(result, mode="json"),
        event_id=run.event_id,
        run_id=run.id,
        created_at=started_at,
    )


def effects_of(run: RunModel, outcome: Outcome) -> list[OutboxModel]:
    content = {"context": "contexten/run-tests", "repository": "acme/billing", "sha": COMMIT}
    return [
        OutboxModel(
            name=f"commit status {position}",
            kind="github.commit_status",
            effect_key=f"{run.id}:commit_status:{position}",
            stream=f"github:acme/billing:{COMMIT}",
            position=position,
            status=EffectStatus.SENT,
            content={**content, "state": state, "description": description},
            attempts=1,
            available_at=run.started_at,
            sent_at=run.started_at + timedelta(seconds=position * 6),
            run_id=run.id,
        )
        for position, (state, description) in enumerate(
            [("pending", "Running"), (outcome.conclusion.value, outcome.headline)]
        )
    ]
