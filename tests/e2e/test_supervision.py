"""How a stack starts, ends, and survives what happens to its processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from contexten.emulators.sender import NO_COMMIT, push_payload
from tests.functional.stacks import GitHubProgram, Household, ServedStack, eventually

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("e2e")]

MakeStack = Callable[..., ServedStack]


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHubProgram]:
    with closing(GitHubProgram(tmp_path_factory.mktemp("github"))) as program:
        yield program


@pytest.fixture(scope="module")
def stack(github: GitHubProgram, household: Household, make_stack: MakeStack) -> Iterator[ServedStack]:
    """A running stack whose worker is missed soon; in the end Ctrl-C ends it, with all that it has started."""
    stack = make_stack(GITHUB_API_URL=github.url, LEASE_SECONDS="4", HEARTBEAT_SECONDS="1")
    stack.start()
    assert not stack.has_ended, stack.explain()
    yield stack
    assert stack.end(signal.SIGINT) == 0, stack.explain()
    assert household.described() == []
    assert stack.state is None


def test_a_second_serve_on_the_same_home_is_refused(stack: ServedStack) -> None:
    second = stack.program([sys.executable, "-m", "contexten", "serve"], within=30)
    assert second.code == 1
    assert f"Another contexten serve (pid {stack.pid}) uses the home {stack.home}" in second.err
    assert f"it serves {stack.urls['web']}" in second.err
    assert f"kill {stack.pid}" in second.err
    assert stack.get("/readyz")["status"] == "ready"


def test_a_run_whose_worker_was_killed_is_taken_over_and_reported_once(
    stack: ServedStack, github: GitHubProgram, household: Household, tmp_path: Path
) -> None:
    commit = make_repository(tmp_path / "slow", check=SLOW_CHECK)
    mark = f"mark-{commit}"
    command = f"python check.py {mark}"
    where = ("--clone-url", str(tmp_path / "slow"))
    assert stack.contexten("projects", "add", "octo/slow", "--command", command, *where).code == 0
    main = "refs/heads/main"
    event_id = stack.send("push", push_payload("octo/slow", NO_COMMIT, commit, main, "Add", "mona", stack.moment()))

    def at_work() -> list[str]:
        return [process for process in household.described() if mark in process]

    eventually(lambda: bool(at_work()), within=30, what="the beginning of the command")

    os.kill(pid_of(stack, "worker"), signal.SIGKILL)

    # A report that was on its way when its worker died is looked up after a minute.
    run = stack.handled(event_id, within=100)
    assert (run["attempt"], run["status"], run["conclusion"]) == (1, "completed", "success")
    assert len(stack.get(f"/api/events/{event_id}")["runs"]) == 1
    assert [state for state, _ in github.of_run(run, repository="octo/slow")] == ["pending", "success"]
    assert [effect["status"] for effect in run["effects"]] == ["sent", "sent"]
    assert run["execution"]["execution_number"] == 2
    assert stack.contexten("runs", "show", run["id"], "--log").out.split("begin")[1].split()[0] == "end"
    assert at_work() == []
    assert stack.finished_flow_run(run["flow_run_id"], within=10)["state_type"] == "COMPLETED"


def test_a_home_whose_supervisor_was_killed_is_taken_over(stack: ServedStack, household: Household) -> None:
    before = stack.handled(a_ping(stack))
    stack.kill()
    assert stack.state is not None
    stack.start()
    assert not stack.has_ended, stack.explain()
    assert household.outside(stack.pid) == []
    assert stack.get(f"/api/runs/{before['id']}")["reason"] == before["reason"]
    assert stack.handled(a_ping(stack))["status"] == "ignored"


def test_a_stack_can_be_ended_while_it_starts(stack: ServedStack, make_stack: MakeStack, household: Household) -> None:
    early = make_stack()
    early.launch()
    eventually((early.home / "logs" / "postgres.log").exists, within=30, what="the database of the early stack")
    assert early.end(signal.SIGTERM) == 0, early.explain()
    assert household.outside(stack.pid) == []
    assert early.state is None
    assert list(early.temporary.iterdir()) == []


SLOW_CHECK = """\
import time

print("begin", flush=True)
time.sleep(15)
print("end", flush=True)
"""


def make_repository(folder: Path, *, check: str) -> str:
    """Make a git repository with one file, and return its commit."""
    folder.mkdir()
    (folder / "check.py").write_text(check)
    git = ["git", "-C", str(folder), "-c", "user.name=Mona", "-c", "user.email=mona@octo.example"]
    for arguments in (["init", "--quiet", "--initial-branch=main"], ["add", "."], ["commit", "--quiet", "-m", "Add"]):
        subprocess.run([*git, *arguments], timeout=10, check=True)
    found = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True)
    return found.stdout.strip()


def pid_of(stack: ServedStack, name: str) -> int:
    assert stack.state is not None
    return next(child.process.pid for child in stack.state.children if child.name == name)


def a_ping(stack: ServedStack) -> str:
    return stack.send("ping", {"zen": f"Practicality beats purity. {uuid4()}"})
