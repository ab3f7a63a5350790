"""The application that users build and extend."""

import asyncio
import hashlib
import hmac
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import select

import contexten
from contexten import CodegenApp, ContextenApp
from contexten.config import get_settings
from contexten.handlers.types import PullRequestLabeledEvent
from contexten_core.analytics.models import AnalyticsModel
from contexten_core.db import Database
from contexten_core.errors import ConfigurationError, GitError, StackError
from contexten_core.events.emit import emit
from contexten_core.events.functions import FunctionRunner
from contexten_core.events.models import EventHandlerModel, EventModel, EventProvider, EventStatus, HandlerStatus
from contexten_core.learning.models import LearningModel
from contexten_core.settings import DatabaseConfig, as_environment

BuildApp = Callable[..., ContextenApp]
SECRET = "a-secret-of-the-webhook-tests"
OURS = AnalyticsModel.component == "contexten_app"


async def rows(app: ContextenApp, model: Any, *where: Any) -> list[Any]:
    async with app.db_manager.reading() as session:
        return list((await session.execute(select(model).where(*where))).scalars())


async def wait_until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not look():  # noqa: ASYNC110 - what is waited for has no event to set
            await asyncio.sleep(0.02)


def ours() -> set[threading.Thread]:
    """Return the threads of this process but for those that run one function after another, and stay."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}


def delivery(payload: dict[str, Any], *, event: str = "push") -> tuple[bytes, dict[str, str]]:
    body = json.dumps(payload).encode()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return body, {
        "Content-Type": "application/json",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": str(uuid4()),
        "X-Hub-Signature-256": f"sha256={signature}",
    }


def test_both_names_are_the_same_class() -> None:
    assert CodegenApp is ContextenApp
    assert contexten.ContextenApp is ContextenApp


IN_LOOPS = """
import asyncio
import sys

from contexten import ContextenApp
from contexten_core.tasks.models import TaskModel
from sqlalchemy import func, select

app = ContextenApp(name="loops", tmp_dir=sys.argv[1])


async def work():
    await app.initialize()
    await app.orchestrator.create_task({"name": "t", "task_type": "testing"})


async def end():
    async with app.orchestrator.get_db_session() as session:
        print(await session.scalar(select(func.count()).select_from(TaskModel)), "tasks")
    await app.shutdown()


for _ in range(6):
    asyncio.run(work())
    print(asyncio.run(app.health_check())["status"])
