"""Over real HTTP, to small servers of the test's own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from contexten_core.errors import OutboundError
from contexten_core.integrations.json_call import Answer, call_json

TOKEN = "Bearer only-for-the-one-address"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"


@asynccontextmanager
async def _answering(answer: bytes, *, times: int = 1) -> AsyncIterator[tuple[str, list[str]]]:
    """Serve the same bytes to everybody, that often; give the address, and the heads of requests as they come."""
    heads: list[str] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        with suppress(ConnectionError):
            for _ in range(times):
                writer.write(answer)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heads


async def _call(url: str) -> Answer:
    return await call_json("the service", "POST", url, authorization=TOKEN, seconds=30, body={"half a pair": "\ud800"})


async def test_the_answer_is_given_whatever_it_says() -> None:
    body = b'{"ok": false, "error": "no"}'
    answer = HEAD.replace(b"200 OK", b"503 Busy") + b"Retry-After: 99999\r\n\r\n" + body
    async with _answering(answer) as (url, heads):
        found = await _call(url)

    assert (found.status, found.is_server_error, found.retry_after) == (503, True, 3_600)
    assert found.data == {"ok": False, "error": "no"}
    assert f"authorization: {TOKEN}".lower() in heads[0].lower()


@pytest.mark.parametrize("body", [b"", b"<html>Sign in to the proxy</html>", b"[]", b'"ok"', b"\xff", b"[" * 100_000])
async def test_what_is_no_json_object_is_nothing(body: bytes) -> None:
    async with _answering(HEAD + b"Retry-After: \xb2\r\n\r\n" + body) as (url, _):
        found = await _call(url)

    assert (found.data, found.retry_after) == (None, None)


async def test_the_token_does_not_follow_a_redirect() -> None:
    async with _answering(HEAD + b"\r\n{}") as (thief, stolen):
        moved = HEAD.replace(b"200 OK", b"307 Moved") + f"Location: {thief}/stolen\r\n\r\n".encode()
        async with _answering(moved) as (url, _):
            found = await _call(url)

    assert (found.status, stolen) == (307, [])


async def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    async with _answering(HEAD + b"\r\n" + b" " * 1_048_576, times=64) as (url, _):
        with pytest.raises(OutboundError, match="answered more than 16,777,216 bytes"):
            await _call(url)


@pytest.mark.parametrize("answer", [b"", HEAD + b"Content-Length: 100\r\n\r\n{", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"])
async def test_an_answer_that_is_cut_off_or_is_not_http_may_have_been_carried_out(answer: bytes) -> None:
    async with _answering(answer) as (url, _):
        with pytest.raises(OutboundError, match="the service did not answer") as caught:
            await _call(url)

    assert (caught.value.transient, caught.value.ambiguous) == (True, True)
    assert TOKEN not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("url", ["http://", "http://[", "gopher://127.0.0.1", "http://127.0.0.1:99999", "x\n"])
async def test_an_address_that_is_none_is_a_failed_call(url: str) -> None:
    with pytest.raises(OutboundError):
        await _call(url)
