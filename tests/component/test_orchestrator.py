"""Tasks, projects, events and operations as calls."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from contexten_core.errors import ConfigurationError, InvalidInputError, OverloadedError
from contexten_core.events.models import EventHandlerModel, EventModel, EventProvider, EventStatus, HandlerStatus
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.projects.models import ProjectModel
from contexten_core.settings import DatabaseConfig, Settings
from contexten_core.tasks.models import TaskModel

TASK: dict[str, Any] = {"name": "Implement Feature X", "task_type": "feature_implementation"}
PROJECT: dict[str, Any] = {"name": "Shop", "slug": "shop"}

Build = Callable[..., SystemOrchestrator]


@pytest.fixture
def build(database_config: DatabaseConfig, tmp_path: Path) -> Build:
    def building(*, enable_monitoring: bool = True, **changed: Any) -> SystemOrchestrator:
        # A busy machine is to raise no alert, which would be one more event.
        quiet = {"sample_seconds": 3600, "cpu_alert_percent": 100, "memory_alert_percent": 100}
        given: dict[str, Any] = {"db": database_config, "home": tmp_path / "home", **quiet, **changed}
        return SystemOrchestrator(Settings(**given), enable_monitoring=enable_monitoring)

    return building


@pytest.fixture
async def system(build: Build) -> AsyncIterator[SystemOrchestrator]:
    system = build(api_retry_delay_seconds=0.01)
    await system.initialize()
    yield system
    await system.shutdown()


async def rows(system: SystemOrchestrator, model: Any) -> list[Any]:
    async with system.database.reading() as session:
        return list((await session.execute(select(model))).scalars())


async def counted(system: SystemOrchestrator) -> list[int]:
    async with system.database.reading() as session:
        return [
            (await session.execute(select(func.count()).select_from(model))).scalar_one()
            for model in (TaskModel, ProjectModel, EventModel, EventHandlerModel)
        ]


def background() -> set[str]:
    """Name the tasks of this loop and the threads of this process that outlive a call."""
    tasks = {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}
    threads = {thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}
    return tasks | threads


async def back_to(before: set[str]) -> None:
    """Wait until nothing else runs: the thread of a connection that was closed needs a moment to end."""
    async with asyncio.timeout(10):
        while background() - before:  # noqa: ASYNC110 - a thread's end is no event of the loop
            await asyncio.sleep(0.01)


class TestStartingAndEnding:
    @pytest.mark.parametrize("call", ["create_task", "create_project", "emit_event", "log_event", "get_db_session"])
    async def test_the_first_call_initializes(self, build: Build, call: str) -> None:
        system = build()
        assert not system.is_initialized()
        try:
            match call:
                case "create_task":
                    assert (await system.create_task(TASK)).name == TASK["name"]
                case "create_project":
                    assert (await system.create_project(PROJECT)).slug == "shop"
                case "emit_event":
                    await system.emit_event("anything", {})
                case "log_event":
                    assert (await system.log_event({"event_type": "anything"})).provider is EventProvider.USER
                case _:
                    async with system.get_db_session() as session:
                        session.add(TaskModel(**TASK, title="t"))
            assert system.is_initialized()
        finally:
            await system.shutdown()

    async def test_it_starts_once_however_many_ask_for_it(self, build: Build) -> None:
        before = background()
        system = build()

        await asyncio.gather(*(system.initialize() for _ in range(3)), *(system.create_task(TASK) for _ in range(3)))

        assert sum(task.get_name() == "functions" for task in asyncio.all_tasks()) == 1
        assert len(await rows(system, TaskModel)) == 3
        await system.shutdown()
        await back_to(before)

    async def test_shutdown_leaves_no_task_thread_or_connection(self, build: Build) -> None:
        before = background()
        system = build()
        await system.shutdown()
        for _ in range(2):
            await system.initialize()
            engine = system.database.engine
            await system.create_task(TASK)
            await asyncio.gather(system.shutdown(), system.shutdown())
            await system.shutdown()
            assert not system.is_initialized()
            assert not system.database.is_open
            await back_to(before)
            assert engine.pool.checkedin() == 0  # type: ignore[attr-defined]

    async def test_shutdown_lets_functions_end(self, build: Build) -> None:
        system = build()
        started, ended = asyncio.Event(), asyncio.Event()

        async def slow(_: Any) -> None:
            started.set()
            await asyncio.sleep(0.3)
            ended.set()

        system.register_event_handler("late", slow)
        await system.initialize()
        await system.log_event({"event_type": "late", "provider": "system"})
        async with asyncio.timeout(20):
            await started.wait()
        await system.shutdown()

        assert ended.is_set()

    async def test_without_a_database_it_says_what_to_set(self, tmp_path: Path) -> None:
        system = SystemOrchestrator(Settings(db=DatabaseConfig(), home=tmp_path))

        with pytest.raises(ConfigurationError, match="no database is configured") as caught:
            await system.create_task(TASK)

        assert "DB_USE_SQLITE" in str(caught.value.hint)
        assert not system.is_initialized()

    async def test_without_monitoring_nothing_is_measured(self, build: Build) -> None:
        system = build(enable_monitoring=False)
        assert system.performance_monitor is None
        await system.initialize()
        try:
            assert await system.process_with_monitoring("anything", lambda: 1) == 1
            assert (await system.get_system_health())["performance"] == {"status": "disabled"}
        finally:
            await system.shutdown()


class TestComponents:
    def test_the_last_one_of_a_name_counts(self, build: Build) -> None:
        system = build()
        assert system.get_component("cache") is None

        system.register_component("cache", 1)
        system.register_component("cache", 2)

        assert system.get_component("cache") == 2


BAD_TASKS: list[tuple[str, Any]] = [
    ("nme", "a field that does not exist"),
    ("task_type", "cooking"),
    ("priority", "urgent"),
    ("status", "completed"),
    ("project_id", "not-a-uuid"),
    ("project_id", str(uuid4())),
    ("name", "a\x00b"),
    ("title", "half \ud800 pair"),
    ("name", "x" * 501),
    ("prompt", "x" * 1_000_001),
    ("context", {"number": 2**63}),
    ("metadata", {"key \x00": 1}),
    ("estimated_duration_minutes", float("nan")),
    ("due_date", "yesterday"),
]


BAD_UPDATES: list[tuple[str, Any]] = [
    ("stauts", "in_progress"),
    ("status", "done"),
    ("result", {"n": -(2**63) - 1}),
    ("error_message", "\x00"),
]
BAD_PROJECTS: list[tuple[str, Any]] = [
    ("slug", "No Slug!"),
    ("status", "gone"),
    ("owner", "me"),
    ("name", ""),
    ("tags", "a"),
]
BAD_EVENTS: list[tuple[str, Any]] = [
    ("provider", "gitlab"),
    ("event_type", ""),
    ("payload", ["no", "object"]),
    ("payload", {"n": 2**64}),
    ("payload", {"when": datetime(2026, 1, 5, tzinfo=UTC)}),
    ("headers", {"\ud800": 1}),
    ("task_id", str(uuid4())),
    ("priorty", "high"),
]


class TestBadInput:
    """Every refusal names the field, and nothing is written."""

    async def test_tasks(self, system: SystemOrchestrator) -> None:
        before = await counted(system)
        for field, value in BAD_TASKS:
            with pytest.raises(InvalidInputError, match=field) as caught:
                await system.create_task(TASK | {field: value})
            assert field in caught.value.fields
        assert await counted(system) == before

    async def test_updates(self, system: SystemOrchestrator) -> None:
        task = await system.create_task(TASK)
        before = await counted(system)
        for field, value in BAD_UPDATES:
            with pytest.raises(InvalidInputError, match=field):
                await system.update_task(str(task.id), {"description": "changed", field: value})
        for task_id in ("7", "", "x" * 36, None, 7):
            with pytest.raises(InvalidInputError, match="task_id: not a UUID"):
                await system.update_task(task_id, {"status": "in_progress"})  # type: ignore[arg-type]
        assert await counted(system) == before
        (found,) = await rows(system, TaskModel)
        assert found.description is None

    async def test_projects(self, system: SystemOrchestrator) -> None:
        before = await counted(system)
        for field, value in BAD_PROJECTS:
            with pytest.raises(InvalidInputError, match=field):
                await system.create_project(PROJECT | {field: value})
        assert await counted(system) == before

    async def test_events(self, system: SystemOrchestrator) -> None:
        before = await counted(system)
        for field, value in BAD_EVENTS:
            with pytest.raises(InvalidInputError, match=field):
                await system.log_event({"event_type": "push", "provider": "github"} | {field: value})
        with pytest.raises(InvalidInputError, match="not logged as processing"):
            await system.log_event({"event_type": "push", "status": "processing"})
        assert await counted(system) == before

    async def test_data_of_events(self, system: SystemOrchestrator) -> None:
        before = await counted(system)
        bad: list[Any] = [{"n": 2**63}, {"a": "\x00"}, "text", [1], {1: 2}]
        for data in bad:
            with pytest.raises(InvalidInputError, match="payload"):
                await system.emit_event("anything", data)
        assert await counted(system) == before


class TestEvents:
    async def test_functions_are_called_before_emit_returns(self, system: SystemOrchestrator) -> None:
        seen: list[Any] = []

        async def waiting(data: Any) -> None:
            await asyncio.sleep(0)
            seen.append(data)

        system.register_event_handler("custom_event", waiting)
        system.register_event_handler("custom_event", seen.append)
        system.register_event_handler("another", lambda _: seen.append("wrong"))

        await system.emit_event("custom_event", {"message": "Hello World"})

        assert seen == [{"message": "Hello World"}] * 2

    async def test_the_events_of_tasks_and_projects_say_what_happened(self, system: SystemOrchestrator) -> None:
        seen: dict[str, Any] = {}
        for name in ("task_created", "task_updated", "task_completed", "project_created"):
            system.register_event_handler(name, lambda data, name=name: seen.update({name: data}))

        project = await system.create_project(PROJECT)
        task = await system.create_task(TASK | {"project_id": str(project.id)})
        await system.update_task(str(task.id), {"status": "in_progress"})
        await system.update_task(str(task.id), {"status": "completed"})

        assert seen["project_created"]["project_id"] == str(project.id)
        assert seen["project_created"]["project_data"]["slug"] == "shop"
        assert seen["task_created"]["task_id"] == str(task.id)
        assert seen["task_created"]["task_type"] == "feature_implementation"
        assert seen["task_created"]["task_data"]["title"] == TASK["name"]
        assert seen["task_updated"]["updates"] == {"status": "completed"}
        assert seen["task_completed"]["task_data"]["status"] == "completed"

    async def test_one_that_raises_does_not_undo_the_change(self, system: SystemOrchestrator) -> None:
        def broken(_: Any) -> None:
            raise RuntimeError("full of bees")

        system.register_event_handler("task_created", broken)

        task = await system.create_task(TASK)

        assert [found.id for found in await rows(system, TaskModel)] == [task.id]
        (event,) = await rows(system, EventModel)
        assert (event.status, event.retry_count) == (EventStatus.RETRYING, 1)
        assert "full of bees" in event.error_message

    async def test_the_poller_calls_it_again(self, system: SystemOrchestrator) -> None:
        again = asyncio.Event()
        attempts: list[int] = []

        async def flaky(_: Any) -> None:
            attempts.append(1)
            if len(attempts) == 1:
                raise RuntimeError("not yet")
            again.set()

        system.register_event_handler("flaky", flaky)
        await system.emit_event("flaky", {})
        async with asyncio.timeout(20):
            await again.wait()
        await system.shutdown()
        await system.initialize()

        assert attempts == [1, 1]
        assert (await rows(system, EventModel))[0].status is EventStatus.COMPLETED

    async def test_those_that_are_unregistered_are_not_called(self, system: SystemOrchestrator) -> None:
        seen: list[Any] = []
        system.register_event_handler("custom_event", seen.append)
        system.unregister_event_handlers("custom_event")
        system.unregister_event_handlers("custom_event")

        await system.emit_event("custom_event")

        assert seen == []

    async def test_an_event_that_is_logged_as_pending_reaches_functions(self, system: SystemOrchestrator) -> None:
        seen: asyncio.Queue[Any] = asyncio.Queue()
        system.register_event_handler("nightly", seen.put)

        await system.log_event({"event_type": "nightly", "provider": "system", "payload": {"a": 1}})

        async with asyncio.timeout(20):
            assert await seen.get() == {"a": 1}

    async def test_a_record_of_the_past_calls_nothing(self, system: SystemOrchestrator) -> None:
        await system.log_event({"event_type": "push", "provider": "github", "status": "completed"})

        assert await rows(system, EventHandlerModel) == []

    async def test_a_session_rolls_back_when_its_block_raises(self, system: SystemOrchestrator) -> None:
        async def change_and_fail() -> None:
            async with system.get_db_session() as session:
                session.add(ProjectModel(**PROJECT))
                await session.flush()
                raise RuntimeError("changed my mind")

        with pytest.raises(RuntimeError, match="changed my mind"):
            await change_and_fail()

        assert await rows(system, ProjectModel) == []


class TestOperations:
    async def test_it_is_given_its_arguments_and_measured(self, system: SystemOrchestrator) -> None:
        async def greet(greeting: str, *, name: str) -> str:
            return f"{greeting} {name}"

        assert await system.process_with_monitoring("greet", greet, "Hello", name="World") == "Hello World"
        assert await system.process_with_monitoring("thread", threading.current_thread) is not threading.main_thread()

        assert system.performance_monitor is not None
        metrics = await system.performance_monitor.get_current_metrics()
        assert metrics["operation_counts"]["greet"] == 1
        assert metrics["error_rates"]["greet"] == 0

    async def test_a_transient_error_is_recovered_from_and_the_result_returned(
        self, system: SystemOrchestrator
    ) -> None:
        attempts: list[int] = []

        async def flaky() -> str:
            attempts.append(1)
            if len(attempts) == 1:
                raise TimeoutError("Connection timeout talking to api.github.com")
            return "done"

        assert await system.process_with_monitoring("flaky", flaky) == "done"

        assert attempts == [1, 1]
        assert system.performance_monitor is not None
        assert (await system.performance_monitor.get_current_metrics())["error_rates"]["flaky"] == 0
        (recent,) = system.error_handler.get_error_statistics()["recent_errors"]
        assert recent["recovery_successful"] is True

    async def test_one_that_does_not_pass_is_raised_after_its_tries(self, system: SystemOrchestrator) -> None:
        attempts: list[int] = []

        def away() -> None:
            attempts.append(1)
            raise TimeoutError("Connection timeout talking to api.github.com")

        with pytest.raises(TimeoutError, match="github"):
            await system.process_with_monitoring("away", away)

        assert len(attempts) == 1 + system.settings.api_retry_attempts

    async def test_any_other_error_is_raised_at_once_and_recorded(self, system: SystemOrchestrator) -> None:
        attempts: list[int] = []

        async def broken() -> None:
            attempts.append(1)
            raise ValueError("wrong")

        with pytest.raises(ValueError, match="wrong"):
            await system.process_with_monitoring("broken", broken)

        assert attempts == [1]
        assert system.performance_monitor is not None
        assert (await system.performance_monitor.get_current_metrics())["error_rates"]["broken"] == 100
        assert system.error_handler.get_error_statistics()["error_patterns"] == {"validation:ValueError": 1}

    async def test_a_name_that_is_none_is_refused_before_anything_runs(self, system: SystemOrchestrator) -> None:
        ran: list[int] = []

        with pytest.raises(InvalidInputError, match="name"):
            await system.process_with_monitoring("  ", ran.append, 1)

        assert ran == []

    async def test_too_many_at_once_are_refused(self, build: Build) -> None:
        system = build(max_concurrent_operations=1, response_timeout_seconds=0.05, api_retry_attempts=0)
        await system.initialize()
        leave = asyncio.Event()

        async def stubborn() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                await leave.wait()

        occupying = asyncio.create_task(system.process_with_monitoring("stubborn", stubborn))
        await asyncio.sleep(0)
        try:
            with pytest.raises(OverloadedError, match="no place"):
                await system.process_with_monitoring("late", asyncio.sleep, 0)
        finally:
            leave.set()
            await asyncio.wait([occupying])
            occupying.exception()
            await system.shutdown()


class TestHealth:
    async def test_it_is_degraded_while_the_database_is_away(
        self, system: SystemOrchestrator, database_config: DatabaseConfig
    ) -> None:
        assert (await system.get_system_health())["status"] == "healthy"
        await system.database.close()

        away = await system.get_system_health()
        system.database.open(database_config)
        back = await system.get_system_health()

        assert away["status"] == "degraded"
        assert away["components"]["database"].startswith("unhealthy")
        assert "cpu_usage" in away["performance"]
        assert back["status"] == "healthy"

    async def test_it_is_degraded_before_it_is_initialized(self, build: Build) -> None:
        health = await build().get_system_health()

        assert health["status"] == "degraded"
        assert datetime.fromisoformat(health["timestamp"]).tzinfo is not None

    async def test_a_failed_function_leaves_it_healthy_and_the_row_says_why(self, system: SystemOrchestrator) -> None:
        def broken(_: Any) -> None:
            raise RuntimeError

        system.register_event_handler("anything", broken)
        await system.emit_event("anything")

        assert (await system.get_system_health())["status"] == "healthy"
        (call,) = await rows(system, EventHandlerModel)
        assert call.status is HandlerStatus.RETRYING
