"""`contexten serve --once`: the whole demo in one command, whose exit code tells how it went."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from contexten.emulators.repositories import make_demo_repositories
from tests.functional.stacks import Household, ServedStack

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("e2e")]

DEMO_SECONDS = 120.0

MakeStack = Callable[..., ServedStack]


def test_once_plays_the_demo_and_leaves_nothing_but_its_home(make_stack: MakeStack, household: Household) -> None:
    stack = make_stack()
    assert stack.start("--once").wait(within=DEMO_SECONDS) == 0, stack.explain()
    assert stack.out.count("✓ ") == 3 * 7 + 3 * 3 + 1
    assert "✗" not in stack.out
    assert_nothing_is_left(stack, household)


def test_once_can_fail(make_stack: MakeStack, household: Household) -> None:
    stack = make_stack()
    lose_a_file(make_demo_repositories(stack.home / "demo").thermometer.path, "main:thermometer/scales.py")
    assert stack.start("--once").wait(within=DEMO_SECONDS) == 1, stack.explain()
    assert "✗ acme/thermometer main push ends in success but: error" in stack.out
    assert "✓ acme/cashbox main push ends in failure" in stack.out
    assert_nothing_is_left(stack, household)


def test_once_plays_the_demo_on_sqlite_too(make_stack: MakeStack, household: Household, tmp_path: Path) -> None:
    database = tmp_path / "contexten.db"
    stack = make_stack(DB_USE_SQLITE="true", DB_SQLITE_PATH=str(database))
    assert stack.start("--once").wait(within=DEMO_SECONDS) == 0, stack.explain()
    assert "✗" not in stack.out
    assert database.read_bytes().startswith(b"SQLite format 3")
    assert not (stack.home / "logs" / "postgres.log").exists()
    assert_nothing_is_left(stack, household)


def assert_nothing_is_left(stack: ServedStack, household: Household) -> None:
    assert household.described() == []
    assert stack.state is None
    for folder in (stack.account, stack.cwd, stack.temporary):
        assert list(folder.rglob("*")) == []


def lose_a_file(repository: Path, revision: str) -> None:
    """Take the content of one file out of a repository, as a broken disk does."""
    git = ["git", f"--git-dir={repository}", "-c", "safe.directory=*"]
    found = subprocess.run([*git, "rev-parse", revision], capture_output=True, text=True, timeout=10, check=True)
    blob = found.stdout.strip()
    (repository / "objects" / blob[:2] / blob[2:]).unlink()
