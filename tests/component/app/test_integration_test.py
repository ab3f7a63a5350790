"""The examination of a running system finds what is broken, and nothing else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import func, select, text

from contexten import ContextenApp
from contexten.integration_test import run_integration_test
from contexten_core.analytics.models import AnalyticsModel
from contexten_core.codebase.models import CodebaseModel
from contexten_core.events.models import EventModel
from contexten_core.learning.models import LearningModel
from contexten_core.projects.models import ProjectModel
from contexten_core.prompts.models import PromptModel
from contexten_core.tasks.models import TaskModel

BuildApp = Callable[..., ContextenApp]

TESTS = (
    "system_initialization",
    "database_operations",
    "event_system",
    "performance_monitoring",
    "error_handling",
    "continuous_learning",
    "end_to_end_workflow",
    "system_health",
)
MODELS = (TaskModel, ProjectModel, PromptModel, CodebaseModel, AnalyticsModel, EventModel, LearningModel)


async def stored(app: ContextenApp) -> dict[str, int]:
    async with app.db_manager.reading() as session:
        return {
            # The monitor stores what it measures whenever it likes.
            model.__tablename__: (
                await session.execute(select(func.count(model.id)).where(~model.name.startswith("performance of ")))
            ).scalar_one()
            for model in MODELS
        }


async def execute(app: ContextenApp, *statements: str) -> None:
    async with app.db_manager.transaction() as session:
        for statement in statements:
            await session.execute(text(statement))


def statuses(results: dict[str, Any], wanted: str) -> set[str]:
    return {name for name in TESTS if results[name]["status"] == wanted}


def check_summary(results: dict[str, Any], *, failed: set[str], skipped: frozenset[str] = frozenset()) -> None:
    assert tuple(results) == (*TESTS, "summary")
    assert {name: results[name] for name in statuses(results, "FAILED") ^ failed} == {}
    assert statuses(results, "SKIPPED") == skipped
    assert statuses(results, "PASSED") == set(TESTS) - failed - skipped
    passed = len(TESTS) - len(failed) - len(skipped)
    summary = results["summary"]
    assert summary.pop("total_duration_seconds") > 0
    assert summary == {
        "total_tests": 8,
        "passed_tests": passed,
        "failed_tests": len(failed),
        "skipped_tests": len(skipped),
        "success_rate": round(100 * passed / (passed + len(failed)), 1),
        "overall_status": "FAILED" if failed else "PASSED",
    }
    for name in TESTS:
        told = {"PASSED": "details", "FAILED": "error", "SKIPPED": "reason"}[results[name]["status"]]
        assert set(results[name]) == {"status", "duration_seconds", told}
        assert results[name][told]


async def test_a_whole_system_passes_and_is_left_as_it_was(app: ContextenApp) -> None:
    before = await stored(app)

    results = await run_integration_test(app)

    check_summary(results, failed=set())
    assert len(results["database_operations"]["details"]["modules"]) == 7
    assert app.orchestrator.is_initialized()
    assert await stored(app) == before
    check_summary(await run_integration_test(app), failed=set())


async def test_an_application_that_was_not_initialized_is_closed_again(build_app: BuildApp) -> None:
    app = build_app()

    check_summary(await run_integration_test(app), failed=set())

    assert not app.orchestrator.is_initialized()


async def test_what_is_off_is_skipped_with_the_reason(build_app: BuildApp) -> None:
    app = build_app(enable_monitoring=False, enable_learning=False)

    results = await run_integration_test(app)

    check_summary(results, failed=set(), skipped=frozenset({"performance_monitoring", "continuous_learning"}))
    assert results["performance_monitoring"]["reason"] == "performance monitoring is off"
    assert results["continuous_learning"]["reason"] == "continuous learning is off"


async def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError("deliberately broken")


async def no_report(app: ContextenApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.performance_monitor, "get_performance_report", broken)


async def no_counts(app: ContextenApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.performance_monitor, "record", lambda *_, **__: None)


async def no_recovery(app: ContextenApp, monkeypatch: pytest.MonkeyPatch) -> None:
    async def shrug(*_: Any, **__: Any) -> dict[str, Any]:
        return {"category": "system", "recovery_successful": False}

    monkeypatch.setattr(app.error_handler, "handle_error", shrug)


async def no_statistics(app: ContextenApp, monkeypatch: pytest.MonkeyPatch) -> None:
    await execute(app, "DROP TABLE error_counts")


async def no_calls(app: ContextenApp, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: Any) -> list[Any]:
        return []

    monkeypatch.setattr(app.orchestrator.runner, "call", nothing)


async def no_learning(app: ContextenApp, monkeypatch: pytest.MonkeyPatch) -> None:
    cascade = "" if app.db_manager.is_sqlite else " CASCADE"
    await execute(
        app, *(f"DROP TABLE {name}{cascade}" for name in ("learning_feedback", "learning_patterns", "learning"))
    )


async def no_prompts(app: ContextenApp, monkeypatch: pytest.MonkeyPatch) -> None:
    await execute(app, "ALTER TABLE prompts RENAME COLUMN template TO wording")


async def no_counting_of_tasks(app: ContextenApp, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "UPDATE projects SET completed_tasks = 0 WHERE completed_tasks > 0"
    if app.db_manager.is_sqlite:
        await execute(
            app,
            f"CREATE TRIGGER forget AFTER UPDATE ON projects WHEN NEW.completed_tasks > 0 BEGIN {body}; END",
        )
        return
    await execute(
        app,
        "CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN NEW.completed_tasks := 0; RETURN NEW; END $$",
        "CREATE TRIGGER forget BEFORE UPDATE ON projects FOR EACH ROW EXECUTE FUNCTION forget()",
    )


async def no_polling(app: ContextenApp, monkeypatch: pytest.MonkeyPatch) -> None:
    polling = app.orchestrator._polling
    assert polling is not None
    polling.cancel()
    await asyncio.wait([polling])


async def another_component(app: ContextenApp, monkeypatch: pytest.MonkeyPatch) -> None:
    app.orchestrator.register_component("contexten_app", object())


@pytest.fixture
async def victim(build_app: BuildApp) -> AsyncIterator[ContextenApp]:
    app = build_app(settings={"api_retry_delay_seconds": 0.01})
    await app.initialize()
    yield app
    await app.shutdown()


Break = Callable[[ContextenApp, pytest.MonkeyPatch], Awaitable[None]]


@pytest.mark.parametrize(
    ("break_it", "failed"),
    [
        (no_report, {"performance_monitoring"}),
        (no_counts, {"performance_monitoring"}),
        (no_recovery, {"error_handling"}),
        (no_statistics, {"error_handling"}),
        (no_calls, {"event_system", "continuous_learning"}),
        (no_learning, {"database_operations", "continuous_learning"}),
        (no_prompts, {"database_operations"}),
        (no_counting_of_tasks, {"end_to_end_workflow"}),
        (no_polling, {"system_health"}),
        (another_component, {"system_initialization"}),
    ],
)
async def test_what_is_broken_fails_its_tests_and_no_other(
    victim: ContextenApp, monkeypatch: pytest.MonkeyPatch, break_it: Break, failed: set[str]
) -> None:
    await break_it(victim, monkeypatch)

    results = await run_integration_test(victim)

    check_summary(results, failed=failed)
    async with victim.db_manager.reading() as session:
        left = (await session.execute(select(TaskModel.id).where(TaskModel.name.startswith("integration test")))).all()
    assert left == []


async def test_a_database_that_goes_away_midway_fails_the_rest(
    victim: ContextenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    emit = victim.orchestrator.emit_event

    async def emit_and_lose(*arguments: Any) -> None:
        await emit(*arguments)
        await victim.db_manager.close()

    monkeypatch.setattr(victim.orchestrator, "emit_event", emit_and_lose)

    results = await run_integration_test(victim)

    assert statuses(results, "PASSED") == {"system_initialization", "database_operations"}
    assert results["system_health"]["status"] == "FAILED"
    assert results["summary"]["failed_tests"] == 6
    assert results["summary"]["overall_status"] == "FAILED"


async def test_a_system_that_does_not_start_fails_everything_and_has_a_summary(build_app: BuildApp) -> None:
    app = build_app(repo="/nowhere/at/all")

    results = await run_integration_test(app)

    assert statuses(results, "PASSED") == set()
    assert results["summary"]["failed_tests"] == 8
    assert results["summary"]["success_rate"] == 0
