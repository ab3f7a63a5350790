"""What a connection is held to, over real sockets; and who gives way when there are too many."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from contexten.server import http_protocol
from contexten.server.http_protocol import Phase, guarded
from contexten.server.serving import make_server
from contexten_core.settings import Settings

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"


@dataclass
class App:
    """Answers with what it read; `/early` without reading; `/held` once it is let; `/large` with very much."""

    requests: list[str] = field(default_factory=list)
    left: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    let: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.requests.append(scope["path"])
        body = b""
        try:
            if scope["path"] != "/early":
                self.arrived.set()
                body = await request.body()
            if scope["path"] == "/held":
                await self.let.wait()
        except ClientDisconnect:
            self.left += 1
            return
        text = "x" * 20_000_000 if scope["path"] == "/large" else f"{scope['path']} {body.decode()}"
        await PlainTextResponse(text)(scope, receive, send)


class Peer:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> tuple[int, dict[bytes, bytes], bytes]:
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            first, *lines = head.split(b"\r\n")[:-2]
            headers = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)}
            body = await self.reader.readexactly(int(headers[b"content-length"]))
        return int(first.split()[1]), headers, body

    async def status(self) -> int:
        return (await self.answer())[0]

    async def is_closed(self) -> bool:
        """Wait until the server has closed the connection."""
        async with asyncio.timeout(10):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True


@dataclass
class Served:
    app: App
    port: int
    lobby: http_protocol.Lobby
    peers: list[Peer] = field(default_factory=list)

    async def connect(self) -> Peer:
        peer = Peer(*await asyncio.open_connection("127.0.0.1", self.port))
        self.peers.append(peer)
        return peer

    async def at(self, phase: Phase, count: int) -> None:
        await until(lambda: self.lobby.count(phase) == count)

    async def emptied(self) -> None:
        for peer in self.peers:
            peer.writer.transport.abort()
        await until(lambda: len(self.lobby) == 0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a server offers no event to wait for
            await asyncio.sleep(0.002)


@asynccontextmanager
async def serve(*, most: int = 100, header_seconds: float = 10) -> AsyncIterator[Served]:
    """Serve without a server: uvicorn's own takes 0.3 s to come and go."""
    app, make_protocol = App(), guarded(most=most, header_seconds=header_seconds)
    config, state = uvicorn.Config(app, http="h11", ws="none", lifespan="off", log_config=None), ServerState()
    listener = await asyncio.get_running_loop().create_server(
        lambda: make_protocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0, backlog=200
    )
    served = Served(app, listener.sockets[0].getsockname()[1], make_protocol.keywords["lobby"])
    async with listener:
        try:
            yield served
        finally:
            app.let.set()
            await served.emptied()
            await asyncio.gather(*state.tasks)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve() as served:
        yield served


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody gives way, however new."""
    monkeypatch.setattr(http_protocol, "_GIVING_WAY", dict.fromkeys(http_protocol._GIVING_WAY, 0.0))


async def test_requests_follow_each_other_on_one_connection(served: Served) -> None:
    peer = await served.connect()
    for _ in range(3):
        peer.send(POST)
        status, headers, body = await peer.answer()
        assert (status, body) == (200, b"/ body")
        assert b"connection" not in headers
        await served.at(Phase.IDLE, 1)


async def test_requests_sent_in_one_piece_are_answered_in_order(served: Served) -> None:
    peer = await served.connect()
    peer.send(POST + GET.replace(b"/", b"/a", 1) + POST)
    assert [(await peer.answer())[2] for _ in range(3)] == [b"/ body", b"/a ", b"/ body"]


async def test_a_body_in_chunks_is_read(served: Served) -> None:
    peer = await served.connect()
    peer.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n")
    await served.at(Phase.BODY, 1)
    peer.send(b"2;note=1\r\ndy\r\n0\r\n\r\n")
    assert await peer.answer() == (200, (await _headers_of(served)), b"/ body")


async def _headers_of(served: Served) -> dict[bytes, bytes]:
    peer = await served.connect()
    peer.send(POST)
    return (await peer.answer())[1]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody!", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4, 5\r\n\r\nbody!", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -4\r\n\r\nbody", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +4\r\n\r\nbody", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4_0\r\n\r\nbody", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\nbody", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 4\r\n\r\nbody", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nX-A: one\r\n two\r\nContent-Length: 4\r\n\r\nbody", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nX-A: one\r\n\ttwo\r\nContent-Length: 4\r\n\r\nbody", 400),
        (b"POST / HTTP/1.1\nHost: x\nContent-Length: 4\n\nbody", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nX-A: a\rContent-Length: 9\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nX-A: a\0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 20_000, 431),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_what_two_servers_could_read_differently_is_refused_and_ends_the_connection(
    served: Served, request_bytes: bytes, status: int
) -> None:
    peer = await served.connect()
    peer.send(request_bytes + GET)
    found, headers, body = await peer.answer()
    assert found == status
    assert headers[b"connection"] == b"close"
    assert b'"message"' in body
    assert await peer.is_closed()
    assert served.app.requests == []


async def test_a_wrong_request_behind_a_good_one_is_refused_too(served: Served) -> None:
    peer = await served.connect()
    peer.send(POST + b"POST / HTTP/1.1\r\nHost: x\r\nX-A: one\r\n two\r\n\r\n" + GET)
    assert [await peer.status(), await peer.status()] == [200, 400]
    assert await peer.is_closed()
    assert served.app.requests == ["/"]


async def test_a_wrong_chunk_ends_the_request_that_is_being_read(served: Served) -> None:
    peer = await served.connect()
    peer.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n")
    await served.at(Phase.BODY, 1)
    await served.app.arrived.wait()
    peer.send(b"4\nbody\r\n0\r\n\r\n")
    assert await peer.status() == 400
    assert await peer.is_closed()
    assert served.app.left == 1


async def test_what_follows_the_last_request_is_no_request(served: Served) -> None:
    peer = await served.connect()
    peer.send(b"GET /held HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    await served.app.arrived.wait()
    peer.send(b"\r\n" + GET)
    served.app.let.set()
    assert await peer.status() == 200
    assert await peer.is_closed()
    assert served.app.requests == ["/held"]


async def test_a_head_comes_in_time_or_the_connection_ends(served: Served) -> None:
    follower = await served.connect()
    follower.send(POST)
    assert await follower.status() == 200
    served.lobby.header_seconds = 0.05
    silent = await served.connect()
    follower.send(b"GET /a")
    assert await follower.status() == 408
    for peer in (silent, follower):
        assert await peer.is_closed()
    assert served.app.requests == ["/"]


async def test_time_for_a_head_is_no_time_for_a_body_an_answer_or_a_pause(served: Served) -> None:
    peer = await served.connect()
    for data, phase in ((b"POST /held", Phase.HEAD), (POST[6:-2], Phase.BODY), (POST[-2:], Phase.ANSWERING)):
        peer.send(data)
        await served.at(phase, 1)
        (connection,) = served.lobby.connections(phase)
        assert connection.has_deadline() is (phase is Phase.HEAD)
    served.app.let.set()
    assert await peer.status() == 200
    await served.at(Phase.IDLE, 1)
    assert not connection.has_deadline()


async def test_an_early_answer_leaves_its_sender_the_time_to_read_it(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = await served.connect()
    peer.send(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n")
    assert await peer.status() == 200
    await served.at(Phase.DRAINING, 1)
    peer.send(b"x" * 300_000 + POST)
    assert await peer.status() == 200
    monkeypatch.setattr(http_protocol, "_DRAIN_SECONDS", 0.02)
    peer.send(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n")
    assert await peer.status() == 200
    assert await peer.is_closed()


async def test_who_takes_no_answer_is_let_go(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "_STALL_SECONDS", 0.05)
    peer = await served.connect()
    peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
    peer.send(GET.replace(b"/", b"/large", 1))
    await served.app.arrived.wait()
    await until(lambda: len(served.lobby) == 0)


async def test_the_largest_answer_reaches_who_takes_it(served: Served) -> None:
    peer = await served.connect()
    peer.send(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert len((await peer.answer())[2]) == 20_000_000


async def test_who_has_sent_no_head_gives_way_to_who_sends(at_once: None) -> None:
    async with serve(most=10) as served:
        holding = [await served.connect() for _ in range(10)]
        for number, peer in enumerate(holding):
            peer.send(b"GET / HTTP/1.1\r\nX-A: " + b"a" * number)
        await served.at(Phase.HEAD, 10)
        for _ in range(3):
            sender = await served.connect()
            sender.send(POST.replace(b"Host", b"Connection: close\r\nHost"))
            assert await sender.status() == 200
        assert await holding[0].is_closed()
        assert len(served.lobby) <= 10
        holding[-1].send(b"\r\nHost: x\r\n\r\n")
        assert await holding[-1].status() == 200


async def test_then_who_is_idle_gives_way_and_then_who_sends_a_slow_body(at_once: None) -> None:
    async with serve(most=10) as served:
        idle, slow = await served.connect(), [await served.connect() for _ in range(9)]
        idle.send(GET)
        await served.at(Phase.IDLE, 1)
        for peer in slow:
            peer.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nb")
        await served.at(Phase.BODY, 9)
        assert await idle.status() == 200
        for gives_way in (idle, slow[0]):
            sender = await served.connect()
            sender.send(b"POST /held HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody")
            assert await gives_way.is_closed()
        await served.at(Phase.ANSWERING, 2)
        await until(lambda: served.app.left == 1)


async def test_who_waits_for_an_answer_stays_and_who_comes_is_told_to_come_again(at_once: None) -> None:
    async with serve(most=10) as served:
        waiting = [await served.connect() for _ in range(10)]
        for peer in waiting:
            peer.send(POST.replace(b"/", b"/held", 1))
        await served.at(Phase.ANSWERING, 10)
        refused = await served.connect()
        refused.send(POST)
        status, headers, body = await refused.answer()
        assert (status, headers[b"connection"]) == (503, b"close")
        assert int(headers[b"retry-after"]) > 0
        assert b"WEBHOOK_CONNECTIONS" in body
        assert await refused.is_closed()
        served.app.let.set()
        assert [await peer.status() for peer in waiting] == [200] * 10


async def test_there_is_a_bound_also_to_those_who_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "_GIVING_WAY", {})
    monkeypatch.setattr(http_protocol, "_LEAVE_SECONDS", 600.0)
    async with serve(most=10) as served:
        for _ in range(40):
            await served.connect()
        await served.at(Phase.LEAVING, served.lobby.most_leaving)
        assert len(served.lobby) == 10 + served.lobby.most_leaving


@pytest.mark.parametrize("half", [POST[:-2], POST[:20], b""], ids=["body", "head", "nothing"])
async def test_half_a_request_keeps_no_server_from_ending(half: bytes) -> None:
    """Without the grace of uvicorn, which is in whole seconds, it would be waited for for ever."""
    application, app = FastAPI(), App()
    application.state.settings = Settings(webhook_header_seconds=600, webhook_connections=10)
    application.mount("/", app)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = make_server(application, lifespan="off", timeout_graceful_shutdown=0)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await until(lambda: server.started)
        peer = Peer(*await asyncio.open_connection(*listener.getsockname()))
        peer.send(POST)
        assert await peer.status() == 200
        peer.send(half)
        app.arrived.clear()
        if half == POST[:-2]:
            await app.arrived.wait()
        server.should_exit = True
        async with asyncio.timeout(10):
            await serving
        peer.writer.close()


async def test_a_hundred_slow_connections_keep_nobody_out() -> None:
    """Bytes come one at a time, into heads and into bodies, on more connections than there may be."""
    async with serve(most=80) as served:
        slow = [await served.connect() for _ in range(100)]
        stop = asyncio.Event()

        async def drip(peer: Peer, data: bytes) -> None:
            for byte in data:
                if stop.is_set() or peer.writer.transport.is_closing():
                    return
                peer.send(bytes([byte]))
                await asyncio.sleep(0.02)

        head, body = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: a\r\n" * 50, POST[:-4] + b"x" * 3
        dripping = [asyncio.create_task(drip(peer, head if number % 2 else body)) for number, peer in enumerate(slow)]
        await asyncio.sleep(0.3)
        answers = []
        for _ in range(50):
            sender = await served.connect()
            sender.send(POST.replace(b"Host", b"Connection: close\r\nHost"))
            answers.append(await sender.status())
        stop.set()
        await asyncio.gather(*dripping)
        assert answers == [200] * 50
        assert len(served.lobby) - served.lobby.count(Phase.LEAVING) <= 80
