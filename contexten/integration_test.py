"""An examination of the running system: eight tests that use it as its users do, and clean up after themselves."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID, uuid4

from contexten.contexten_app import COMPONENT, ContextenApp
from contexten.integration_rows import Rows
from contexten_core.db import migrate
from contexten_core.errors import ErrorCategory
from contexten_core.learning.models import LearningType
from contexten_core.tasks.models import TaskStatus

logger = logging.getLogger(__name__)

PASSED, FAILED, SKIPPED = "PASSED", "FAILED", "SKIPPED"
_TEST_SECONDS = 60.0
# Always the same one: a process tells apart only so many.
_OPERATION = "integration_test"


class SkippedTest(Exception):  # noqa: N818 - not an error
    """A test that says nothing about this system, and why."""


async def run_integration_test(app: ContextenApp | None = None) -> dict[str, Any]:
    """Examine a system, and return how each test went and a summary, whatever fails.

    Uses the database that is configured, the stack that runs on this `CONTEXTEN_HOME`, or our own PostgreSQL for the
    time of the test. The rows that the tests store they remove; the two errors that they cause and the operation that
    they measure stay in the statistics.

    Args:
        app: an application to examine; it is initialized if need be, and left as it was found.

    Returns:
        For each of the eight tests `{"status", "duration_seconds", "details" | "error" | "reason"}`, and `summary` with
        `total_tests, passed_tests, failed_tests, skipped_tests, success_rate` (percent of those not skipped),
        `total_duration_seconds` and `overall_status` (`PASSED` or `FAILED`).
    """
    started = time.monotonic()
    examined = app if app is not None else ContextenApp(name="integration-test")
    was_initialized = examined.orchestrator.is_initialized()
    examination = _Examination(examined)
    results: dict[str, Any] = {}
    try:
        for name, test in examination.tests().items():
            results[name] = await _run(name, test)
    finally:
        await examination.clean_up()
        if not was_initialized:
            await examined.shutdown()
    results["summary"] = _summary(results, seconds=time.monotonic() - started)
    return results


async def _run(name: str, test: Callable[[], Awaitable[Mapping[str, Any]]]) -> dict[str, Any]:
    started = time.monotonic()
    outcome: dict[str, Any]
    try:
        async with asyncio.timeout(_TEST_SECONDS):
            outcome = {"status": PASSED, "details": dict(await test())}
    except SkippedTest as skip:
        outcome = {"status": SKIPPED, "reason": str(skip)}
    except Exception as error:
        logger.info("%s failed", name, exc_info=error)
        outcome = {"status": FAILED, "error": f"{type(error).__name__}: {error}".removesuffix(": ")}
    return {"status": outcome.pop("status"), "duration_seconds": round(time.monotonic() - started, 3), **outcome}


def _summary(results: Mapping[str, Mapping[str, Any]], *, seconds: float) -> dict[str, Any]:
    counts = {wanted: sum(result["status"] == wanted for result in results.values()) for wanted in (PASSED, FAILED)}
    ran = counts[PASSED] + counts[FAILED]
    return {
        "total_tests": len(results),
        "passed_tests": counts[PASSED],
        "failed_tests": counts[FAILED],
        "skipped_tests": len(results) - ran,
        "success_rate": round(100 * counts[PASSED] / ran, 1) if ran else 0.0,
        "total_duration_seconds": round(seconds, 3),
        "overall_status": PASSED if counts[PASSED] and not counts[FAILED] else FAILED,
    }


def _check(condition: object, what: str) -> None:
    if not condition:
        raise AssertionError(what)


class _Examination:
    def __init__(self, app: ContextenApp) -> None:
        self._app = app
        self._system = app.orchestrator
        self._mark = f"integration test {uuid4().hex[:12]}"
        self._rows = Rows(app.db_manager, mark=self._mark)

    def tests(self) -> dict[str, Callable[[], Awaitable[Mapping[str, Any]]]]:
        return {
            "system_initialization": self._system_initialization,
            "database_operations": self._database_operations,
            "event_system": self._event_system,
            "performance_monitoring": self._performance_monitoring,
            "error_handling": self._error_handling,
            "continuous_learning": self._continuous_learning,
            "end_to_end_workflow": self._end_to_end_workflow,
            "system_health": self._system_health,
        }

    async def clean_up(self) -> None:
        """Remove what the tests stored, as far as the database answers."""
        try:
            await self._rows.remove()
        except Exception as error:  # noqa: BLE001 - a broken database is what the results say
            logger.warning("what the integration test stored could not be removed: %s", error)

    async def _system_initialization(self) -> Mapping[str, Any]:
        await self._app.initialize()
        _check(self._system.is_initialized(), "the orchestrator does not say that it is initialized")
        _check(self._system.get_component(COMPONENT) is self._app, "the application is not a component")
        revision = await asyncio.to_thread(migrate.current_revision, self._app.db_config)
        _check(revision == migrate.newest_revision(), f"the database is at revision {revision}")
        return {"revision": revision, "database": "sqlite" if self._app.db_manager.is_sqlite else "postgresql"}

    async def _database_operations(self) -> Mapping[str, Any]:
        modules = await self._rows.exercise_every_module()
        return {"modules": modules}

    async def _event_system(self) -> Mapping[str, Any]:
        event_type = f"integration_test_{uuid4().hex[:12]}"
        received: list[Any] = []

        async def waiting(data: Any) -> None:
            received.append(("async", data["number"]))

        def blocking(data: Any) -> None:
            received.append(("sync", data["number"]))

        self._system.register_event_handler(event_type, waiting)
        self._system.register_event_handler(event_type, blocking)
        try:
            await self._system.emit_event(event_type, {"number": 7, "name": self._mark})
        finally:
            self._system.unregister_event_handlers(event_type)
        _check(sorted(received) == [("async", 7), ("sync", 7)], f"the handlers received {received}")
        event = await self._rows.newest_event(event_type)
        _check(event is not None and event.status == "completed", "the event was not stored as completed")
        return {"handlers_called": len(received)}

    async def _performance_monitoring(self) -> Mapping[str, Any]:
        monitor = self._app.performance_monitor
        if monitor is None:
            raise SkippedTest("performance monitoring is off")
        before = (await monitor.get_current_metrics())["operation_counts"].get(_OPERATION, 0)
        with monitor.start_operation(_OPERATION):
            await asyncio.sleep(0.01)
        metrics = await monitor.get_current_metrics()
        _check(0 <= metrics["cpu_usage"] <= 100, f"cpu_usage is {metrics['cpu_usage']}")  # noqa: PLR2004 - percent
        _check(metrics["operation_counts"].get(_OPERATION, 0) > before, "the operation was not counted")
        report = await monitor.get_performance_report(hours=1)
        _check(report.get("total_samples", 0) > 0, f"the report has no samples: {report.get('error')}")
        _check(_OPERATION in report["response_times"], "the operation is not in the report")
        suggestions = await monitor.optimize_performance()
        return {"performance_score": metrics["performance_score"], "suggestions": len(suggestions["suggestions"])}

    async def _error_handling(self) -> Mapping[str, Any]:
        handler = self._app.error_handler
        before = (await handler.read_statistics())["total_errors"]
        timeout = TimeoutError("Connection timeout talking to api.github.com")
        calls = 0

        def operation() -> str:
            nonlocal calls
            calls += 1
            return "done"

        handled = await handler.handle_error(timeout, {"operation_name": self._mark, "operation": operation})
        category = handled["category"]
        _check(category is ErrorCategory.EXTERNAL_SERVICE, f"a timeout of GitHub's was classified as {category}")
        _check(handled["recovery_successful"] and calls == 1, "the operation was not tried again")
        hopeless = await handler.handle_error(ValueError("wrong"), {"operation_name": self._mark})
        _check(not hopeless["recovery_successful"], "an error that nothing can mend counts as mended")
        counted = (await handler.read_statistics())["total_errors"] - before
        _check(counted >= 2, f"of two errors {counted} were counted")  # noqa: PLR2004 - the two above
        return {"category": category.value, "recovered": True}

    async def _continuous_learning(self) -> Mapping[str, Any]:
        if not self._app.enable_learning:
            raise SkippedTest("continuous learning is off")
        task = await self._finished_task("completed")
        rows = await self._rows.learning_of(task)
        _check(rows, "nothing was learned from a completed task")
        confidence = rows[0].confidence_score
        _check(rows[0].learning_type is LearningType.SUCCESS_ANALYSIS, "a success was not learned as one")
        _check(confidence is not None and 0 <= confidence <= 1, f"the confidence is {confidence}")
        feedback = await self._rows.give_feedback(rows[0].id, task)
        return {"confidence": confidence, "feedback": str(feedback)}

    async def _end_to_end_workflow(self) -> Mapping[str, Any]:
        project = await self._system.create_project({"name": self._mark, "slug": self._mark.replace(" ", "-")})
        for ending in ("completed", "failed"):
            await self._finished_task(ending, project_id=project.id)
        counts = await self._rows.project_counts(project.id)
        _check(counts == (2, 1, 1), f"the project counts (total, completed, failed) {counts} tasks")
        return {"project": project.slug, "tasks": 2}

    async def _system_health(self) -> Mapping[str, Any]:
        health = await self._system.get_system_health()
        _check(health["status"] == "healthy", f"the system is {health['status']}: {health['components']}")
        return {"components": health["components"]}

    async def _finished_task(self, ending: str, *, project_id: UUID | None = None) -> UUID:
        task = await self._system.create_task(
            {
                "name": self._mark,
                "task_type": "testing",
                "priority": "low",
                "project_id": str(project_id) if project_id else None,
            }
        )
        for status in ("in_progress", ending):
            updated = await self._system.update_task(str(task.id), {"status": status})
            _check(updated is not None and updated.status == TaskStatus(status), f"the task did not become {status}")
        return task.id
