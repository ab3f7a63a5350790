"""Real stacks for tests: `contexten serve` as a program on a home of its own, and what people do with one."""

import ctypes
import fcntl
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import Signals
from typing import Any, ClassVar, Self, TypeVar
from uuid import uuid4

import httpx
import psutil
import pytest

from contexten.emulators.repositories import DemoRepository
from contexten.emulators.sender import pull_request_payload, push_payload, sign_github
from deployments.home import Home
from deployments.state import StackState

T = TypeVar("T")

SECRET = "a webhook secret of the tests"
HOST = "127.0.0.1"
LARGEST_PAYLOAD = 200_000
ENDED = ("completed", "failed", "skipped")
# How Prefect says that a run or a task has ended.
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
START_SECONDS = 120.0
# What the documentation promises for the end of a stack, by Ctrl-C and otherwise.
END_SECONDS = 10.0
GRACEFUL_END_SECONDS = 35.0
# Far more than it takes: other tests may keep the machine busy meanwhile.
RUN_SECONDS = 120.0
# What every error of the API says.
PROBLEM = {"code", "message", "hint", "request_id", "detail"}
_LOOK_SECONDS = 0.1
_TAIL_CHARACTERS = 3_000
_PR_SET_CHILD_SUBREAPER = 36


def eventually(look: Callable[[], T | None], *, within: float, what: str, every: float = _LOOK_SECONDS) -> T:
    """Look again and again until there is something to see.

    Raises:
        AssertionError: nothing came within that many seconds.
    """
    deadline = time.monotonic() + within
    while True:
        if seen := look():
            return seen
        assert time.monotonic() < deadline, f"waited {within:g} s in vain for {what}"
        time.sleep(every)


def free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self
        return json.loads(self.out)


def starting_lock(basetemp: Path) -> Path:
    """Return the file that all test processes of this session lock while a stack of theirs comes up."""
    return (basetemp.parent if "PYTEST_XDIST_WORKER" in os.environ else basetemp) / "a-stack-comes-up"


class Household:
    """All processes that descend from this one since it was made, even those that escaped from their sessions."""

    def __init__(self) -> None:
        self._strangers = {child.pid for child in psutil.Process().children()}
        _adopt_orphans(adopt=True)

    def members(self) -> list[psutil.Process]:
        """Return the processes that run; those that have ended are collected."""
        running = []
        for child in psutil.Process().children():
            if child.pid in self._strangers:
                continue
            with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
                if child.status() == psutil.STATUS_ZOMBIE:
                    child.wait(0)
                else:
                    family = [child, *child.children(recursive=True)]
                    running += [process for process in family if process.status() != psutil.STATUS_ZOMBIE]
        return running

    def outside(self, pid: int) -> list[str]:
        """Describe those that do not belong to one process of them."""
        members = self.members()
        family = {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}
        return _described(process for process in members if process.pid not in family)

    def described(self) -> list[str]:
        return _described(self.members())

    def clear(self) -> None:
        """Kill whatever is left."""
        deadline = time.monotonic() + END_SECONDS
        while (members := self.members()) and time.monotonic() < deadline:
            for process in members:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(_LOOK_SECONDS)

    def close(self) -> None:
        """Kill whatever is left; from now on, orphans are init's again."""
        self.clear()
        _adopt_orphans(adopt=False)


