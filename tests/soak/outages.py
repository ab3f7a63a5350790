"""What happens to the processes of a running stack, and whether every event is handled once all the same."""

import itertools
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGCONT, SIGSTOP, Signals
from statistics import mean
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx
import psutil
import psycopg

from contexten.emulators.repositories import DemoRepository, make_demo_repositories
from contexten.emulators.sender import pull_request_payload, sign_github
from contexten_core.settings import Settings
from deployments.attach import attached
from tests.functional.stacks import SECRET, GitHubProgram, ServedStack, eventually

T = TypeVar("T")

REPOSITORY = "octo/endurance"
COMMAND = "sleep 0.7"
_CLAIM_SECONDS, _SURELY_LEFT_SECONDS = 60, 8
_MOST_STOPS = 20
# GitHub takes a thousand statuses of a commit, and each run sends two.
_PULLS_OF_A_COMMIT = 100
MOST_CLAIMS = 1
"""Nothing is killed while an event has been claimed more often than this: with the third claim it is parked."""


class Endurance:
    """A stack with one repository, each of whose pull requests is an event with a lane of its own."""

    def __init__(self, stack: ServedStack, github: GitHubProgram, folder: Path, *, command: str = COMMAND) -> None:
        self.stack = stack
        self._github = github
        self._repository: DemoRepository = make_demo_repositories(folder).thermometer
        self._numbers = itertools.count(1)
        self._head = self._repository.branch_head
        where = ("--clone-url", str(self._repository.path))
        assert stack.contexten("projects", "add", REPOSITORY, "--command", command, *where).code == 0
        database = attached(Settings(home=stack.home)).db.url
        assert database is not None
        self._database = database.get_secret_value()

    def send(self, *, within: float = 10.0) -> str:
        """Deliver the push to a pull request of its own, and return the event's id; no answer but 202 will do."""
        repository, number = self._repository, next(self._numbers)
        if number % _PULLS_OF_A_COMMIT == 0:
            self._head = self._another_commit(str(number))
        payload = pull_request_payload(
            REPOSITORY,
            number,
            "synchronize",
            self._head,
            repository.head,
            repository.branch,
            repository.branch_message,
            "mona",
            at=self.stack.moment(),
        )
        body = json.dumps(payload).encode()
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": "pull_request",
            "X-GitHub-Delivery": str(uuid4()),
            "X-Hub-Signature-256": sign_github(SECRET, body),
        }
        url = f"{self.stack.urls['web']}/github/events"
        answer = httpx.post(url, content=body, headers=headers, timeout=within, trust_env=False)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["event_id"])

    def _another_commit(self, name: str) -> str:
        git = ["git", "-C", str(self._repository.path), "-c", "user.name=Mona", "-c", "user.email=mona@acme.example"]
        tree, parent = f"{self._head}^{{tree}}", self._repository.head
        made = subprocess.run([*git, "commit-tree", tree, "-p", parent, "-m", name], check=True, capture_output=True)
        commit = made.stdout.decode().strip()
        subprocess.run([*git, "update-ref", f"refs/heads/{name}", commit], check=True)
        return commit

    def pid(self, name: str) -> int | None:
        """Return the process of a part of the stack, None while it has none."""
        state = self.stack.state
        assert state is not None
        return next((child.process.pid for child in state.children if child.name == name), None)

    def rows(self, query: str, *given: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._database, autocommit=True) as connection:
            return connection.execute(query.encode(), given or None).fetchall()

    def held_by(self, pid: int) -> list[tuple[UUID, int]]:
        """Return the events that a worker process holds, with their epochs."""
        held = "SELECT id, lease_epoch FROM events WHERE status = 'processing' AND lease_owner LIKE %s"
        return [(event_id, epoch) for event_id, epoch in self.rows(held, f"%:{pid}:%")]

    def all_done_once(self, events: Sequence[str], *, within: float) -> None:
        """Wait until every event is handled; each has one run, each step once, and each report once at GitHub."""
        deadline = time.monotonic() + within
        eventually(self._has_said_all, within=within, what="the end of all reports", every=0.5)
        runs = [self.stack.handled(event, within=max(deadline - time.monotonic(), 1)) for event in events]
        parked = self.rows("SELECT id FROM events WHERE parked_at IS NOT NULL")
        assert parked == []
        for event, run in zip(events, runs, strict=True):
            assert (run["attempt"], run["status"], run["conclusion"]) == (1, "completed", "success"), run["reason"]
            assert len(self.stack.get(f"/api/events/{event}")["runs"]) == 1
            said = [state for state, _ in self._github.of_run(run, repository=REPOSITORY)]
            assert said == ["pending", "success"], f"run {run['id']} has said {said}"
            assert [effect["status"] for effect in run["effects"]] == ["sent"] * len(run["effects"])
        ids = [run["id"] for run in runs]
        counted = dict(
            self.rows("SELECT session_id, count(*) FROM analytics WHERE session_id = ANY(%s) GROUP BY 1", ids)
        )
        assert counted == dict.fromkeys(ids, 1)
        steps = (
            "SELECT run_id::text, count(*) FROM event_handlers WHERE run_id::text = ANY(%s) AND status = 'completed'"
        )
        assert dict(self.rows(f"{steps} GROUP BY 1", ids)) == dict.fromkeys(ids, 7)

    def _has_said_all(self) -> bool:
        self.look_up_now()
        open_events = "SELECT 1 FROM events WHERE provider = 'github' AND processed_at IS NULL"
        return not self.rows(f"{open_events} UNION ALL SELECT 1 FROM outbox WHERE status = 'pending' LIMIT 1")

    def look_up_now(self) -> None:
        """Have effects looked up now that a worker which stands still left to others itself: it takes a minute else."""
        is_left = "status = 'pending' AND uncertain AND available_at < now() + make_interval(secs => %s)"
        past = "now() - interval '1 second'"
        seconds = _CLAIM_SECONDS - _SURELY_LEFT_SECONDS
        self.rows(f"UPDATE outbox SET available_at = {past} WHERE {is_left} RETURNING id", seconds)


