"""The proxy lets through what is allowed and nothing else; real sockets on both sides."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from contexten_core.execution.command import Limits, NetworkAccess, run_command
from contexten_core.execution.network_addresses import is_public
from contexten_core.execution.network_proxy import FilteringProxy, Streams
from contexten_core.execution.sandbox import Sandbox

PUBLIC = "93.184.216.34"


@dataclass
class Internet:
    """Names that lead to addresses, and one server that answers at every public one."""

    names: dict[str, list[str]]
    port: int = 0
    reached: list[tuple[str, int]] = field(default_factory=list)
    received: bytes = b""

    async def find(self, host: str, port: int) -> Sequence[str]:
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return self.names[host]

    async def connect(self, address: str, port: int) -> Streams:
        self.reached.append((address, port))
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.received += await reader.read(65_536)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")
        await writer.drain()
        writer.close()


@pytest.fixture
async def internet() -> AsyncIterator[Internet]:
    names = {
        "pypi.org": [PUBLIC],
        "files.pythonhosted.org": ["10.0.0.1"],
        "two.pythonhosted.org": [PUBLIC, "127.0.0.1"],
    }
    internet = Internet(names)
    async with await asyncio.start_server(internet.serve, "127.0.0.1", 0) as server:
        internet.port = server.sockets[0].getsockname()[1]
        yield internet


@asynccontextmanager
async def proxied(internet: Internet, access: NetworkAccess) -> AsyncIterator[FilteringProxy]:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    proxy = FilteringProxy(access, listener=listener, find=internet.find, connect=internet.connect)
    proxy_address = listener.getsockname()
    await proxy.start()
    try:
        proxy.address = proxy_address  # type: ignore[attr-defined]
        yield proxy
    finally:
        await proxy.close()


ACCESS = NetworkAccess(hosts=("pypi.org", "*.PythonHosted.org"))


async def ask(proxy: FilteringProxy, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*proxy.address)  # type: ignore[attr-defined]
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


async def test_a_tunnel_to_an_allowed_host(internet: Internet) -> None:
    async with proxied(internet, ACCESS) as proxy:
        answer = await ask(proxy, b"CONNECT PyPI.org.:443 HTTP/1.1\r\nHost: x\r\n\r\nbytes of TLS")

    assert answer.startswith(b"HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200 OK")
    assert internet.reached == [(PUBLIC, 443)]
    assert internet.received == b"bytes of TLS"
    assert proxy.passed_bytes == len(internet.received) + len(answer) - len(
        b"HTTP/1.1 200 Connection established\r\n\r\n"
    )


async def test_a_plain_request_to_an_allowed_host(internet: Internet) -> None:
    request = (
        b"GET http://user@pypi.org/simple?x=1 HTTP/1.1\r\nHost: metadata.google.internal\r\n"
        b"Proxy-Authorization: Basic eA==\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n"
    )
    async with proxied(internet, ACCESS) as proxy:
        answer = await ask(proxy, request)

    assert answer.endswith(b"hello")
    assert internet.reached == [(PUBLIC, 80)]
    assert internet.received == (
        b"GET /simple?x=1 HTTP/1.1\r\nHost: pypi.org\r\nConnection: close\r\nAccept: */*\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"CONNECT evil.org:443", 403),
        (b"CONNECT pypi.org.evil.org:443", 403),
        (b"CONNECT evilpypi.org:443", 403),
        (b"CONNECT pythonhosted.org:443", 403),
        (b"CONNECT pypi.org:22", 403),
        (b"CONNECT pypi.org:0443x", 400),
        (b"CONNECT 127.0.0.1:80", 403),
        (b"CONNECT [::1]:80", 403),
        (b"CONNECT files.pythonhosted.org:443", 403),
        (b"CONNECT two.pythonhosted.org:443", 403),
        (b"CONNECT unknown.pythonhosted.org:443", 502),
        (b"CONNECT evil.org@pypi.org@evil.org:443", 403),
        (b"GET http://evil.org/", 403),
        (b"GET http://pypi.org:443/", 400),
        (b"GET https://pypi.org/", 400),
        (b"GET /etc/passwd", 400),
        (b"GET file:///etc/passwd", 400),
        (b"nonsense", 400),
        (b"CONNECT " + b"a" * 300 + b".pythonhosted.org:443", 400),
        (b"CONNECT \xff:443", 400),
    ],
)
async def test_everything_else_is_refused(target: bytes, status: int, internet: Internet) -> None:
    async with proxied(internet, ACCESS) as proxy:
        answer = await ask(proxy, target + b" HTTP/1.1\r\nHost: pypi.org\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert internet.reached == []


async def test_what_was_refused_is_known(internet: Internet) -> None:
    async with proxied(internet, ACCESS) as proxy:
        for host in (b"evil.org", b"files.pythonhosted.org", b"evil.org"):
            await ask(proxy, b"CONNECT %s:443 HTTP/1.1\r\n\r\n" % host)

    assert proxy.refused == ["evil.org:443", "files.pythonhosted.org:443"]


async def test_so_many_bytes_and_connections(internet: Internet) -> None:
    access = NetworkAccess(hosts=("pypi.org",), total_bytes=10, connections=1)
    async with proxied(internet, access) as proxy:
        cut = await ask(proxy, b"CONNECT pypi.org:443 HTTP/1.1\r\n\r\nmore than ten bytes")
        waiting = await asyncio.open_connection(*proxy.address)  # type: ignore[attr-defined]
        full = await ask(proxy, b"CONNECT pypi.org:443 HTTP/1.1\r\n\r\n")
        waiting[1].close()

    assert cut == b"HTTP/1.1 200 Connection established\r\n\r\n"
    assert full.startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize(
    "access", [NetworkAccess(hosts=("pypi.org",), idle_seconds=0.05), NetworkAccess(hosts=("pypi.org",), seconds=0.05)]
)
async def test_nothing_lasts_for_ever(access: NetworkAccess, internet: Internet) -> None:
    async with proxied(internet, access) as proxy:
        answer = await ask(proxy, b"CONNECT pypi.org:443 HTTP/1.1\r\n\r\n")

    assert answer == b"HTTP/1.1 200 Connection established\r\n\r\n"


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
        ),
        *("224.0.0.1", "255.255.255.255", "192.0.2.1", "168.63.129.16", "100.100.100.200", "::", "::1", "fe80::1"),
        *("fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::7f00:1"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:db8::1", "not an address", ""),
    ],
)
def test_addresses_that_are_never_reached(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:4700::1111"])
def test_addresses_of_the_internet(address: str) -> None:
    assert is_public(address)


ASK = """
import http.client, os
for url in ("http://localhost:80/", "http://127.0.0.1/", "http://evil.example/"):
    proxy = http.client.HTTPConnection(os.environ["HTTP_PROXY"].removeprefix("http://"))
    proxy.request("GET", url)
    answer = proxy.getresponse()
    print(answer.status, answer.read().decode().strip())
"""


async def test_a_sandboxed_command_asks_the_proxy(cwd: Path, walls: Sandbox) -> None:
    access = NetworkAccess(hosts=("localhost",))

    result = await run_command(["python3", "-c", ASK], cwd=cwd, limits=Limits(), sandbox=walls, network=access)

    assert result.output.splitlines() == [
        "403 localhost leads to an address that commands may not reach",
        "403 127.0.0.1:80 is not among the hosts that this command may reach",
        "403 evil.example:80 is not among the hosts that this command may reach",
    ]
    assert result.refused_hosts == ("localhost:80", "127.0.0.1:80", "evil.example:80")


async def test_without_hosts_there_is_no_proxy(cwd: Path, walls: Sandbox) -> None:
    script = "env | grep -ic proxy; cat /proc/net/tcp | wc -l; grep -c : /proc/net/dev"

    result = await run_command(["sh", "-c", script], cwd=cwd, limits=Limits(), sandbox=walls)

    assert result.output.split() == ["0", "1", "1"]
