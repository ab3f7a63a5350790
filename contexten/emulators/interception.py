"""The layer in front of every emulated route: records the request and lets it go wrong when it was asked to."""

import asyncio
from collections.abc import Callable, Mapping

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contexten.emulators.recorder import Fault, Recorder

CONTROL_PREFIX = "/_emulator"
MAX_BODY_BYTES = 1024 * 1024
READ_SECONDS = 30
# `serving` puts a function under this name into the connection's state; calling it cuts the connection.
ABORT_CONNECTION = "abort_connection"


class Interception:
    """ASGI layer that is the same for every emulated service.

    Args:
        headers: gives the headers that the service puts on each of its answers.
        admit: counts a request by its path, and gives the answer to one that is too many.
        refusal: gives the service's answer for an error status (a fault's, or 408 and 413 of this layer).
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        recorder: Recorder,
        headers: Callable[[], Mapping[str, str]],
        refusal: Callable[[int, int | None], Response],
        admit: Callable[[str], Response | None] = lambda _path: None,
    ) -> None:
        self._app = app
        self._recorder = recorder
        self._headers = headers
        self._refusal = refusal
        self._admit = admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(CONTROL_PREFIX):
            await self._app(scope, receive, send)
            return
        send = self._with_headers(send)
        too_many = self._admit(scope["path"])
        try:
            async with asyncio.timeout(READ_SECONDS):
                body = await _read_body(receive)
        except TimeoutError:
            await self._refusal(408, None)(scope, receive, send)
            return
        except ClientLeftError:
            return
        if body is None:
            await self._refusal(413, None)(scope, receive, send)
            return
        self._recorder.record_request(
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("ascii", "replace"),
            body=body,
        )
        if too_many is not None:
            await too_many(scope, receive, send)
            return
        fault = self._recorder.take_fault(method=scope["method"], path=scope["path"])
        await self._answer(fault or Fault(), scope, receive, send, body=body)

    async def _answer(self, fault: Fault, scope: Scope, receive: Receive, send: Send, *, body: bytes) -> None:
        if fault.delay_seconds and await _client_leaves(receive, within=fault.delay_seconds):
            return
        if fault.status is not None:
            await self._refusal(fault.status, fault.retry_after)(scope, receive, send)
        elif fault.drop_before:
            await _cut(scope, receive)
        elif fault.drop_after:
            await self._app(scope, _replay(body, receive), _discard)
            await _cut(scope, receive)
        else:
            await self._app(scope, _replay(body, receive), send)

    def _with_headers(self, send: Send) -> Send:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers().items():
                    headers.setdefault(name, value)
            await send(message)

        return send_with_headers


class ClientLeftError(Exception):
    """The client closed the connection before its request was complete."""


async def _read_body(receive: Receive) -> bytes | None:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeftError
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed


async def _discard(_message: Message) -> None:
    return


async def _client_leaves(receive: Receive, *, within: float) -> bool:
    try:
        async with asyncio.timeout(within):
            await receive()
    except TimeoutError:
        return False
    return True


async def _cut(scope: Scope, receive: Receive) -> None:
    abort = scope.get("state", {}).get(ABORT_CONNECTION)
    if abort is None:
        raise ConnectionAbortedError("A fault cut the connection, and the server in use leaves that to the exception.")
    abort()
    # Returning before the server has noticed would make it try to answer 500.
    await receive()
