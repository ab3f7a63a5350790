"""Mirrors and checkouts that nobody needs any more are removed, and no others."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from contexten_core.codebase.models import CodebaseModel, CodebaseStatus
from contexten_core.db import Database
from contexten_core.events.models import EventModel, EventProvider, RunModel, RunStatus
from contexten_core.execution.collect import (
    Collected,
    Folder,
    checkouts_to_remove,
    collect_mirrors,
    collect_trees,
    mirrors_to_remove,
    size_of,
)
from contexten_core.execution.file_lock import file_lock
from contexten_core.execution.git import GitMirrors, lock_of, mirror_name
from contexten_core.settings import Settings
from contexten_core.tasks.models import TaskExecutionModel, TaskModel, TaskStatus, TaskType
from contexten_core.tasks.store import AtWork

if TYPE_CHECKING:
    from tests.component.execution.conftest import Origin

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def _mirror(name: str, idle: timedelta, size: int = 10) -> Folder:
    return Folder(name, NOW - idle, size)


@pytest.mark.parametrize(
    ("most_bytes", "chosen"),
    [
        pytest.param(100, ["month"], id="there is room: only what nobody has used for a month goes"),
        pytest.param(40, ["month"], id="as much as there may be"),
        pytest.param(39, ["month", "week"], id="one too many: the longest unused goes too"),
        pytest.param(25, ["month", "week", "day"], id="then the next"),
        pytest.param(0, ["month", "week", "day"], id="what is needed, or was used just now, never goes"),
    ],
)
def test_which_mirrors_go(most_bytes: int, chosen: list[str]) -> None:
    mirrors = [
        _mirror("now", HOUR - timedelta(seconds=1)),
        _mirror("week", 7 * DAY),
        _mirror("needed", 90 * DAY),
        _mirror("month", 30 * DAY),
        _mirror("day", DAY),
    ]

    removed = mirrors_to_remove(mirrors, needed={"needed"}, retention=30 * DAY, most_bytes=most_bytes, now=NOW)

    assert [mirror.name for mirror in removed] == chosen


def test_which_checkouts_go() -> None:
    ended, live, unknown = uuid4(), uuid4(), uuid4()
    young, old = NOW - HOUR, NOW - 2 * DAY
    folders = {
        (str(ended), young): True,
        (str(live), young): False,
        (str(live), old): False,
        (str(unknown), young): False,
        (str(unknown), old): True,
        (f"{ended}.removing-1", young): False,
        (f"{ended}.removing-1", old): True,
        (ended.hex, young): False,
    }

    removed = checkouts_to_remove(
        [Folder(*folder) for folder in folders],
        AtWork(ended=frozenset({ended}), live=frozenset({live}), repositories=frozenset()),
        now=NOW,
    )

    assert [(folder.name, folder.used_at) for folder in removed] == [key for key, goes in folders.items() if goes]


def _age(path: Path, when: datetime) -> None:
    os.utime(path, (when.timestamp(), when.timestamp()))


def _collect(root: Path, *, now: datetime, needed: frozenset[str] = frozenset(), most_bytes: int = 10**12) -> int:
    removed, _, left = collect_mirrors(root, needed=needed, retention=30 * DAY, most_bytes=most_bytes, now=now)
    assert left == sum(size_of(path) for path in root.iterdir() if len(path.name) == 40)
    return removed


def test_a_mirror_goes_a_month_after_its_last_use_and_is_made_again(
    origin: "Origin", mirrors: GitMirrors, tmp_path: Path
) -> None:
    root = tmp_path / "mirrors"
    commit = origin.commit({"a": "1"})
    mirror = mirrors.open(str(origin.folder), allow_local=True)
    mirror.fetch(commit)
    (folder,) = (path for path in root.iterdir() if path.is_dir())
    lock = lock_of(root, mirror_name(mirror.url))
    assert folder.name == mirror_name(mirror.url)

    for use in (lambda: mirror.fetch(commit), lambda: mirror.tree(commit)):
        _age(lock, NOW)
        use()
        assert lock.stat().st_mtime > NOW.timestamp()
    _age(lock, NOW)
    assert _collect(root, now=NOW + 29 * DAY) == 0
    assert _collect(root, now=NOW + 30 * DAY) == 1

    assert [path.name for path in root.iterdir()] == [lock.name]
    mirror.fetch(commit)
    assert [entry.path for entry in mirror.tree(commit)] == ["a"]


def test_a_mirror_that_is_being_fetched_into_stays(origin: "Origin", mirrors: GitMirrors, tmp_path: Path) -> None:
    root = tmp_path / "mirrors"
    mirror = mirrors.open(str(origin.folder), allow_local=True)
    mirror.fetch(origin.commit({"a": "1"}))
    lock = lock_of(root, mirror_name(mirror.url))
    _age(lock, NOW)

    with file_lock(lock, what="the mirror", timeout_seconds=0):
        assert _collect(root, now=NOW + 60 * DAY, most_bytes=0) == 0
    assert _collect(root, now=NOW + 60 * DAY, needed=frozenset({mirror_name(mirror.url)}), most_bytes=0) == 0

    assert _collect(root, now=NOW + 60 * DAY, most_bytes=0) == 1


def test_what_was_left_of_making_and_removing_mirrors_goes_after_a_day(tmp_path: Path) -> None:
    root, outside = tmp_path / "mirrors", tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    name = "a" * 40
    leftovers = [f"{name}.new-0f", f"{name}.gone-0f", f"{name}.gone-0f.removing-1", "index-x1"]
    others = ["somebody's", name[:39]]
    for folder in (*leftovers, *others):
        (root / folder / "deep").mkdir(parents=True)
        (root / folder / "deep/link").symlink_to(outside)
        _age(root / folder, NOW)
    (root / "link.gone-1").symlink_to(outside)

    for now, count in ((NOW + DAY - HOUR, 0), (NOW + DAY, len(leftovers))):
        assert collect_mirrors(root, needed=(), retention=DAY, most_bytes=0, now=now) == (0, count, 0)

    assert {path.name for path in root.iterdir()} == {*others, "link.gone-1"}
    assert (outside / "precious").read_text() == "precious"


async def test_nothing_is_there_before_anything_was_done(database: Database, tmp_path: Path) -> None:
    settings = Settings(_env_file=None, CONTEXTEN_HOME=tmp_path / "home")

    assert await collect_trees(database, settings, now=NOW) == Collected(0, 0, 0, 0)


async def test_what_live_runs_need_stays_and_what_they_left_goes(
    database: Database, origin: "Origin", tmp_path: Path
) -> None:
    settings = Settings(_env_file=None, CONTEXTEN_HOME=tmp_path / "home", mirrors_bytes=1)
    read, forgotten = type(origin)(tmp_path / "read"), type(origin)(tmp_path / "forgotten")
    for repository in (read, forgotten):
        mirror = GitMirrors(settings.mirrors).open(str(repository.folder), allow_local=True)
        mirror.fetch(repository.commit({"a": "1"}))
        _age(lock_of(settings.mirrors, mirror_name(mirror.url)), NOW - 2 * HOUR)
    stays = [
        await _execution(database, TaskStatus.IN_PROGRESS, RunStatus.RUNNING, reads=str(read.folder)),
        await _execution(database, TaskStatus.IN_PROGRESS, RunStatus.FAILED, reads=str(forgotten.folder)),
    ]
    goes = [
        await _execution(database, TaskStatus.COMPLETED, RunStatus.RUNNING, reads=str(read.folder)),
        await _execution(database, TaskStatus.CANCELLED, RunStatus.FAILED, reads=str(forgotten.folder)),
        await _execution(database, TaskStatus.IN_PROGRESS, RunStatus.FAILED, reads=str(forgotten.folder)),
        uuid4(),
    ]
    for execution in (*stays, *goes):
        (settings.checkouts / str(execution) / "code").mkdir(parents=True)
        _age(settings.checkouts / str(execution), NOW - HOUR)
    for execution in (stays[0], *goes[2:]):
        _age(settings.checkouts / str(execution), NOW - 2 * DAY)

    collected = await collect_trees(database, settings, now=NOW)

    assert {path.name for path in settings.checkouts.iterdir()} == set(map(str, stays))
    folders = [path.name for path in settings.mirrors.iterdir() if path.is_dir()]
    assert folders == [mirror_name(str(read.folder))]
    assert (collected.mirrors, collected.checkouts, collected.temporary) == (1, len(goes), 0)
    assert collected.mirrors_bytes == size_of(settings.mirrors / folders[0])


async def _execution(database: Database, status: TaskStatus, run_status: RunStatus, *, reads: str) -> UUID:
    """Store an execution, and the run that it belongs to, which has read a repository."""
    event, run, task, execution, codebase = (uuid4() for _ in range(5))
    async with database.transaction() as session:
        session.add(
            EventModel(
                id=event,
                name="push",
                event_type="push",
                provider=EventProvider.GITHUB,
                title="push",
                payload={},
                digest=str(event),
                available_at=NOW,
            )
        )
        session.add(TaskModel(id=task, name="t", title="t", task_type=TaskType.TESTING))
        session.add(
            CodebaseModel(
                id=codebase,
                name="c",
                repository_url=reads,
                commit_sha=codebase.hex,
                branch="main",
                status=CodebaseStatus.COMPLETED,
            )
        )
        await session.flush()
        session.add(
            RunModel(
                id=run,
                name="r",
                event_id=event,
                attempt=1,
                status=run_status,
                task_id=task,
                codebase_id=codebase,
                started_at=NOW,
            )
        )
        session.add(
            TaskExecutionModel(id=execution, name="e", task_id=task, execution_number=1, status=status, started_at=NOW)
        )
    return execution
