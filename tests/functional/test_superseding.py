"""Twenty pushes to one pull request in a few seconds: one of them is worth a run to its end."""

import subprocess
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from contexten.emulators.repositories import DemoRepository, make_demo_repositories
from tests.functional.stacks import ENDED, GitHubProgram, ServedStack, eventually

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

PUSHES = 20
PAUSE_SECONDS = 0.2
MARK = "1.8125"


@pytest.fixture
def pushed(tmp_path: Path) -> list[DemoRepository]:
    """A repository whose branch has grown by one commit with each push, as seen after each of them."""
    made = replace(make_demo_repositories(tmp_path).thermometer, full_name="octo/often")
    seen: list[DemoRepository] = []
    git = ["git", "-C", str(made.path), "-c", "user.name=mona", "-c", "user.email=mona@example.org"]
    tree = subprocess.check_output([*git, "rev-parse", f"{made.branch_head}^{{tree}}"], text=True).strip()
    parent = made.branch_head
    for number in range(PUSHES):
        commit = [*git, "commit-tree", tree, "-p", parent, "-m", f"commit {number}"]
        parent = subprocess.check_output(commit, text=True).strip()
        seen.append(replace(made, branch_head=parent))
    subprocess.check_call([*git, "update-ref", f"refs/heads/{made.branch}", parent])
    return seen


def test_one_run_is_completed_and_the_others_are_superseded(
    stack: ServedStack, github: GitHubProgram, pushed: list[DemoRepository]
) -> None:
    where = ("--clone-url", str(pushed[0].path))
    stack.contexten("projects", "add", "octo/often", "--command", f"sleep {MARK}", *where, "--json")
    events = []
    for repository in pushed:
        events.append(stack.pull_request(repository, 12, "synchronize"))
        time.sleep(PAUSE_SECONDS)

    def runs() -> list[dict[str, str]] | None:
        read = [stack.get(f"/api/events/{event}") for event in events]
        return [event["runs"][-1] for event in read] if all(event["status"] in ENDED for event in read) else None

    ended = eventually(runs, within=60, what="the end of all of them")
    assert [run["status"] for run in ended] == ["superseded"] * (PUSHES - 1) + ["completed"]
    assert ended[-1]["commit"] == pushed[-1].branch_head
    assert [process for process in psutil.process_iter(["cmdline"]) if MARK in (process.info["cmdline"] or [])] == []

    def told() -> bool:
        last = [github.statuses(repository.branch_head, repository="octo/often") for repository in pushed]
        finals = [[status["state"] for status in each if status["state"] != "pending"] for each in last]
        return finals == [["error"]] * (PUSHES - 1) + [["success"]]

    eventually(told, within=20, what="one final status for each commit")