asyncio.run(end())
"""


def run_in_loops(app: ContextenApp, folder: Path) -> str:
    """Run an application with these settings in one event loop after another, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", IN_LOOPS, str(folder / "codebases")],
        cwd=folder,
        env={
            **as_environment(app.settings),
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestBuilding:
    def test_it_has_what_it_was_given(self, build_app: BuildApp) -> None:
        app = build_app(name="mine", repo="owner/name", tmp_dir="/elsewhere")

        assert (app.name, app.repo, app.commit, app.tmp_dir) == ("mine", "owner/name", "latest", "/elsewhere")
        assert (app.enable_monitoring, app.enable_learning) == (True, True)
        assert (app.codebase, app.codebases) == (None, {})
        assert app.db_config is app.settings.db
        assert app._initialized is False

    def test_what_is_off_in_the_settings_is_off(self, build_app: BuildApp) -> None:
        app = build_app(settings={"enable_performance_monitoring": False, "enable_continuous_learning": False})

        assert (app.enable_monitoring, app.enable_learning, app.performance_monitor) == (False, False, None)
        assert build_app(enable_monitoring=False).performance_monitor is None

    def test_settings_are_read_when_it_is_built(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        settings = get_settings()
        monkeypatch.setattr(settings, "max_concurrent_operations", 2000)
        monkeypatch.setattr(settings, "tmp_dir", tmp_path / "ours")

        first = ContextenApp(name="first")
        settings.max_concurrent_operations = 7
        second = ContextenApp(name="second", tmp_dir="/elsewhere")

        assert first.orchestrator.settings.max_concurrent_operations == 2000
        assert second.orchestrator.settings.max_concurrent_operations == 7
        assert (first.tmp_dir, second.tmp_dir) == (str(tmp_path / "ours"), "/elsewhere")


class TestStartingAndEnding:
    async def test_once_or_often_it_is_initialized_once(self, build_app: BuildApp) -> None:
        tasks, threads = asyncio.all_tasks(), ours()
        app = build_app()
        await asyncio.gather(*(app.initialize() for _ in range(3)), app.orchestrator.emit_event("early"))
        assert app._initialized
        assert app.orchestrator.get_component("contexten_app") is app
        assert len(await rows(app, LearningModel)) == 1
        engine = app.db_manager.engine

        await asyncio.gather(app.shutdown(), app.shutdown())
        await app.shutdown()

        assert asyncio.all_tasks() == tasks
        assert app._loop is None
        await wait_until(lambda: ours() <= threads)
        assert engine.pool.checkedin() == 0

    def test_it_goes_on_in_another_event_loop(self, build_app: BuildApp, tmp_path: Path) -> None:
        """In a program of its own: a loop that ends in the middle of something leaves that to the garbage collector."""
        said = run_in_loops(build_app(), tmp_path)

        assert said.splitlines() == ["healthy"] * 6 + ["6 tasks"]

    async def test_what_keeps_it_from_starting_is_raised_and_recorded(self, build_app: BuildApp) -> None:
        app = build_app(repo="/nowhere/at/all")

        with pytest.raises(GitError):
            await app.initialize()

        assert not app._initialized
        assert not app.db_manager.is_open
        assert [told["error_type"] for told in app.error_handler.error_history] == ["GitError"]

    async def test_a_start_that_is_cancelled_leaves_nothing_running(
        self, build_app: BuildApp, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = build_app(repo="owner/name")
        tasks = asyncio.all_tasks()
        reached = asyncio.Event()

        async def forever(*_: Any) -> None:
            reached.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(app, "_parse", forever)
        starting = asyncio.create_task(app.initialize())
        await reached.wait()
        assert not app._initialized
        starting.cancel()
        await asyncio.wait([starting])

        assert starting.cancelled()
        assert not app.db_manager.is_open
        assert asyncio.all_tasks() == tasks

    async def test_run_in_a_running_loop_names_serve(self, build_app: BuildApp) -> None:
        app = build_app()

        with pytest.raises(RuntimeError, match=r"await app\.serve\(host, port\)"):
            app.run()

    async def test_parse_repo_in_a_running_loop_names_add_repo(self, build_app: BuildApp) -> None:
        app = build_app(repo="owner/name")

        with pytest.raises(RuntimeError, match=r"await app\.add_repo"):
            app.parse_repo()

    async def test_a_port_that_is_taken_is_told_clearly(self, build_app: BuildApp) -> None:
        listening = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        app = build_app()
        try:
            with pytest.raises(StackError, match=f"cannot listen on 127.0.0.1:{port}") as caught:
                await app.serve("127.0.0.1", port)
        finally:
            listening.close()
            await listening.wait_closed()

        assert "API_PORT" in str(caught.value.hint)
        assert not app._initialized

    async def test_the_lifespan_of_its_web_application_starts_and_ends_it(self, build_app: BuildApp) -> None:
        app = build_app()
        async with app.app.router.lifespan_context(app.app):
            assert app._initialized
        assert not app._initialized

    async def test_to_stop_what_does_not_serve_does_nothing(self, app: ContextenApp) -> None:
        app.stop()

        assert (await app.health_check())["status"] == "healthy"

    async def test_the_root_is_the_dashboard(self, app: ContextenApp) -> None:
        page = await app.root()

        assert page.lstrip().lower().startswith("<!doctype html>")
        assert "Contexten" in page


class TestSimulatedEvents:
    async def test_one_function_answers_for_itself_and_several_in_a_list(self, app: ContextenApp) -> None:
        @app.github.event("pull_request:labeled")
        def labeled(event: PullRequestLabeledEvent) -> str | None:
            return event.label.name

        payload = {"number": 7, "pull_request": {"number": 7, "title": "Add tax"}, "label": {"name": "ready"}}
        assert await app.simulate_event("github", "pull_request:labeled", payload) == "ready"
        assert await app.simulate_event("github", "pull_request", payload | {"action": "labeled"}) == "ready"
        assert await app.simulate_event("github", "pull_request:closed", payload) == {
            "message": "Event type not handled"
        }

        @app.github.event("*")
        async def anything(event: dict[str, Any]) -> Any:
            return event["action"]

        assert await app.simulate_event("github", "pull_request:labeled", payload) == ["ready", "labeled"]
        stored = await rows(app, EventModel, EventModel.provider == EventProvider.GITHUB)
        assert {event.status for event in stored} == {EventStatus.COMPLETED}
        assert all(event.processed_at is not None for event in stored)
        assert len({event.external_id for event in stored}) == 4
        assert stored[0].payload == {**payload, "action": "labeled"}

    async def test_all_run_whatever_one_raises(self, app: ContextenApp) -> None:
        ran: list[str] = []

        @app.slack.event("app_mention")
        def broken(event: dict[str, Any]) -> None:
            raise RuntimeError("full of bees")

        @app.slack.event("app_mention")
        async def sound(event: dict[str, Any]) -> None:
            ran.append(event["text"])

        with pytest.raises(RuntimeError, match="full of bees"):
            await app.simulate_event("slack", "app_mention", {"text": "hello"})
        assert ran == ["hello"]

        @app.slack.event("app_mention")
        async def broken_too(event: dict[str, Any]) -> None:
            raise ValueError("wasps")

        with pytest.raises(ExceptionGroup, match="2 handlers failed"):
            await app.simulate_event("slack", "app_mention", {"text": "hello"})

    async def test_an_unknown_provider_is_refused_before_anything_is_stored(self, app: ContextenApp) -> None:
        with pytest.raises(ValueError, match=r"^Unknown provider: gitlab$"):
            await app.simulate_event("gitlab", "push", {})

        assert await rows(app, EventModel, EventModel.provider != EventProvider.SYSTEM) == []

    async def test_the_first_one_initializes(self, build_app: BuildApp) -> None:
        app = build_app()
        try:
            assert await app.simulate_event("linear", "Issue", {}) == {"message": "Event handled successfully"}
        finally:
            await app.shutdown()


class TestDeliveries:
    async def test_a_function_is_called_once_though_two_applications_look(self, build_app: BuildApp) -> None:
        apps = [build_app(settings={"github_webhook_secrets": (SecretStr(SECRET),)}) for _ in range(2)]
        calls: list[tuple[int, int]] = []

        def register(app: ContextenApp, number: int) -> None:
            @app.github.event("push")
            async def pushed(event: dict[str, Any]) -> None:
                calls.append((number, event["n"]))

        for number, app in enumerate(apps):
            register(app, number)
            await app.initialize()
        transports = [httpx.ASGITransport(app=app.app, client=("127.0.0.1", 1)) for app in apps]
        try:
            for number in range(6):
                body, headers = delivery({"n": number, "repository": {"full_name": "acme/shop"}})
                for transport, status in zip(transports, (202, 200), strict=True):
                    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                        answer = await client.post("/github/events", content=body, headers=headers)
                    assert answer.status_code == status, answer.text
            await wait_until(lambda: len(calls) >= 6)
            await asyncio.gather(*(app.orchestrator.runner.call_due() for app in apps))
        finally:
            for app in apps:
                await app.shutdown()
        database = Database(apps[0].db_config)
        async with database.reading() as session:
            made = (await session.execute(select(EventHandlerModel))).scalars().all()
        await database.close()

        assert sorted(number for _, number in calls) == list(range(6))
        assert [(call.status, call.retry_count) for call in made] == [(HandlerStatus.COMPLETED, 0)] * 6

    async def test_one_that_is_not_signed_reaches_no_function(self, build_app: BuildApp) -> None:
        app = build_app(settings={"github_webhook_secrets": (SecretStr(SECRET),)})

        @app.github.event("*")
        def never(event: dict[str, Any]) -> None:
            raise AssertionError("called")

        await app.initialize()
        try:
            body, headers = delivery({"zen": "Design for failure."}, event="ping")
            transport = httpx.ASGITransport(app=app.app, client=("127.0.0.1", 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                answer = await client.post("/github/events", content=body + b" ", headers=headers)
            assert answer.status_code == 401
            assert await rows(app, EventHandlerModel) == []
        finally:
            await app.shutdown()


class TestSystemEvents:
    async def test_what_a_worker_emits_reaches_the_functions_of_an_application(
        self, app: ContextenApp, database_config: DatabaseConfig
    ) -> None:
        seen: list[Any] = []
        app.orchestrator.register_event_handler("nightly_done", seen.append)
        workers = Database(database_config)
        async with workers.transaction() as session:
            await emit(session, "nightly_done", {"n": 1})
            await emit(session, "nobody_listens", {})
        await workers.close()

        await wait_until(lambda: bool(seen))
        await app.orchestrator.shutdown()
        await app.orchestrator.initialize()

        assert seen == [{"n": 1}]
        ended = {event.event_type: event.status for event in await rows(app, EventModel)}
        assert ended == {"nightly_done": EventStatus.COMPLETED, "nobody_listens": EventStatus.COMPLETED}

    async def test_a_run_of_the_lifecycle_is_not_noted_twice(self, app: ContextenApp) -> None:
        """Its sixth and seventh steps have noted it."""
        data = {"task_id": str(uuid4()), "run_id": str(uuid4()), "task_data": {"name": "t"}}

        await app.orchestrator.emit_event("task_completed", data)

        assert await rows(app, AnalyticsModel, OURS) == []
        assert len(await rows(app, LearningModel)) == 1, "the one that says that the application takes part"

    async def test_an_event_that_outlived_its_rows_is_noted_without_them(self, app: ContextenApp) -> None:
        await app.orchestrator.emit_event("task_completed", {"task_id": str(uuid4()), "task_data": {"name": "t"}})

        (row,) = await rows(app, AnalyticsModel, OURS)
        assert (row.task_id, row.success) == (None, True)

    async def test_with_learning_and_analytics_off_nothing_is_noted(self, build_app: BuildApp) -> None:
        app = build_app(enable_learning=False, settings={"enable_analytics": False})
        await app.initialize()
        try:
            task = await app.orchestrator.create_task({"name": "t", "task_type": "testing"})
            for status in ("in_progress", "completed"):
                await app.orchestrator.update_task(str(task.id), {"status": status})
            await app.orchestrator.emit_event("performance_alert", {"kind": "cpu"})
            assert await rows(app, AnalyticsModel, OURS) == []
            assert await rows(app, LearningModel) == []
        finally:
            await app.shutdown()

    async def test_learning_can_be_told_of_a_task(self, app: ContextenApp) -> None:
        await app._update_learning_from_task({"name": "t", "task_type": "testing"}, success=False)

        kinds = {row.learning_type.value for row in await rows(app, LearningModel)}
        assert kinds == {"system_improvement", "error_analysis"}


def test_a_tmp_dir_that_is_not_ours_alone_is_refused(build_app: BuildApp, tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    app = build_app(tmp_dir=str(open_to_all))

    async def add() -> None:
        try:
            await app.add_repo("/nowhere")
        finally:
            await app.shutdown()

    with pytest.raises(ConfigurationError, match="open to others"):
        asyncio.run(add())


def test_a_runner_is_told_apart_by_its_owner(build_app: BuildApp) -> None:
    owners = {build_app().orchestrator.owner for _ in range(3)}

    assert len(owners) == 3
    assert isinstance(build_app().orchestrator.runner, FunctionRunner)