def killed_workers(endurance: Endurance, *, kills: int, seed: int) -> list[float]:
    """Kill the worker again and again, in the midst of its work, and return how soon that went on, in seconds."""
    chance, recovered, events = random.Random(seed), list[float](), list[str]()
    most = "SELECT coalesce(max(claims), 0) FROM events WHERE status IN ('pending', 'processing', 'retrying')"

    def at_work() -> list[tuple[UUID, int]] | None:
        pid = endurance.pid("worker")
        if pid is None or endurance.rows(most)[0][0] > MOST_CLAIMS:
            return None
        return endurance.held_by(pid) or None

    for _ in range(kills):
        events += [endurance.send(), endurance.send()]
        eventually(at_work, within=60, what="a worker at work")
        time.sleep(chance.uniform(0, 0.3))
        pid = endurance.pid("worker")
        assert pid is not None
        held = endurance.held_by(pid)
        kill(pid)
        killed_at = time.monotonic()
        held = held or endurance.held_by(pid)

        def goes_on(held: Sequence[tuple[UUID, int]] = held, pid: int = pid) -> bool:
            return not endurance.held_by(pid) and (not held or endurance.pid("worker") is not None)

        eventually(goes_on, within=60, what="somebody who goes on with it")
        if held:
            recovered.append(time.monotonic() - killed_at)
    endurance.all_done_once(events, within=90)
    return recovered


def stopped_worker(endurance: Endurance, *, workers: Sequence[int]) -> None:
    """Stop a worker beyond its leases while it is at work, and have it go on when the other one has done that work."""
    event = endurance.send()

    def holder() -> int | None:
        return next((pid for pid in workers if endurance.held_by(pid)), None)

    pid = eventually(holder, within=30, what="a worker at work", every=0.02)
    others = [worker for worker in workers if worker != pid]
    stop(endurance, pid)
    try:
        endurance.all_done_once([event], within=60)
        before = told(endurance, event)
    finally:
        os.kill(pid, SIGCONT)
    # Once it has handled another one, whatever it had been about to do is done, or given up.
    for other in others:
        stop(endurance, other)
    try:
        endurance.all_done_once([endurance.send()], within=60)
    finally:
        for other in others:
            os.kill(other, SIGCONT)
    endurance.all_done_once([event], within=60)
    assert told(endurance, event) == before


