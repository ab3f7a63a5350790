import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contexten.emulators.repositories import DemoRepository, make_demo_repositories
from contexten_core.errors import ConfigurationError, GitError


def git(*arguments: str | Path) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=30).stdout


def run_tests(repository: DemoRepository, commit: str, *, folder: Path) -> tuple[int, str]:
    checkout = folder / commit
    git("clone", "--quiet", "--no-checkout", repository.path, checkout)
    git("-C", checkout, "checkout", "--quiet", "--detach", commit)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    finished = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False, timeout=60)
    return finished.returncode, finished.stdout


def test_commit_ids_are_the_same_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("HOME", "/nowhere")
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    made = make_demo_repositories(tmp_path)
    assert (made.thermometer.parent, made.thermometer.head, made.thermometer.branch_head) == (
        "8ccccfe420ab46fdbb7d91bfaff0ec87294cf392",
        "91f6983d48c64763333c71d52687f282992158a5",
        "4ec5646e6c29b199e45341b077928cc75054e3aa",
    )
    assert (made.cashbox.parent, made.cashbox.head, made.cashbox.branch_head) == (
        "445e7cfa3b81130198845188ea3e0e7bd8b0c02a",
        "76f27dfaf86cb7ad5a16bd6bd22c8e419a022406",
        "8483a1df8d924c59c89238eca6fd98403d6cd0f7",
    )


def test_a_clone_has_the_history_that_is_told(tmp_path: Path) -> None:
    made = make_demo_repositories(tmp_path)
    for repository in (made.thermometer, made.cashbox):
        clone = tmp_path / repository.full_name
        git("clone", "--quiet", repository.path, clone)
        assert git("-C", clone, "rev-parse", "--abbrev-ref", "HEAD").strip() == repository.default_branch
        assert git("-C", clone, "log", "--format=%H").split() == [repository.head, repository.parent]
        branch = f"origin/{repository.branch}"
        assert git("-C", clone, "log", "--format=%H", branch).split() == [
            repository.branch_head,
            repository.head,
            repository.parent,
        ]
        assert git("-C", clone, "log", "-1", "--format=%s").strip() == repository.head_message
        assert git("-C", clone, "log", "-1", "--format=%s", branch).strip() == repository.branch_message
        git("-C", clone, "fsck", "--strict")


def test_the_tests_of_thermometer_pass_on_main_and_on_the_branch(tmp_path: Path) -> None:
    thermometer = make_demo_repositories(tmp_path).thermometer
    on_main = run_tests(thermometer, thermometer.head, folder=tmp_path)
    on_branch = run_tests(thermometer, thermometer.branch_head, folder=tmp_path)
    assert (on_main[0], on_branch[0]) == (0, 0)
    assert "4 passed" in on_main[1]
    assert "6 passed" in on_branch[1]


def test_one_test_of_cashbox_fails_until_the_branch_mends_it(tmp_path: Path) -> None:
    cashbox = make_demo_repositories(tmp_path).cashbox
    on_main = run_tests(cashbox, cashbox.head, folder=tmp_path)
    on_branch = run_tests(cashbox, cashbox.branch_head, folder=tmp_path)
    assert (on_main[0], on_branch[0]) == (1, 0)
    assert "FAILED tests/test_totals.py::test_total_rounds_to_the_cent" in on_main[1]
    assert "1 failed, 3 passed" in on_main[1]
    assert "4 passed" in on_branch[1]


def test_repositories_that_exist_are_reused_and_keep_what_was_pushed_to_them(tmp_path: Path) -> None:
    first = make_demo_repositories(tmp_path)
    pushed = git(
        "-C",
        first.cashbox.path,
        *("-c", "user.name=Mona", "-c", "user.email=mona@acme.example"),
        "commit-tree",
        "-p",
        first.cashbox.head,
        "-m",
        "More",
        f"{first.cashbox.head}^{{tree}}",
    )
    git("-C", first.cashbox.path, "update-ref", "refs/heads/main", pushed.strip())
    assert make_demo_repositories(tmp_path) == first
    assert git("-C", first.cashbox.path, "rev-parse", "main") == pushed
    assert sorted(path.name for path in (tmp_path / "acme").iterdir()) == ["cashbox.git", "thermometer.git"]


def test_made_by_several_at_once_they_are_made_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(max_workers=4) as pool:
        made = list(pool.map(make_demo_repositories, [tmp_path] * 4))
    assert made == [made[0]] * 4
    assert sorted(path.name for path in (tmp_path / "acme").iterdir()) == ["cashbox.git", "thermometer.git"]


def test_something_else_in_their_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "acme" / "cashbox.git").mkdir(parents=True)
    precious = tmp_path / "acme" / "cashbox.git" / "notes.txt"
    precious.write_text("mine")
    with pytest.raises(ConfigurationError, match=r"cashbox\.git is in the way"):
        make_demo_repositories(tmp_path)
    assert precious.read_text() == "mine"


def test_a_missing_git_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match="git command was not found"):
        make_demo_repositories(tmp_path)
