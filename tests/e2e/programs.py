"""Programs that serve: a user's own, in the environment of a stack."""

import json
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from signal import Signals
from typing import Any
from uuid import uuid4

import httpx

from contexten.emulators.sender import sign_github
from tests.functional.stacks import (
    END_SECONDS,
    HOST,
    RUN_SECONDS,
    SECRET,
    START_SECONDS,
    Household,
    ServedStack,
    eventually,
)


class Program:
    """One program, started on the home and the port that a stack would have."""

    def __init__(self, stack: ServedStack, argv: Sequence[str]) -> None:
        self.stack = stack
        self._argv = list(argv)
        self._output = stack.folder / "program.out"
        self._process: subprocess.Popen[bytes] | None = None
        self._web = httpx.Client(base_url=f"http://{HOST}:{stack.environment['API_PORT']}", trust_env=False, timeout=10)

    @contextmanager
    def running(self, *, until_healthy: bool = True) -> Iterator[None]:
        """Run it for the time of the block; kill it if it outlives the block."""
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                self._argv,
                cwd=self.stack.cwd,
                env=self.stack.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            if until_healthy:
                eventually(self._is_healthy, within=START_SECONDS, what=f"health of {self._argv}")
            yield
        finally:
            self._web.close()
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait(END_SECONDS)

    def said(self) -> str:
        return self._output.read_text(encoding="utf-8", errors="replace")

    def health(self) -> dict[str, Any]:
        health: dict[str, Any] = self._web.get("/health").raise_for_status().json()
        return health

    def deliver_ping_and_wait(self) -> dict[str, Any]:
        """Deliver a signed event, and wait until the worker, which may still be starting, has handled it."""
        body = json.dumps({"zen": f"Practicality beats purity. {uuid4()}"}).encode()
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": "ping",
            "X-GitHub-Delivery": str(uuid4()),
            "X-Hub-Signature-256": sign_github(SECRET, body),
        }
        answer = self._web.post("/github/events", content=body, headers=headers)
        assert answer.status_code == 202, answer.text

        def look() -> dict[str, Any] | None:
            event: dict[str, Any] = self._web.get(f"/api/events/{answer.json()['event_id']}").raise_for_status().json()
            return event if event["status"] in ("completed", "skipped", "failed") else None

        try:
            event = eventually(look, within=START_SECONDS + RUN_SECONDS, what="the end of the event")
        except AssertionError as error:
            seen = self._web.get(f"/api/events/{answer.json()['event_id']}").text
            raise AssertionError(f"{error}: {seen}\n{self.health()}\n{self.said()}") from None
        assert event["status"] == "skipped", event
        return event

    def interrupt(self, number: Signals = signal.SIGTERM) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def end(self, number: Signals = signal.SIGTERM) -> int:
        self.interrupt(number)
        return self.wait(within=END_SECONDS + 5)

    def wait(self, *, within: float) -> int:
        assert self._process is not None
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {within:g} s\n{self.said()}") from None

    def _is_healthy(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.said()
        try:
            return bool(self.health()["status"] == "healthy")
        except httpx.HTTPError:
            return False


def assert_home_is_free(stack: ServedStack, household: Household) -> None:
    eventually(lambda: household.described() == [], within=END_SECONDS, what="the end of every process")
    assert stack.state is None
    for folder in (stack.account, stack.temporary):
        assert [path for path in folder.rglob("*") if path.is_file()] == []


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)