def stop(endurance: Endurance, pid: int) -> None:
    """Stop a worker where it holds no lock: what it had locked, nobody else could take over until it goes on."""
    holds = "state LIKE 'idle in transaction%' AND state_change < now() - interval '0.2 seconds'"
    query = f"SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND {holds}"
    for _ in range(_MOST_STOPS):
        os.kill(pid, SIGSTOP)
        time.sleep(0.3)
        if not endurance.rows(query):
            return
        os.kill(pid, SIGCONT)
        time.sleep(0.05)
    raise AssertionError(f"worker {pid} always holds a lock")


def told(endurance: Endurance, event: str) -> list[Any]:
    """Return all that is stored of an event's handling, which no one may write to once it has ended."""
    of_run = "run_id IN (SELECT id FROM runs WHERE event_id = %s)"
    of_task = "task_id IN (SELECT task_id FROM runs WHERE event_id = %s)"
    return [
        endurance.rows(f"SELECT row_to_json({table}) FROM {table} WHERE {where} ORDER BY id", event)
        for table, where in (
            ("events", "id = %s"),
            ("runs", "event_id = %s"),
            ("event_handlers", of_run),
            ("outbox", of_run),
            ("tasks", "id IN (SELECT task_id FROM runs WHERE event_id = %s)"),
            ("task_executions", of_task),
            ("analytics", of_task),
            ("learning", of_task),
        )
    ]


def restarted_database(endurance: Endurance, *, events: int, restarts: Sequence[float], pause: float) -> None:
    """Restart PostgreSQL, so many seconds after the last time, while events come in and are handled."""
    sent, waits = list[str](), list(restarts)
    restart_at = time.monotonic() + waits.pop(0)
    for _ in range(events):
        sent.append(endurance.send(within=60))
        if time.monotonic() >= restart_at:
            restart(endurance, "postgres", signal.SIGINT)
            restart_at = time.monotonic() + (waits.pop(0) if waits else 3_600)
        time.sleep(pause)
    until_it_answers(lambda: endurance.rows("SELECT 1"))
    endurance.all_done_once(sent, within=60 + events)


def prefect_away(endurance: Endurance, *, events: int, pause: float) -> tuple[list[str], float]:
    """Stop Prefect's server while events come in; return them, and after how many seconds of its return all ended."""
    pid = endurance.pid("prefect")
    assert pid is not None
    os.kill(pid, SIGSTOP)
    began = time.monotonic()
    try:
        sent = []
        for number in range(events):
            time.sleep(max(began + number * pause - time.monotonic(), 0))
            sent.append(endurance.send())
    finally:
        os.kill(pid, SIGCONT)
    back_at = time.monotonic()
    left = "SELECT 1 FROM events WHERE provider = 'github' AND processed_at IS NULL LIMIT 1"
    eventually(lambda: not endurance.rows(left), within=60 + events, what="the end of all runs", every=0.5)
    return sent, time.monotonic() - back_at


def restart(endurance: Endurance, name: str, number: Signals) -> None:
    """End a part of the stack, which is started again by itself."""
    pid = endurance.pid(name)
    assert pid is not None
    os.kill(pid, number)
    eventually(lambda: endurance.pid(name) not in (pid, None), within=60, what=f"another {name}")


def kill(pid: int) -> None:
    """`kill -9`, and wait for the end."""
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not _runs(pid), within=10, what=f"the end of {pid}", every=0.01)


def _runs(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def until_it_answers(ask: Callable[[], T]) -> T:
    def look() -> T | None:
        with suppress(psycopg.OperationalError):
            return ask()
        return None

    return eventually(look, within=60, what="PostgreSQL")


def figures(seconds: Sequence[float]) -> str:
    return f"{len(seconds)}: {mean(seconds):.1f} s on average, {max(seconds):.1f} s at most"
