"""Everything about a commit, and what a change means, from real repositories and with a real database."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.codebase.analysis import Analysis
from contexten_core.codebase.event_context import context_for
from contexten_core.codebase.explore import assess_change, explore
from contexten_core.codebase.impact import Impact
from contexten_core.codebase.repository import parse_repository
from contexten_core.db import Database, utc_now
from contexten_core.errors import ConflictError, GitError, NotFoundError
from contexten_core.events.models import Conclusion, EventModel, EventProvider, EventStatus, RunModel, RunStatus
from contexten_core.execution.git import GitMirrors
from contexten_core.settings import DatabaseConfig, Settings

on_sqlite = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)

SHOP = {
    "shop/__init__.py": "",
    "shop/tax.py": "def tax_rate(order):\n    return 7\n",
    "shop/order.py": "from shop.tax import tax_rate\n\n\n"
    "class Order:\n    def total(self):\n        return tax_rate(self)\n",
    "tests/test_tax.py": "from shop.tax import tax_rate\n\n\ndef test_rate():\n    assert tax_rate(1) == 7\n",
    "pyproject.toml": '[project]\nname = "shop"\ndependencies = ["httpx>=0.27"]\n\n[tool.pytest.ini_options]\n',
    ".github/CODEOWNERS": "shop/ @acme/shop\n",
}


class Project:
    """A repository on this machine, and what is found out about it."""

    def __init__(self, folder: Path, database: Database, settings: Settings) -> None:
        self.folder = folder / "shop"
        self.folder.mkdir()
        self.database = database
        self.settings = settings
        self.mirrors = GitMirrors(settings.mirrors)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "protocol.file.allow=always"]
        command = ["git", *who, *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, check=True, text=True
        ).stdout.strip()

    def commit(self, files: Mapping[str, str | bytes]) -> str:
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=work")
        return self.git("rev-parse", "HEAD")

    async def explore(self, commit: str | None = None) -> Analysis:
        return await explore(self.database, self.settings, self.mirrors, name=str(self.folder), commit=commit)

    async def impact(self, base: str, head: str, **options: Any) -> Impact:
        return await assess_change(
            self.database, self.settings, self.mirrors, name=str(self.folder), base=base, head=head, **options
        )


@pytest.fixture
def project(database: Database, database_config: DatabaseConfig, tmp_path: Path) -> Project:
    return Project(tmp_path, database, Settings(db=database_config, home=tmp_path / "home", github_token=None))


async def test_everything_about_a_commit(project: Project) -> None:
    commit = project.commit(SHOP)
    project.commit({"shop/tax.py": "def tax_rate(order):\n    return 7 if order else 19\n"})

    found = (await project.explore(commit)).as_dict()

    assert found["commit"] == commit
    assert found["totals"] == {"files": 6, "lines": 19, "functions": 3, "classes": 1}
    assert found["languages"]["Python"] == {"files": 4, "code": 9, "comment": 0, "blank": 4}
    order = next(file for file in found["files"] if file["path"] == "shop/order.py")
    assert order["functions"] == [{"name": "total", "line": 5, "end_line": 6, "complexity": 1}]
    assert order["classes"] == [{"name": "Order", "line": 4, "end_line": 6}]
    assert order["imports"] == [{"module": "shop.tax", "line": 1, "names": ["tax_rate"]}]
    assert found["modules"]["shop/tax.py"]["imported_by"] == ["shop/order.py", "tests/test_tax.py"]
    (dependency,) = found["dependencies"]
    assert (dependency["name"], dependency["requirement"], dependency["path"]) == ("httpx", ">=0.27", "pyproject.toml")
    assert (found["tests"]["files"], found["tests"]["commands"][0]["command"]) == (1, "python -m pytest")
    assert found["owners"]["shop/tax.py"]["owners"] == ["@acme/shop"]
    assert found["duration_seconds"] > 0


@on_sqlite
async def test_the_same_commit_again_says_the_same(project: Project) -> None:
    project.commit(SHOP)
    first, second = (await project.explore()).as_dict(), (await project.explore()).as_dict()
    assert first | {"duration_seconds": 0} == second | {"duration_seconds": 0}


@on_sqlite
async def test_hot_spots_are_of_the_code_that_changes(project: Project) -> None:
    project.commit(SHOP)
    for number in range(3):
        project.commit({"shop/tax.py": f"def tax_rate(order):\n    return {number}\n"})
    found = await project.explore()
    assert [(spot.path, spot.commits) for spot in found.surroundings.hot_spots] == [("shop/tax.py", 3)]
    assert found.surroundings.history.is_whole


@on_sqlite
async def test_commits_by_whatever_people_write_for_them(project: Project) -> None:
    first = project.commit(SHOP)
    second = project.commit({"shop/tax.py": "x = 1\n"})
    project.git("tag", "-m", "one", "v1", first)
    wanted = {
        "HEAD": second,
        "HEAD~1": first,
        "main^": first,
        first[:8]: first,
        "v1": first,
        "main": second,
        "@": second,
    }
    assert {name: (await project.explore(name)).commit for name in wanted} == wanted
    for unknown in ("HEAD~9", "no-such-branch", "deadbeef", "f" * 40, "--all", "a b"):
        with pytest.raises(GitError):
            await project.explore(unknown)


@on_sqlite
async def test_a_repository_without_a_commit_has_nothing_and_says_so(project: Project) -> None:
    found = (await project.explore()).as_dict()
    assert (found["files"], found["totals"]["files"], found["dependencies"]) == ([], 0, [])
    assert [entry["reason"] for entry in found["left_out"]] == ["the branch has no commit yet"]
    with pytest.raises(GitError, match="no commit yet"):
        await project.impact("HEAD", "HEAD")


@on_sqlite
async def test_odd_files_are_answered_with_what_was_left_out(project: Project) -> None:
    library = project.commit({"a.py": "def f():\n    return 1\n"})
    (project.folder / "link").symlink_to("a.py")
    project.git("update-index", "--add", "--cacheinfo", f"160000,{library},library")
    (project.folder / "pyproject.toml").symlink_to("/etc/hostname")
    odd: dict[str, str | bytes] = {
        "line\nbreak.py": "def g(): ...\n",
        "broken.py": "def h(:\n  ((\n\ndef k():\n    return 1\n",
        "binary.bin": b"\0\1\2",
        "latin.py": b"# \xe9\ndef m(): ...\n",
        "package.json": "{not json",
    }
    project.commit(odd)

    found = (await project.explore()).as_dict()

    files = {file["path"]: file for file in found["files"]}
    assert files["line\nbreak.py"]["functions"][0]["name"] == "g"
    assert "not understood" in files["broken.py"]["note"]
    assert {entry["reason"] for entry in found["left_out"]} >= {"symbolic link"}
    assert any("package.json: not understood" in note for note in found["notes"])


@on_sqlite
async def test_a_shallow_clone_says_that_its_history_is_cut_off(project: Project, tmp_path: Path) -> None:
    for number in range(4):
        project.commit({"a.py": f"x = {number}\n"})
    clone = tmp_path / "clone"
    project.git("clone", "--quiet", "--depth=2", f"file://{project.folder}", str(clone))
    project.folder = clone

    found = await project.explore()

    assert not found.surroundings.history.is_whole
    assert any("history" in note for note in found.surroundings.notes)


async def test_what_a_change_means(project: Project) -> None:
    base = project.commit(SHOP)
    head = project.commit({"shop/tax.py": "def tax_rate(order):\n    return 19\n"})

    impact = await project.impact(base, head)

    assert (impact.base, impact.head) == (base, head)
    assert [(one.path, one.name) for one in impact.symbols] == [("shop/tax.py", "tax_rate")]
    assert ("shop/order.py", "Order.total", 1) in {(one.path, one.name, one.depth) for one in impact.reached}
    assert [one.name for one in impact.tests if one.name] == ["test_rate"]
    assert (impact.untested, impact.authors) == ((), ())
    assert impact.owners == {"shop/tax.py": ("@acme/shop",)}
    assert 0 < impact.risk.score < 50


@on_sqlite
async def test_three_dots_compare_with_where_the_two_parted(project: Project) -> None:
    parted = project.commit(SHOP)
    project.git("switch", "--quiet", "--create", "work")
    project.commit({"shop/tax.py": "def tax_rate(order):\n    return 19\n"})
    project.git("switch", "--quiet", "main")
    project.commit({"shop/other.py": "x = 1\n"})

    impact = await project.impact("main", "work", since_merge_base=True)

    assert (impact.base, [change.path for change in impact.files]) == (parted, ["shop/tax.py"])
    assert [change.path for change in (await project.impact("main", "work")).files] == ["shop/other.py", "shop/tax.py"]


async def add_event(
    session: AsyncSession, *, commit: str, codebase_id: Any, payload: dict[str, Any], conclusion: Conclusion
) -> EventModel:
    now = utc_now()
    event = EventModel(
        name="push",
        event_type="push",
        provider=EventProvider.GITHUB,
        title="push",
        status=EventStatus.COMPLETED,
        payload=payload,
        digest="d",
        available_at=now,
    )
    session.add(event)
    await session.flush()
    run = RunModel(
        name="run",
        event_id=event.id,
        attempt=1,
        status=RunStatus.COMPLETED,
        conclusion=conclusion,
        commit_sha=commit,
        codebase_id=codebase_id,
        started_at=now,
    )
    session.add(run)
    await session.flush()
    return event


async def test_earlier_failures_of_the_same_files_count(project: Project) -> None:
    failing = project.commit(SHOP)
    failing = project.commit({"shop/tax.py": "def tax_rate(order):\n    return 1\n"})
    async with project.database.transaction() as session:
        await add_event(session, commit=failing, codebase_id=None, payload={}, conclusion=Conclusion.FAILURE)
    project.commit({"shop/tax.py": "def tax_rate(order):\n    return 2\n"})

    impact = await project.impact("HEAD~1", "HEAD")

    assert impact.past_failures == (failing,)


async def test_an_executor_is_shown_what_a_push_changes(project: Project) -> None:
    base = project.commit({**SHOP, "AGENTS.md": "Money is in cents.\n"})
    head = project.commit({"shop/tax.py": "def tax_rate(order):\n    return 19\n"})
    codebase = await parse_repository(
        project.database, project.settings, project.mirrors, name=str(project.folder), commit=head
    )
    payload = {
        "ref": "refs/heads/main",
        "before": base,
        "after": head,
        "repository": {"full_name": "acme/shop", "default_branch": "main"},
        "head_commit": {"id": head, "message": "Raise it"},
        "pusher": {"name": "ada"},
    }
    async with project.database.transaction() as session:
        event = await add_event(
            session, commit=head, codebase_id=codebase.id, payload=payload, conclusion=Conclusion.FAILURE
        )
        event_id = event.id

    async def shown(budget: int) -> Any:
        return await context_for(project.database, project.settings, project.mirrors, event_id, budget_tokens=budget)

    context = await shown(1_000)
    assert [piece.path for piece in context.pieces][:2] == ["AGENTS.md", "shop/tax.py"]
    assert "modified: tax_rate" in {piece.reason for piece in context.pieces}
    assert context == await shown(1_000)
    assert (await shown(40)).tokens <= 40


@on_sqlite
async def test_an_event_whose_commit_is_not_analysed(project: Project) -> None:
    async with project.database.transaction() as session:
        event = await add_event(session, commit="a" * 40, codebase_id=None, payload={}, conclusion=Conclusion.ERROR)
        event_id = event.id
    parts = (project.database, project.settings, project.mirrors)
    with pytest.raises(ConflictError, match="not analysed"):
        await context_for(*parts, event_id, budget_tokens=100)
    with pytest.raises(NotFoundError):
        await context_for(*parts, uuid4(), budget_tokens=100)
