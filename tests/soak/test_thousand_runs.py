"""A thousand lifecycles in flight at once, each of which waits for a hosted agent: all end, and the web stays quick.

It takes minutes, so it runs under `make soak` alone.
"""

import asyncio
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
import pytest

from contexten.emulators.sender import push_payload, sign_github
from contexten_core.db import Database
from contexten_core.events.models import Conclusion
from contexten_core.events.run_store import count_by_outcome
from contexten_core.settings import Settings
from deployments.attach import attached
from tests.e2e.conftest import household, make_stack  # noqa: F401 - fixtures
from tests.e2e.test_supervision import make_repository, pid_of
from tests.functional.stacks import SECRET, GitHubProgram, ServedStack, eventually
from tests.soak.web import IS_LONG

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(not IS_LONG, reason="takes minutes: make soak"),
    pytest.mark.xdist_group("stack"),
]

RUNS = int(os.environ.get("CONTEXTEN_SOAK_RUNS", "1000"))
WAIT_SECONDS = 30.0
HOLD_SECONDS = 25.0
ALL_END_SECONDS = 900.0
MOST_BYTES = 1.5e9
SLOWEST_SECONDS = 0.25
BEFORE = "0" * 40


class SlowAgent:
    """A hosted agent that takes half a minute for each job, and has whoever asks wait for it on the socket.

    Attributes:
        most: how many have waited at once.
    """

    def __init__(self) -> None:
        self.url = ""
        self.most = 0
        self._started: dict[str, float] = {}
        self._waiting = 0
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _live(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=RUNS))
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        self._up.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.1))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, path, _ = head.decode("latin-1").split(" ", 2)
            lengths = [
                line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
            ]
            await reader.readexactly(int(lengths[0]) if lengths else 0)
            body = json.dumps(await self._answer(method, path)).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nRetry-After: 0\r\nConnection: close\r\n"
                + f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            await writer.drain()
        finally:
            writer.close()

    async def _answer(self, method: str, path: str) -> dict[str, Any]:
        if method == "POST":
            job = str(len(self._started))
            self._started[job] = time.monotonic()
            return {"id": job, "status": "running"}
        job = path.rpartition("/")[2]
        self._waiting += 1
        self.most = max(self.most, self._waiting)
        try:
            left = self._started[job] + WAIT_SECONDS - time.monotonic()
            await asyncio.sleep(max(0.0, min(left, HOLD_SECONDS)))
        finally:
            self._waiting -= 1
        if left > HOLD_SECONDS:
            return {"id": job, "status": "running"}
        return {"id": job, "status": "done", "answer": {"succeeded": True, "summary": "Done."}}


@pytest.fixture
def agent() -> Iterator[SlowAgent]:
    with SlowAgent() as agent:
        yield agent


@pytest.fixture
def stack(
    make_stack: Callable[..., ServedStack],  # noqa: F811 - the fixture
    agent: SlowAgent,
    tmp_path: Path,
) -> Iterator[ServedStack]:
    with closing(GitHubProgram(tmp_path)) as github:
        stack = make_stack(
            GITHUB_API_URL=github.url,
            HOSTED_AGENTS=json.dumps({"slow": agent.url}),
            HOSTED_AGENT_TOKENS=json.dumps({"slow": "a token of the tests"}),
            DEBOUNCE_SECONDS="0",
        )
        stack.start()
        assert not stack.has_ended, stack.explain()
        yield stack


def test_a_thousand_lifecycles_wait_at_once_while_the_web_stays_quick(
    stack: ServedStack, agent: SlowAgent, tmp_path: Path
) -> None:
    commit = make_repository(tmp_path / "slow", check="")
    where = ("--clone-url", str(tmp_path / "slow"))
    assert stack.contexten("projects", "add", "octo/slow", "--command", "true", *where).code == 0
    (prompt,) = (each for each in stack.get("/api/prompts")["items"] if each["slug"] == "octo-slow-checks")
    changed = {"executor": "http", "executor_config": {"agent": "slow"}}
    token = stack.contexten("tokens", "create", "tests", "--json").json["token"]
    headers = {"Authorization": f"Bearer {token}"}
    answer = stack.web.patch(f"/api/prompts/{prompt['id']}", json=changed, headers=headers)
    assert answer.status_code == 200, answer.text

    worker = psutil.Process(pid_of(stack, "worker"))
    is_over = threading.Event()
    live: list[float] = []

    def watch() -> float:
        largest = 0.0
        with httpx.Client(base_url=stack.urls["web"], trust_env=False, timeout=30) as client:
            while not is_over.wait(0.05):
                began = time.monotonic()
                assert client.get("/livez").status_code == 200
                live.append(time.monotonic() - began)
                largest = max(largest, worker.memory_info().rss)
        return largest

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            began = time.monotonic()
            acknowledged = [deliver(stack, commit, number) for number in range(RUNS)]
            eventually(lambda: ended(stack) == RUNS, within=ALL_END_SECONDS, what="the end of all runs", every=2.0)
            took = time.monotonic() - began
        finally:
            is_over.set()
        memory = watching.result()
    figures = {
        "runs": RUNS,
        "seconds": round(took),
        "at once": agent.most,
        "worker MB": round(memory / 1e6),
        "livez p99 ms": round(percentile(live) * 1000),
        "acknowledgement p99 ms": round(percentile(acknowledged) * 1000),
    }
    print(json.dumps(figures))
    assert memory < MOST_BYTES, figures
    assert percentile(live) < SLOWEST_SECONDS, figures
    assert percentile(acknowledged) < SLOWEST_SECONDS, figures


def deliver(stack: ServedStack, commit: str, number: int) -> float:
    """Deliver a push to a branch of its own, and return the seconds until it was acknowledged."""
    payload = push_payload("octo/slow", BEFORE, commit, f"refs/heads/b{number}", "Add", "mona", stack.moment())
    body = json.dumps(payload).encode()
    headers = {"X-Hub-Signature-256": sign_github(SECRET, body)}
    began = time.monotonic()
    answer = stack.post(body, secret=None, headers=headers)
    assert answer.status_code == 202, answer.text
    return time.monotonic() - began


def ended(stack: ServedStack) -> int:
    async def count() -> int:
        database = Database(attached(Settings(home=stack.home)).db)
        async with database.reading() as session:
            counted = await count_by_outcome(session)
        await database.close()
        return sum(number for _, conclusion, number in counted if conclusion is Conclusion.SUCCESS)

    return asyncio.run(count())


def percentile(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]
