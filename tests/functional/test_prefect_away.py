"""A Prefect server elsewhere that refuses every connection for a while: nothing is lost, and work goes on at once."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.functional.stacks import GitHubProgram, Repositories, Runs, ServedStack, eventually
from tests.functional.test_two_workers import FurtherWorker, paused_worker_of

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

REPOSITORY = "octo/thermometer"
AWAY_SAYS, BACK_SAYS = "Prefect does not answer", "Prefect answers again"
_MOST_BYTES = 65_536
_SECONDS = 30


class Relay:
    """Passes connections on to a server, until it refuses them."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._loop = asyncio.new_event_loop()
        self._passing: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay")
        self._thread.start()
        self.port = 0
        self.let_in()

    def let_in(self) -> None:
        self._do(self._open())

    def refuse(self) -> None:
        """Cut every connection, and let nobody in."""
        self._do(self._close())

    def end(self) -> None:
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(_SECONDS)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        for passing in self._passing:
            passing.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        this = asyncio.current_task()
        assert this is not None
        self._passing.add(this)
        try:
            there, thither = await asyncio.open_connection("127.0.0.1", self._to)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(_pass_on(reader, thither))
                    both.create_task(_pass_on(there, writer))
            finally:
                thither.transport.abort()
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._passing.discard(this)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_MOST_BYTES):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


@pytest.fixture
def relay(stack: ServedStack) -> Iterator[Relay]:
    port = urlsplit(stack.urls["prefect_api"]).port
    assert port is not None
    relay = Relay(port)
    yield relay
    relay.end()


@pytest.fixture
def worker(stack: ServedStack, relay: Relay, tmp_path: Path) -> Iterator[FurtherWorker]:
    further = FurtherWorker(stack, tmp_path, prefect_api_url=f"http://127.0.0.1:{relay.port}/api")
    try:
        yield further
    finally:
        code = further.end()
    assert code == 0, further.log.read_text()


def test_events_wait_for_prefect_and_each_has_one_flow_run(
    stack: ServedStack,
    relay: Relay,
    worker: FurtherWorker,
    repositories: Repositories,
    runs: Runs,
    github: GitHubProgram,
) -> None:
    with paused_worker_of(stack):
        relay.refuse()
        events = [stack.pull_request(repositories.passing, number, "synchronize") for number in range(811, 814)]
        eventually(lambda: AWAY_SAYS in worker.log.read_text(), within=_SECONDS, what="the worker noticing")
        relay.let_in()
        handled = [stack.handled(event) for event in events]
    assert BACK_SAYS in worker.log.read_text()
    for event, run in zip(events, handled, strict=True):
        assert (run["attempt"], run["conclusion"]) == (1, "success")
        assert [state for state, _ in github.of_run(run, repository=REPOSITORY)] == ["pending", "success"]
        named = {"flow_runs": {"name": {"any_": [run["name"]]}}}
        assert [each["id"] for each in stack.prefect("POST", "/flow_runs/filter", named)] == [run["flow_run_id"]], event
