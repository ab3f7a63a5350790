"""How a stack starts, ends, and survives what happens to its processes."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from uuid import uuid4

import httpx
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
    stack = make_stack(
        GITHUB_API_URL=github.url, LEASE_SECONDS="4", HEARTBEAT_SECONDS="1", DRAIN_SECONDS="1", DEBOUNCE_SECONDS="0"
    )
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
    assert stack.finished_flow_run(run["flow_run_id"], within=30)["state_type"] == "COMPLETED"


def test_a_run_is_handed_back_at_the_end_of_its_worker_and_cancelled_in_prefect_with_its_command(
    stack: ServedStack, household: Household, tmp_path: Path
) -> None:
    event_id, mark = push_to_slow_repository(stack, "octo/endless", tmp_path / "endless", check=ENDLESS_CHECK)

    def at_work() -> list[str]:
        return [process for process in household.described() if mark in process]

    eventually(lambda: bool(at_work()), within=30, what="the beginning of the command")
    (run,) = stack.get(f"/api/events/{event_id}")["runs"]
    first = stack.get(f"/api/runs/{run['id']}")["flow_run_id"]

    os.kill(pid_of(stack, "worker"), signal.SIGTERM)
    handed_back = stack.finished_flow_run(first, within=30)
    assert (handed_back["state_type"], handed_back["state"]["message"]) == (
        "CRASHED",
        "handed back: the worker is stopping",
    )
    assert at_work() == []

    eventually(lambda: bool(at_work()), within=60, what="the command's second beginning")
    second = stack.get(f"/api/runs/{run['id']}")["flow_run_id"]
    assert second != first
    cancelling = {"state": {"type": "CANCELLING", "message": "not needed any more"}}
    assert stack.prefect("POST", f"/flow_runs/{second}/set_state", cancelling)["status"] == "ACCEPT"
    cancelled = stack.finished_flow_run(second, within=30)
    assert (cancelled["state_type"], cancelled["state"]["message"]) == ("CANCELLED", "not needed any more")
    ended = stack.handled(event_id)
    assert (ended["status"], ended["reason"], ended["attempt"]) == ("cancelled", "not needed any more", 1)
    assert at_work() == []


def test_pauses_in_prefect_are_respected(stack: ServedStack, household: Household, tmp_path: Path) -> None:
    deployment = stack.prefect("GET", "/deployments/name/lifecycle/webhook")
    stack.prefect("POST", f"/deployments/{deployment['id']}/pause_deployment")
    log = stack.home / "logs" / "worker.log"
    eventually(lambda: "lifecycle/webhook was paused" in log.read_text(), within=30, what="the pause")
    event_id, mark = push_to_slow_repository(stack, "octo/paused", tmp_path / "paused", check=SHORT_CHECK)
    time.sleep(0.3)
    waiting = stack.get(f"/api/events/{event_id}")
    assert (waiting["status"], waiting["runs"]) == ("pending", [])

    stack.prefect("POST", f"/deployments/{deployment['id']}/resume_deployment")
    eventually(lambda: any(mark in each for each in household.described()), within=30, what="the command")
    (run,) = stack.get(f"/api/events/{event_id}")["runs"]
    flow_run_id = stack.get(f"/api/runs/{run['id']}")["flow_run_id"]
    suspended = {"type": "PAUSED", "name": "Suspended", "state_details": {"pause_reschedule": True}}
    assert stack.prefect("POST", f"/flow_runs/{flow_run_id}/set_state", {"state": suspended})["status"] == "ACCEPT"
    eventually(
        lambda: not any(mark in each for each in household.described()), within=30, what="the end of the command"
    )
    assert stack.get(f"/api/runs/{run['id']}")["status"] == "running"

    assert stack.prefect("POST", f"/flow_runs/{flow_run_id}/resume", {})["status"] == "ACCEPT"
    resumed = stack.handled(event_id)
    assert (resumed["flow_run_id"], resumed["conclusion"], resumed["attempt"]) == (flow_run_id, "success", 1)
    assert resumed["execution"]["execution_number"] == 1


def test_nobody_is_refused_while_the_web_process_is_replaced(stack: ServedStack) -> None:
    answers: list[int] = []
    is_over = threading.Event()

    def ask(*, kept: bool) -> None:
        with httpx.Client(base_url=stack.urls["web"], trust_env=False, timeout=60) as client:
            while not is_over.is_set():
                headers = {} if kept else {"Connection": "close"}
                answers.append(client.get("/readyz", headers=headers).status_code)
                is_over.wait(0.01)

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask, kept=kept) for kept in (True, False)]
        try:
            for _ in range(2):
                before = pid_of(stack, "web")
                os.kill(stack.pid, signal.SIGHUP)
                eventually(partial(has_new_web, stack, before), within=90, what="a new web process alone")
        finally:
            is_over.set()
        for each in asking:
            each.result()
    assert set(answers) == {200}


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


ENDLESS_CHECK = """\
import time

time.sleep(600)
"""
SHORT_CHECK = """\
import time

time.sleep(3)
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


def push_to_slow_repository(stack: ServedStack, name: str, folder: Path, *, check: str) -> tuple[str, str]:
    """Deliver a push to a new project; return the event's id, and what the processes of its command are known by."""
    commit = make_repository(folder, check=check)
    mark = f"mark-{commit}"
    where = ("--clone-url", str(folder))
    assert stack.contexten("projects", "add", name, "--command", f"python check.py {mark}", *where).code == 0
    payload = push_payload(name, NO_COMMIT, commit, "refs/heads/main", "Add", "mona", stack.moment())
    return stack.send("push", payload), mark


def has_new_web(stack: ServedStack, before: int) -> bool:
    pids = pids_of(stack, "web")
    return len(pids) == 1 and before not in pids


def pid_of(stack: ServedStack, name: str) -> int:
    return pids_of(stack, name)[0]


def pids_of(stack: ServedStack, name: str) -> list[int]:
    assert stack.state is not None
    return [child.process.pid for child in stack.state.children if child.name == name]


def a_ping(stack: ServedStack) -> str:
    return stack.send("ping", {"zen": f"Practicality beats purity. {uuid4()}"})
