"""The proxy through which sandboxed commands reach the few hosts that they may."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from socket import socket
from urllib.parse import SplitResult, urlsplit

from contexten_core.execution.network import NetworkAccess, normal_host
from contexten_core.execution.network_addresses import is_public, resolve

logger = logging.getLogger(__name__)

_HEAD_BYTES = 65_536
_HEAD_SECONDS = 15.0
_CONNECT_SECONDS = 15.0
_CONNECTIONS_WITHOUT_ANSWER = 2
_PIECE_BYTES = 65_536
_MOST_REFUSED = 50
_LONGEST_NAME = 253
_HTTP, _HTTPS = 80, 443
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
# They concern the connection to us, or would let one request become several.
_DROPPED = frozenset({b"connection", b"host", b"keep-alive", b"proxy-authorization", b"proxy-connection", b"upgrade"})

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
Connect = Callable[[str, int], Awaitable[Streams]]


class _RefusedError(Exception):
    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class FilteringProxy:
    """Passes on what goes to allowed hosts, and refuses the rest. An HTTP proxy, with CONNECT for everything encrypted.

    Names are resolved here, each once, and what is connected to is exactly an address that was checked.

    Args:
        access: the hosts, and how much may pass.
        listener: a listening socket; the proxy closes it.
        find: how names are resolved.
        connect: how an address is connected to.

    Attributes:
        refused: the hosts that were asked for and are not allowed, with their ports; the first fifty.
        passed_bytes: how much has passed in both directions together.
    """

    def __init__(
        self,
        access: NetworkAccess,
        *,
        listener: socket,
        find: Resolve = resolve,
        connect: Connect = asyncio.open_connection,
    ) -> None:
        self.refused: list[str] = []
        self.passed_bytes = 0
        self._access = access
        self._listener = listener
        self._find = find
        self._connect = connect
        self._running: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, sock=self._listener, limit=_HEAD_BYTES)

    async def close(self) -> None:
        """End all connections."""
        if self._server is not None:
            self._server.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            async with asyncio.timeout(self._access.seconds):
                await self._answer(reader, writer)
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as error:
            # Whatever a client does, or a server far away, ends this connection and nothing else.
            logger.debug("a connection of a command ended: %r", error)
        except asyncio.CancelledError:
            # The command is over; nobody waits for this task but the proxy.
            return
        finally:
            self._running.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if len(self._running) > _CONNECTIONS_WITHOUT_ANSWER * self._access.connections:
                return
            async with asyncio.timeout(_HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            if len(self._running) > self._access.connections:
                raise _RefusedError("503 Service Unavailable", "too many connections at once")
            host, port, greeting = _understand(head)
            there_reader, there_writer = await self._reach(host, port)
        except _RefusedError as error:
            body = f"{error}\n".encode()
            length = f"Content-Length: {len(body)}\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\n"
            writer.write(f"HTTP/1.1 {error.status}\r\n{length}".encode() + body)
            await writer.drain()
            return
        try:
            if greeting:
                there_writer.write(greeting)
            else:
                writer.write(_ESTABLISHED)
            await self._pass_on((reader, writer), (there_reader, there_writer))
        finally:
            there_writer.close()

    async def _reach(self, host: str, port: int) -> Streams:
        if not self._access.allows(host, port):
            self._note_refusal(host, port)
            raise _RefusedError("403 Forbidden", f"{host}:{port} is not among the hosts that this command may reach")
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                addresses = await self._find(host, port)
                # One bad address among good ones is somebody trying.
                if not addresses or not all(map(is_public, addresses)):
                    self._note_refusal(host, port)
                    raise _RefusedError("403 Forbidden", f"{host} leads to an address that commands may not reach")
                return await self._first_that_answers(addresses, port)
        except (OSError, UnicodeError, TimeoutError) as error:
            raise _RefusedError("502 Bad Gateway", f"{host}:{port} cannot be reached") from error

    async def _first_that_answers(self, addresses: Sequence[str], port: int) -> Streams:
        for address in addresses[:-1]:
            with suppress(OSError):
                return await self._connect(address, port)
        return await self._connect(addresses[-1], port)

    def _note_refusal(self, host: str, port: int) -> None:
        name = f"{host}:{port}"
        if name not in self.refused and len(self.refused) < _MOST_REFUSED:
            self.refused.append(name)

    async def _pass_on(self, here: Streams, there: Streams) -> None:
        ways = [
            asyncio.ensure_future(self._copy(here[0], there[1])),
            asyncio.ensure_future(self._copy(there[0], here[1])),
        ]
        try:
            await asyncio.gather(*ways)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while True:
            async with asyncio.timeout(self._access.idle_seconds):
                data = await source.read(_PIECE_BYTES)
            if not data:
                break
            self.passed_bytes += len(data)
            if self.passed_bytes > self._access.total_bytes:
                raise OSError("the command has used up what it may send and receive")
            target.write(data)
            async with asyncio.timeout(self._access.idle_seconds):
                await target.drain()
        with suppress(OSError):
            target.write_eof()


def _understand(head: bytes) -> tuple[str, int, bytes]:
    """Return host, port and what to send there first, which is nothing for a tunnel."""
    line, *headers = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    try:
        method, target, version = line.decode("ascii").split(" ")
        if method == "CONNECT":
            place, usual = urlsplit(f"//{target}"), _HTTPS
        else:
            place, usual = urlsplit(target), _HTTP
        host, port = normal_host(place.hostname or ""), place.port or usual
    except ValueError as error:
        raise _RefusedError("400 Bad Request", "that is not a request to a proxy") from error
    if not host or len(host) > _LONGEST_NAME or not version.startswith("HTTP/1."):
        raise _RefusedError("400 Bad Request", "that is not a request to a proxy")
    if method == "CONNECT":
        return host, port, b""
    if place.scheme != "http" or port != _HTTP:
        raise _RefusedError("400 Bad Request", "only http:// on port 80 is passed on so; use CONNECT for the rest")
    return host, port, _request(method, place, headers)


def _request(method: str, place: SplitResult, headers: Sequence[bytes]) -> bytes:
    path = (place.path or "/") + (f"?{place.query}" if place.query else "")
    kept = [header for header in headers if header.partition(b":")[0].strip().lower() not in _DROPPED]
    name = (place.hostname or "").encode("ascii")
    return b"\r\n".join([f"{method} {path} HTTP/1.1".encode(), b"Host: " + name, b"Connection: close", *kept, b"", b""])
