"""A second worker, as on another machine: a home of its own, and settings that lead to the stack's parts."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGCONT, SIGSTOP, SIGTERM

import pytest

from contexten_core.settings import Settings
from deployments.attach import attached
from deployments.readiness import READY_FD_VARIABLE
from tests.functional.stacks import END_SECONDS, GitHubProgram, Repositories, Runs, ServedStack

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

REPOSITORY = "octo/thermometer"
NEEDED = {"database", "prefect", "git", "sandbox"}


class FurtherWorker:
    """`contexten serve --role worker` with nothing in common with the stack but what its settings say."""

    def __init__(self, stack: ServedStack, folder: Path, *, prefect_api_url: str | None = None) -> None:
        self.home, self.account, self.log = folder / "home", folder / "account", folder / "worker.log"
        self.account.mkdir()
        database = attached(Settings(home=stack.home)).db.url
        assert database is not None
        self.environment = {
            **stack.environment,
            "CONTEXTEN_HOME": str(self.home),
            "HOME": str(self.account),
            "DATABASE_URL": database.get_secret_value(),
            "PREFECT_API_URL": prefect_api_url or stack.urls["prefect_api"],
            "PUBLIC_URL": stack.urls["web"],
        }
        reading, writing = os.pipe()
        with self.log.open("wb") as log, os.fdopen(reading, "rb") as readiness:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "contexten", "serve", "--role", "worker"],
                cwd=folder,
                env={**self.environment, READY_FD_VARIABLE: str(writing)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[writing],
            )
            os.close(writing)
            # Ends, too, when the worker does.
            is_ready = bool(readiness.readline())
        assert is_ready, self.log.read_text()

    def end(self) -> int:
        """Ask it to end; whatever happens, it is gone afterwards."""
        self.process.send_signal(SIGTERM)
        try:
            return self.process.wait(END_SECONDS)
        finally:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def worker(stack: ServedStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FurtherWorker]:
    further = FurtherWorker(stack, tmp_path_factory.mktemp("another-machine"))
    try:
        yield further
    finally:
        code = further.end()
    assert code == 0, further.log.read_text()
    assert [*further.account.rglob("*")] == []
    assert [*(further.home / "checkouts").glob("*")] == []


def test_a_further_worker_needs_settings_alone(
    stack: ServedStack, worker: FurtherWorker, repositories: Repositories, github: GitHubProgram
) -> None:
    with paused_worker_of(stack):
        run = stack.handled(stack.pull_request(repositories.passing, 801, "synchronize"))
    assert (run["status"], run["conclusion"]) == ("completed", "success"), worker.log.read_text()
    assert [state for state, _ in github.of_run(run, repository=REPOSITORY)] == ["pending", "success"]
    assert stack.finished_flow_run(run["flow_run_id"], within=30)["state_type"] == "COMPLETED"
    assert [*(worker.home / "mirrors").iterdir()] != [], "it has mirrors of its own"


def test_two_workers_double_nothing(
    stack: ServedStack, worker: FurtherWorker, repositories: Repositories, runs: Runs, github: GitHubProgram
) -> None:
    events = [stack.pull_request(repositories.passing, number, "synchronize") for number in range(802, 806)]
    for event in events:
        run = stack.handled(event)
        assert (run["attempt"], run["conclusion"]) == (1, "success")
        assert [state for state, _ in github.of_run(run, repository=REPOSITORY)] == ["pending", "success"]
        assert len(stack.get(f"/api/events/{event}")["runs"]) == 1
        assert set(stack.task_states(run["flow_run_id"]).values()) == {"Completed"}


def test_what_two_workers_register_is_there_once(stack: ServedStack, worker: FurtherWorker) -> None:
    for name, schedules in (("lifecycle/webhook", 0), ("learning/scheduled", 1), ("maintenance/scheduled", 1)):
        deployment = stack.prefect("GET", f"/deployments/name/{name}")
        assert (deployment["work_pool_name"], len(deployment["schedules"])) == ("contexten", schedules)
    online = stack.prefect("POST", "/work_pools/contexten/workers/filter", {})
    assert len([each for each in online if each["status"] == "ONLINE"]) >= 2


def test_doctor_says_what_a_further_worker_has(worker: FurtherWorker) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "contexten", "doctor", "--json"],
        cwd=worker.account,
        env=worker.environment,
        capture_output=True,
        check=True,
        timeout=60,
    )
    findings = json.loads(told.stdout)
    assert {finding["subject"] for finding in findings if finding["level"] == "ok"} >= NEEDED


@contextmanager
def paused_worker_of(stack: ServedStack) -> Iterator[None]:
    """Have the stack's own worker stand still, well within its leases."""
    state = stack.state
    assert state is not None
    (pid,) = [child.process.pid for child in state.children if child.name == "worker"]
    os.kill(pid, SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, SIGCONT)
