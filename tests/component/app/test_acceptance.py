"""The thirty mistakes of an earlier implementation (api.md, section 9): each is a test, named after its number."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psutil
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url, select

from contexten import ContextenApp
from contexten.emulators.sender import sign_github
from contexten_core.analytics.models import AnalyticsModel
from contexten_core.db import utc_now
from contexten_core.errors import ErrorCategory, OperationTimeoutError
from contexten_core.events import dispatch_store, function_store
from contexten_core.events.models import EventHandlerModel, EventModel, EventProvider, EventStatus, HandlerStatus
from contexten_core.learning.models import LearningModel, LearningType
from contexten_core.projects.models import ProjectModel
from contexten_core.settings import DatabaseConfig
from contexten_core.tasks.models import TaskModel, TaskStatus

BuildApp = Callable[..., ContextenApp]
SECRET = "a-secret-of-the-acceptance-tests"
TASK = {"name": "Implement Feature X", "task_type": "feature_implementation", "priority": "high"}


async def _rows(app: ContextenApp, model: Any, *where: Any) -> list[Any]:
    async with app.db_manager.reading() as session:
        return list((await session.execute(select(model).where(*where))).scalars())


async def _walk(app: ContextenApp, *statuses: str, **fields: Any) -> TaskModel:
    task = await app.orchestrator.create_task(TASK | fields)
    for status in statuses:
        updated = await app.orchestrator.update_task(str(task.id), {"status": status})
        assert updated is not None
        task = updated
    return task


async def _eventually(look: Callable[[], Any], *, seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (seen := await look()):
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.05)
    return seen


def _client(app: ContextenApp) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app.app, client=("127.0.0.1", 50_000))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


def test_01_the_package_imports(tmp_path: Path) -> None:
    code = (
        "import contexten, contexten_core, contexten.config, contexten.integration_test; print(contexten.__version__)"
    )
    said = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert said.stdout.strip()


async def test_02_health_turns_healthy(app: ContextenApp) -> None:
    health = await app.health_check()

    assert health["status"] == "healthy"
    assert health["components"]["database"] == "healthy"
    assert datetime.fromisoformat(health["timestamp"]).tzinfo is not None
    assert "cpu_usage" in health["performance"]


async def test_03_a_task_is_updated_by_its_id_as_text(app: ContextenApp) -> None:
    task = await app.orchestrator.create_task(TASK)

    updated = await app.orchestrator.update_task(str(task.id), {"status": "in_progress"})

    assert updated is not None
    assert updated.status is TaskStatus.IN_PROGRESS
    assert await app.orchestrator.update_task(str(uuid4()), {"status": "in_progress"}) is None


async def test_04_an_event_without_a_title_gets_one(app: ContextenApp) -> None:
    payload = {"repository": {"full_name": "acme/shop"}, "ref": "refs/heads/main"}

    event = await app.orchestrator.log_event({"provider": "github", "event_type": "push", "payload": payload})

    assert event.title == "acme/shop main push: refs/heads/main"


async def test_05_rows_round_trip_as_json(app: ContextenApp) -> None:
    task = await app.orchestrator.create_task(TASK | {"metadata": {"why": ["a", 1, None]}, "tags": ["urgent"]})

    told = json.loads(json.dumps(task.to_dict()))

    assert told["id"] == str(task.id)
    assert (told["status"], told["priority"]) == ("pending", "high")
    assert told["metadata"] == {"why": ["a", 1, None]}
    assert told["tags"] == ["urgent"]
    assert datetime.fromisoformat(told["created_at"]).utcoffset() == timedelta(0)


async def test_06_analytics_always_have_a_session(app: ContextenApp) -> None:
    await _walk(app, "in_progress", "completed")

    rows = await _rows(app, AnalyticsModel)

    assert rows
    assert all(row.session_id for row in rows)


async def test_07_project_created_and_performance_alert_are_recorded(app: ContextenApp) -> None:
    project = await app.orchestrator.create_project({"name": "Shop", "slug": "shop"})
    await app.orchestrator.emit_event("performance_alert", {"kind": "cpu", "value": 97.0, "threshold": 80.0})

    events = {event.event_type: event for event in await _rows(app, EventModel)}

    assert events["project_created"].payload["project_id"] == str(project.id)
    assert events["project_created"].status is EventStatus.COMPLETED
    assert events["performance_alert"].payload["value"] == 97.0
    assert events["performance_alert"].status is EventStatus.COMPLETED


async def test_08_there_is_one_monitor_and_one_error_handler(app: ContextenApp) -> None:
    assert app.performance_monitor is not None
    assert app.performance_monitor is app.orchestrator.performance_monitor
    assert app.error_handler is app.orchestrator.error_handler
    await app.error_handler.handle_error(ValueError("one"))
    with app.performance_monitor.start_operation("shared"):
        pass

    async with _client(app) as client:
        statistics = (await client.get("/api/errors/statistics")).json()
        metrics = (await client.get("/api/performance/metrics")).json()

    assert statistics["total_errors"] == 1
    assert metrics["operation_counts"]["shared"] == 1


async def test_09_the_first_sample_is_there_after_initialize(build_app: BuildApp) -> None:
    app = build_app()
    await app.initialize()
    try:
        assert app.performance_monitor is not None
        metrics = await app.performance_monitor.get_current_metrics()
        report = await app.performance_monitor.get_performance_report(hours=24)
        suggestions = await app.performance_monitor.optimize_performance()
    finally:
        await app.shutdown()

    assert 0 <= metrics["cpu_usage"] <= 100
    assert 0 < metrics["memory_usage"] <= 100
    assert report["cpu_usage"]["avg"] == pytest.approx(metrics["cpu_usage"], abs=1)
    assert isinstance(suggestions["suggestions"], list)


async def test_10_measuring_the_cpu_does_not_block_the_loop(build_app: BuildApp) -> None:
    class Watched:
        intervals: list[float | None] = []  # noqa: RUF012 - one test's own

    real = psutil.cpu_percent

    def cpu_percent(interval: float | None = None, percpu: bool = False) -> Any:
        Watched.intervals.append(interval if threading.current_thread() is threading.main_thread() else None)
        return real(interval, percpu)  # type: ignore[call-overload]

    psutil.cpu_percent = cpu_percent
    app = build_app(settings={"sample_seconds": 0.05})
    try:
        await app.initialize()
        await asyncio.sleep(0.3)
    finally:
        psutil.cpu_percent = real
        await app.shutdown()

    assert not any(Watched.intervals)


async def test_11_the_network_is_measured(app: ContextenApp) -> None:
    assert app.performance_monitor is not None
    metrics = await app.performance_monitor.get_current_metrics()

    assert metrics["network"]["bytes_sent"] >= 0
    assert metrics["network"]["bytes_received"] >= 0


def test_12_the_module_serves(tmp_path: Path) -> None:
    """Served for real in tests/e2e; here, that the module is a program that leads to `serve`."""
    said = subprocess.run(
        [sys.executable, "-m", "contexten.contexten_app"],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "CONTEXTEN_HOME": str(tmp_path / "home"),
            "API_HOST": "192.0.2.1",
            "DB_USE_SQLITE": "true",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert said.returncode == 1
    assert "192.0.2.1" in said.stderr


@pytest.mark.parametrize("path", ["/github/events", "/linear/events", "/slack/events"])
async def test_13_every_webhook_is_verified(build_app: BuildApp, path: str) -> None:
    secrets = (SecretStr(SECRET),)
    app = build_app(
        settings={
            "github_webhook_secrets": secrets,
            "linear_webhook_secrets": secrets,
            "slack_signing_secrets": secrets,
        }
    )
    await app.initialize()
    try:
        async with _client(app) as client:
            unsigned = await client.post(path, json={"type": "Issue"}, headers={"X-GitHub-Event": "push"})
        assert unsigned.status_code == 401
        assert await _rows(app, EventModel, EventModel.provider != EventProvider.SYSTEM) == []
    finally:
        await app.shutdown()


async def test_13_a_body_is_stored_once(build_app: BuildApp) -> None:
    app = build_app(settings={"github_webhook_secrets": (SecretStr(SECRET),)})
    await app.initialize()
    body = json.dumps({"zen": "Keep it logically awesome."}).encode()

    async def deliver(client: httpx.AsyncClient) -> httpx.Response:
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": "ping",
            "X-GitHub-Delivery": str(uuid4()),
            "X-Hub-Signature-256": sign_github(SECRET, body),
        }
        return await client.post("/github/events", content=body, headers=headers)

    try:
        async with _client(app) as client:
            first, second = await deliver(client), await deliver(client)
    finally:
        await app.shutdown()

    assert (first.status_code, first.json()["status"]) == (202, "accepted")
    assert (second.status_code, second.json()["status"]) == (200, "duplicate")
    assert first.json()["event_id"] == second.json()["event_id"]


async def test_14_a_simulated_push_reaches_the_push_handler(app: ContextenApp) -> None:
    @app.github.event("push")
    def pushed(event: dict[str, Any]) -> Any:
        return event["repository"]["full_name"]

    @app.github.event("pull_request")
    def any_action(event: dict[str, Any]) -> str:
        return f"any: {event['action']}"

    assert await app.simulate_event("github", "push", {"repository": {"full_name": "owner/repo1"}}) == "owner/repo1"
    assert await app.simulate_event("github", "pull_request:labeled", {"number": 1}) == "any: labeled"
    assert await app.simulate_event("github", "issues", {}) == {"message": "Event type not handled"}
    assert await app.simulate_event("slack", "reaction_added", {}) == {"message": "Event handled successfully"}
    with pytest.raises(ValueError, match="Unknown provider: gitlab"):
        await app.simulate_event("gitlab", "push", {})
    stored = await _rows(app, EventModel, EventModel.provider == EventProvider.GITHUB)
    assert all(event.external_id.startswith("sim_") for event in stored)
    assert {event.status for event in stored} == {EventStatus.COMPLETED}


async def test_15_async_handlers_are_awaited(app: ContextenApp) -> None:
    @app.slack.event("app_mention")
    async def mentioned(event: dict[str, Any]) -> str:
        await asyncio.sleep(0)
        return str(event["text"])

    assert await app.simulate_event("slack", "app_mention", {"text": "is main broken?"}) == "is main broken?"


async def test_16_two_handlers_of_one_event_both_run(app: ContextenApp) -> None:
    for number in (1, 2):

        @app.linear.event("Issue")
        def handle(event: dict[str, Any], number: int = number) -> int:
            return number

    assert await app.simulate_event("linear", "Issue", {"type": "Issue", "action": "create", "data": {}}) == [1, 2]


async def test_17_events_without_the_usual_parts_are_handled(app: ContextenApp) -> None:
    @app.github.event("ping")
    def ping(event: dict[str, Any]) -> Any:
        return event["zen"]

    @app.slack.event("message")
    def message(event: dict[str, Any]) -> str | None:
        return event.get("user")

    assert await app.simulate_event("github", "ping", {"zen": "Design for failure."}) == "Design for failure."
    assert await app.simulate_event("github", "organization", {"action": "member_added"}) is not None
    assert await app.simulate_event("slack", "message", {"subtype": "channel_join", "ts": "1.0"}) is None


async def test_18_an_exception_of_a_handler_is_recorded_retried_and_visible(app: ContextenApp) -> None:
    attempts: list[int] = []

    @app.github.event("push")
    def flaky(event: dict[str, Any]) -> str:
        attempts.append(1)
        if len(attempts) == 1:
            raise RuntimeError("the disk is full of bees")
        return "done"

    with pytest.raises(RuntimeError, match="bees"):
        await app.simulate_event("github", "push", {})
    async with app.db_manager.transaction() as session:
        assert await dispatch_store.unadmitted(session, limit=10) == []
        assert await dispatch_store.claimable(session, now=utc_now() + timedelta(hours=1), limit=10) == []
    (event,) = await _rows(app, EventModel, EventModel.provider == EventProvider.GITHUB)
    assert event.status is EventStatus.RETRYING
    assert "bees" in event.error_message
    assert app.error_handler.get_error_statistics()["total_errors"] == 1

    async def done() -> bool:
        async with app.db_manager.reading() as session:
            (call,) = await function_store.calls_of(session, event.id)
            return call.status is HandlerStatus.COMPLETED

    await _eventually(done)
    assert len(attempts) == 2
    (event,) = await _rows(app, EventModel, EventModel.provider == EventProvider.GITHUB)
    assert (event.status, event.retry_count) == (EventStatus.COMPLETED, 1)


@pytest.mark.parametrize("ending", ["completed", "failed"])
async def test_19_the_event_comes_from_the_state_change_in_its_transaction(app: ContextenApp, ending: str) -> None:
    task = await _walk(app, "in_progress", ending)

    (event,) = await _rows(app, EventModel, EventModel.event_type == f"task_{ending}")

    assert event.payload["task_id"] == str(task.id)
    refused = await app.orchestrator.create_task(TASK)
    with pytest.raises(Exception, match="pending to completed"):
        await app.orchestrator.update_task(str(refused.id), {"status": "completed"})
    assert len(await _rows(app, EventModel, EventModel.event_type == "task_completed")) == (ending == "completed")


@pytest.mark.parametrize(
    ("ending", "kind"), [("completed", LearningType.SUCCESS_ANALYSIS), ("failed", LearningType.ERROR_ANALYSIS)]
)
async def test_20_each_outcome_is_learned_once_with_computed_confidence(
    app: ContextenApp, ending: str, kind: LearningType
) -> None:
    confidences = []
    for number in (1, 2, 3):
        await _walk(app, "in_progress", ending)
        rows = await _rows(app, LearningModel, LearningModel.learning_type == kind)
        assert len(rows) == number
        confidences.append(max(row.confidence_score for row in rows))

    assert all(0 <= confidence <= 1 for confidence in confidences)
    assert confidences == sorted(confidences)
    assert confidences[0] < confidences[-1]


async def test_21_a_timeout_of_github_is_not_the_databases_fault(app: ContextenApp) -> None:
    pool = app.db_manager.engine.pool

    handled = await app.error_handler.handle_error(Exception("Connection timeout talking to api.github.com"))

    assert handled["category"] is ErrorCategory.EXTERNAL_SERVICE
    assert app.db_manager.engine.pool is pool
    assert (await app.health_check())["status"] == "healthy"


async def test_22_recovered_means_that_the_operation_then_succeeded(build_app: BuildApp) -> None:
    app = build_app(settings={"api_retry_delay_seconds": 0.01, "api_retry_attempts": 2})
    await app.initialize()
    error = TimeoutError("Connection timeout talking to api.github.com")
    calls: list[int] = []

    def second_time() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise error
        return "done"

    def never() -> None:
        raise error

    try:
        helped = await app.error_handler.handle_error(error, {"operation": second_time})
        hopeless = await app.error_handler.handle_error(error, {"operation": never})
        nothing = await app.error_handler.handle_error(error)
    finally:
        await app.shutdown()

    assert helped["recovery_successful"] is True
    assert hopeless["recovery_attempted"] is True
    assert hopeless["recovery_successful"] is False
    assert nothing["recovery_successful"] is False


async def test_23_no_history_in_memory_grows_without_end(app: ContextenApp) -> None:
    assert app.performance_monitor is not None
    for number in range(3_000):
        app.performance_monitor.record(f"operation {number}", 0.001)
    for number in range(300):
        await app.error_handler.handle_error(ValueError(str(number)), attempt_recovery=False)

    assert len(app.error_handler.error_history) <= 100
    metrics = await app.performance_monitor.get_current_metrics()
    assert sum(metrics["operation_counts"].values()) >= 3_000
    assert len(metrics["operation_counts"]) <= 1_000


@pytest.mark.parametrize("password", ["p@ss/word", "a:b#c?d&e%f", "ü €", "[x]"])
def test_24_any_password_of_a_database_works(password: str) -> None:
    config = DatabaseConfig(host="db.example", user="con/texten", password=SecretStr(password))

    for address in (config.database_url, config.sync_database_url):
        assert make_url(address).password == password
        assert make_url(address).username == "con/texten"
        assert make_url(address).host == "db.example"


async def test_25_operations_are_limited_in_number(build_app: BuildApp) -> None:
    app = build_app(settings={"max_concurrent_operations": 3})
    await app.initialize()
    running = most = 0

    async def operation() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1

    try:
        work = (app.orchestrator.process_with_monitoring("operation", operation) for _ in range(20))
        await asyncio.gather(*work)
    finally:
        await app.shutdown()

    assert most == 3


async def test_25_operations_are_limited_in_time(build_app: BuildApp) -> None:
    app = build_app(settings={"response_timeout_seconds": 0.05})
    await app.initialize()
    cancelled = asyncio.Event()

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    try:
        with pytest.raises(OperationTimeoutError, match=r"0\.05 s"):
            await app.orchestrator.process_with_monitoring("slow", slow)
        assert app.performance_monitor is not None
        metrics = await app.performance_monitor.get_current_metrics()
    finally:
        await app.shutdown()

    assert cancelled.is_set()
    assert metrics["error_rates"]["slow"] == 100


async def test_26_failed_events_say_what_became_of_them(app: ContextenApp) -> None:
    def broken(data: dict[str, Any]) -> None:
        raise RuntimeError("never works")

    app.orchestrator.register_event_handler("doomed", broken)
    await app.orchestrator.emit_event("doomed", {})
    (event,) = await _rows(app, EventModel, EventModel.event_type == "doomed")
    assert event.status is EventStatus.RETRYING

    async def hurry() -> bool:
        """Spend the retries without waiting for them."""
        async with app.db_manager.transaction() as session:
            for call in await function_store.calls_of(session, event.id):
                if call.status is HandlerStatus.RETRYING:
                    call.available_at = event.available_at
        await app.orchestrator.runner.call_due()
        (found,) = await _rows(app, EventModel, EventModel.event_type == "doomed")
        return bool(found.status is EventStatus.FAILED)

    await _eventually(hurry)
    (event,) = await _rows(app, EventModel, EventModel.event_type == "doomed")
    assert event.processed_at is not None
    assert event.retry_count == 3
    assert "never works" in event.error_message
    (call,) = await _rows(app, EventHandlerModel, EventHandlerModel.event_id == event.id)
    assert "RuntimeError" in call.error_stack_trace


async def test_27_two_that_start_at_once_make_one_system(build_app: BuildApp) -> None:
    apps = [build_app(), build_app()]
    await asyncio.gather(*(app.initialize() for app in apps), *(app.initialize() for app in apps))
    try:
        seeds = await _rows(apps[0], LearningModel, LearningModel.learning_type == LearningType.SYSTEM_IMPROVEMENT)
    finally:
        for app in apps:
            await app.shutdown()

    assert len(seeds) == 1


async def test_28_a_project_counts_its_tasks(app: ContextenApp) -> None:
    project = await app.orchestrator.create_project({"name": "Shop", "slug": "shop"})
    for statuses in (("in_progress", "completed"), ("in_progress", "failed"), ("in_progress", "failed", "pending"), ()):
        await _walk(app, *statuses, project_id=str(project.id))

    (found,) = await _rows(app, ProjectModel, ProjectModel.id == project.id)

    assert (found.total_tasks, found.completed_tasks, found.failed_tasks) == (4, 1, 1)


async def test_29_errors_and_metrics_survive_a_restart(build_app: BuildApp) -> None:
    before = build_app()
    await before.initialize()
    await before.error_handler.handle_error(ValueError("one"), attempt_recovery=False)
    assert before.performance_monitor is not None
    before.performance_monitor.record("checkout", 0.5)
    await before.shutdown()

    after = build_app()
    await after.initialize()
    try:
        statistics = after.error_handler.get_error_statistics()
        assert after.performance_monitor is not None
        report = await after.performance_monitor.get_performance_report(hours=24)
    finally:
        await after.shutdown()

    assert statistics["total_errors"] == 1
    assert report["response_times"]["checkout"]["count"] == 1
    assert report["response_times"]["checkout"]["avg"] == pytest.approx(0.5)


async def test_30_times_are_aware_utc(app: ContextenApp) -> None:
    naive = datetime(2026, 1, 5, 9, 0)  # noqa: DTZ001 - what `datetime.utcnow()` gives
    task = await app.orchestrator.create_task(TASK | {"due_date": naive})
    updated = await app.orchestrator.update_task(str(task.id), {"status": "in_progress", "started_at": naive})
    assert updated is not None
    (found,) = await _rows(app, TaskModel, TaskModel.id == UUID(str(task.id)))

    for moment in (found.created_at, found.updated_at, found.started_at, found.due_date):
        assert moment.utcoffset() == timedelta(0)
    assert found.started_at.replace(tzinfo=None) == naive