class ServedStack:
    """`contexten serve`, the settings it has, and the folders it may and may not write to.

    Args:
        folder: gets the home, an account's folder, a working folder and a folder for temporary files.
        household: that its processes belong to.
        starting: a file that is locked while a stack comes up: of two that come up together, each takes twice as long.
        settings: further environment variables.
    """

    alive: ClassVar[list["ServedStack"]] = []

    def __init__(self, folder: Path, *, household: Household, starting: Path, **settings: str) -> None:
        self.folder = folder
        self.home, self.account, self.cwd = folder / "home", folder / "account", folder / "cwd"
        self.temporary = folder / "tmp"
        for empty in (self.account, self.cwd, self.temporary):
            empty.mkdir(parents=True)
        programs = Path(sys.executable).parent
        self.environment = {
            "PATH": os.pathsep.join([str(programs), os.environ.get("PATH", os.defpath)]),
            "HOME": str(self.account),
            "TMPDIR": str(self.temporary),
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "CONTEXTEN_HOME": str(self.home),
            "API_HOST": HOST,
            "API_PORT": str(free_port()),
            "GITHUB_WEBHOOK_SECRET": SECRET,
            # Nobody here pushes twice by mistake.
            "DEBOUNCE_SECONDS": "0",
            **settings,
        }
        self._household = household
        self._starting = starting
        self._output = folder / "serve.out", folder / "serve.err"
        self._process: subprocess.Popen[bytes] | None = None
        self._web: httpx.Client | None = None
        self._seconds = itertools.count()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def out(self) -> str:
        return _read(self._output[0])

    @property
    def err(self) -> str:
        return _read(self._output[1])

    @property
    def state(self) -> StackState | None:
        return Home(self.home).read_state()

    @property
    def urls(self) -> dict[str, str]:
        state = self.state
        assert state is not None, self.explain()
        return state.urls

    @property
    def web(self) -> httpx.Client:
        """A client of the web process, which may say what it wants but that it failed."""
        assert self._web is not None, "the stack is not up"
        return self._web

    def start(self, *options: str) -> Self:
        """Start `contexten serve` and wait until everything is up, or until it has ended."""
        with self._starting.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.launch(*options)
            return self.come_up()

    def come_up(self) -> Self:
        """Wait until everything is up, or until it has ended."""
        eventually(lambda: self._is_up() or self.has_ended, within=START_SECONDS, what="the stack")
        if not self.has_ended:
            hooks = {"response": [_refuse_server_error]}
            self._web = httpx.Client(base_url=self.urls["web"], trust_env=False, timeout=10, event_hooks=hooks)
        return self

    def launch(self, *options: str) -> None:
        """Start `contexten serve`, and wait for nothing."""
        if self not in self.alive:
            self.alive.append(self)
        with self._output[0].open("wb") as out, self._output[1].open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "contexten", "serve", *options],
                cwd=self.cwd,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def has_ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def wait(self, *, within: float) -> int:
        """Wait for the end of `serve` and return its exit code."""
        assert self._process is not None
        try:
            code = self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"serve did not end within {within:g} s\n{self.explain()}") from None
        self._close_web()
        return code

    def end(self, number: Signals = signal.SIGTERM) -> int:
        """Ask `serve` to end as people do."""
        assert self._process is not None
        self._process.send_signal(number)
        return self.wait(within=END_SECONDS if number == signal.SIGINT else GRACEFUL_END_SECONDS)

    def kill(self) -> None:
        """`kill -9` the supervisor."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(5)
        self._close_web()

    def discard(self) -> None:
        """Leave no process of the household, and no file."""
        if self._process is not None and not self.has_ended:
            self.kill()
        self._household.clear()
        if self in self.alive:
            self.alive.remove(self)
        shutil.rmtree(self.folder)

    def explain(self) -> str:
        """Return the ends of everything that the stack wrote."""
        files = [*self._output, *sorted((self.home / "logs").glob("*.log"))]
        return "\n".join(f"--- {file.name}\n{_read(file)[-_TAIL_CHARACTERS:]}" for file in files)

    def contexten(self, *arguments: str, within: float = 60.0) -> Answer:
        """Run a command of the command line."""
        return self.program([sys.executable, "-m", "contexten", *arguments], within=within)

    def program(self, argv: Sequence[str], *, within: float, cwd: Path | None = None, **settings: str) -> Answer:
        """Run a program in the environment of the stack."""
        done = subprocess.run(
            list(argv),
            cwd=cwd or self.cwd,
            env={**self.environment, **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=within,
            check=False,
        )
        return Answer(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())

    def post(
        self,
        body: bytes,
        *,
        event: str = "push",
        secret: str | None = SECRET,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Deliver bytes as GitHub does."""
        ours = {"Content-Type": "application/json", "X-GitHub-Event": event, "X-GitHub-Delivery": str(uuid4())}
        if secret is not None:
            ours["X-Hub-Signature-256"] = sign_github(secret, body)
        return self.web.post("/github/events", content=body, headers={**ours, **(headers or {})})

    def send(self, event: str, payload: Mapping[str, Any]) -> str:
        """Deliver an event that must be accepted, and return its id."""
        answer = self.post(json.dumps(payload).encode(), event=event)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["event_id"])

    def push(self, repository: DemoRepository, *, name: str | None = None) -> str:
        """Deliver a push of the newest commit, in other words each time, as a later delivery is."""
        return self.send(
            "push",
            push_payload(
                name or repository.full_name,
                repository.parent,
                repository.head,
                f"refs/heads/{repository.default_branch}",
                repository.head_message,
                "mona",
                self.moment(),
            ),
        )

    def pull_request(self, repository: DemoRepository, number: int, action: str) -> str:
        """Deliver an event about the pull request of the repository's branch."""
        return self.send(
            "pull_request",
            pull_request_payload(
                repository.full_name,
                number,
                action,
                repository.branch_head,
                repository.head,
                repository.branch,
                repository.branch_message,
                "mona",
                at=self.moment(),
            ),
        )

    def moment(self) -> datetime:
        """Return a time that no delivery of this stack has had."""
        return datetime(2026, 1, 5, 9, 0, tzinfo=UTC) + timedelta(seconds=next(self._seconds))

    def get(self, path: str, **parameters: Any) -> Any:
        answer = self.web.get(path, params=parameters)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def handled(self, event_id: str, *, runs: int = 1, within: float = RUN_SECONDS) -> dict[str, Any]:
        """Wait until an event has ended and its newest run has reported; return that run, with its event."""

        def look() -> dict[str, Any] | None:
            event = self.get(f"/api/events/{event_id}")
            if event["status"] not in ENDED or len(event["runs"]) < runs:
                return None
            run: dict[str, Any] = self.get(f"/api/runs/{event['runs'][-1]['id']}")
            return None if any(effect["status"] == "pending" for effect in run["effects"]) else run

        return eventually(look, within=within, what=f"the end of event {event_id}")

    def prefect(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call the Prefect server as its UI does."""
        answer = httpx.request(method, f"{self.urls['prefect_api']}{path}", json=body, timeout=10, trust_env=False)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def task_states(self, flow_run_id: str, *, tasks: int = 7) -> dict[str, str]:
        """Return the final state of each task run of a flow run, by the name of its step.

        Prefect writes them down from the events that it gets, a moment after the flow run has ended.
        """
        filters = {"flow_runs": {"id": {"any_": [flow_run_id]}}}

        def look() -> list[dict[str, Any]] | None:
            runs: list[dict[str, Any]] = self.prefect("POST", "/task_runs/filter", filters)
            return runs if len([run for run in runs if run["state_type"] in FINAL]) >= tasks else None

        runs = eventually(look, within=START_SECONDS, what=f"the end of {tasks} tasks of flow run {flow_run_id}")
        states = {re.sub(r"-[0-9a-f]{3}$", "", run["name"]): run["state_name"] for run in runs}
        assert len(states) == len(runs), f"a step has several task runs: {runs}"
        return states

    def finished_flow_run(self, flow_run_id: str, *, within: float) -> dict[str, Any]:
        """Wait until a flow run is in a final state."""

        def look() -> dict[str, Any] | None:
            run: dict[str, Any] = self.prefect("GET", f"/flow_runs/{flow_run_id}")
            return run if run["state_type"] in FINAL else None

        return eventually(look, within=within, what=f"the end of flow run {flow_run_id}")

    def _is_up(self) -> bool:
        state = self.state
        return state is not None and state.supervisor.pid == self.pid and bool(state.urls)

    def _close_web(self) -> None:
        if self._web is not None:
            self._web.close()
            self._web = None


class GitHubProgram:
    """The GitHub emulator as a program of its own, so that statuses really go over HTTP."""

    def __init__(self, folder: Path) -> None:
        self._output = folder / "emulator.out"
        environment = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONDONTWRITEBYTECODE": "1"}
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "contexten.emulators.github"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        line = eventually(self._first_line, within=30, what="the emulator")
        self.url: str = json.loads(line)["url"]

    def statuses(self, sha: str, *, repository: str) -> list[dict[str, Any]]:
        """Return the statuses of a commit, in the order in which they came."""
        answer = httpx.get(f"{self.url}/_emulator/statuses", timeout=10, trust_env=False)
        return [
            status
            for status in answer.raise_for_status().json()["statuses"]
            if status["sha"] == sha and status["repository"] == repository
        ]

    def of_run(self, run: Mapping[str, Any], *, repository: str) -> list[tuple[str, str]]:
        """Return state and description of each status that links to a run."""
        return [
            (status["state"], status["description"])
            for status in self.statuses(run["commit"], repository=repository)
            if status["target_url"].endswith(f"/runs/{run['id']}")
        ]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    def _first_line(self) -> str | None:
        line, found, _ = _read(self._output).partition("\n")
        assert self._process.poll() is None, line
        return line if found else None


@dataclass(frozen=True, slots=True)
class Repositories:
    """Repositories that the stack knows: their own tests pass, fail, or cannot be had."""

    passing: DemoRepository
    failing: DemoRepository
    unreachable: DemoRepository


@dataclass(frozen=True, slots=True)
class Runs:
    """How the first event of each repository was handled, as the API tells it."""

    passed: dict[str, Any]
    failed: dict[str, Any]
    unreachable: dict[str, Any]


def add_logs(report: pytest.TestReport) -> None:
    """Put the ends of all logs into the report of a failed test."""
    if report.failed:
        report.sections += [(f"logs of {stack.home}", stack.explain()) for stack in ServedStack.alive]


def _refuse_server_error(answer: httpx.Response) -> None:
    assert not answer.is_server_error, f"{answer.request.method} {answer.request.url}: {answer.status_code}"


def _described(processes: Iterable[psutil.Process]) -> list[str]:
    told = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            told.append(f"{process.pid} {' '.join(process.cmdline())}")
    return told


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""


def _adopt_orphans(*, adopt: bool) -> None:
    """Orphans become our children, so that none can hide from the count (Linux)."""
    if sys.platform == "linux":
        assert ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(adopt)) == 0
