"""Where an application runs: on the database that it is given, the stack of its home, or parts of its own."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from contexten import ContextenApp
from contexten.place import Place
from contexten_core.db import utc_now
from contexten_core.errors import StackError
from contexten_core.settings import DatabaseConfig, DatabaseKind, Settings
from deployments.home import Home
from deployments.hosted import HostedStack


@pytest.fixture
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    # Not below tmp_path: its name is as long as the test's, and a socket's is limited.
    return Settings(home=tmp_path_factory.mktemp("place") / "home", db=DatabaseConfig())


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    yield
    left = [process for process in psutil.Process().children(recursive=True) if process.pid not in before]
    assert [process.cmdline() for process in left] == []
    assert "contexten-stack" not in {thread.name for thread in threading.enumerate()}


def test_a_database_that_is_configured_is_used_as_it_is(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", db=DatabaseConfig(use_sqlite=True, sqlite_path=tmp_path / "x.db"))
    place = Place(settings)

    place.find_database()
    place.leave()
    place.leave()

    assert settings.db.kind is DatabaseKind.SQLITE
    assert not (tmp_path / "home").exists()


def test_without_one_our_own_is_started_and_ended(settings: Settings) -> None:
    place = Place(settings)
    place.find_database()
    try:
        assert settings.db.address.get_backend_name() == "postgresql"
        state = Home(settings.home).read_state()
        assert state is not None
        assert state.database is not None
        assert str(settings.db.address.password) not in state.database
    finally:
        place.leave()

    assert settings.db.kind is DatabaseKind.EMBEDDED
    assert settings.github_webhook_secrets == ()
    assert Home(settings.home).read_state() is None


async def test_applications_of_one_home_share_it(settings: Settings, tmp_path: Path) -> None:
    first, second = (ContextenApp(name=name, tmp_dir=str(tmp_path / "tmp"), settings=settings) for name in "ab")
    try:
        await asyncio.gather(first.initialize(), second.initialize())
        task = await first.orchestrator.create_task({"name": "t", "task_type": "testing"})
        started = {"status": "in_progress", "started_at": utc_now()}
        found = await second.orchestrator.update_task(str(task.id), started)
        assert found is not None
        hosts = [app for app in (first, second) if app._place._hosted is not None]
        assert len(hosts) == 1, "one has started it, the other uses it"
    finally:
        for app in sorted((first, second), key=lambda app: app._place._hosted is not None):
            await app.shutdown()


def test_a_home_that_something_else_has_is_told_of(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contexten.place._WAIT_SECONDS", 0.3)
    home = Home(settings.home)
    home.create()

    with home.lock(), pytest.raises(StackError, match="Another contexten serve"):
        Place(settings).find_database()

    assert settings.db.kind is DatabaseKind.EMBEDDED


def test_what_cannot_start_leaves_nothing(settings: Settings, tmp_path: Path) -> None:
    settings.postgres_bin = tmp_path
    place = Place(settings)

    with pytest.raises(StackError):
        place.find_database()
    place.leave()

    assert settings.db.kind is DatabaseKind.EMBEDDED
    assert Home(settings.home).read_state() is None


def test_a_part_that_dies_for_good_is_told_of(settings: Settings) -> None:
    failed = threading.Event()
    stack = HostedStack(settings, say=lambda _: None, failed=lambda _: failed.set())
    stack.open()
    try:
        server = psutil.Process().children()
        assert server
        assert not failed.is_set()
    finally:
        stack.close()
        stack.close()

    assert not failed.is_set(), "to be ended is no failure"
    with pytest.raises(StackError, match="has been ended"):
        stack.start(host="127.0.0.1", port=0)
