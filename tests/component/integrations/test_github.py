"""Over real HTTP, to the emulator and to small servers of the test's own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from contexten.emulators.github import run_emulator
from contexten.emulators.recorder import Fault
from contexten_core.errors import OutboundError
from contexten_core.integrations.github import GitHubReporter
from contexten_core.settings import PUBLIC_GITHUB_API, Settings

TOKEN = "ghp_only_for_the_configured_address"
SHA = "4d1c2b3a" * 5


def _content(api_url: str, **changed: Any) -> dict[str, Any]:
    return {
        "api_url": api_url,
        "repository": "acme/cashbox",
        "sha": SHA,
        "state": "failure",
        "context": "contexten/checks",
        "description": "1 test failed: test_total_rounds_to_the_cent",
        "target_url": "https://contexten.acme.example/runs/1",
        **changed,
    }


def _reporter(github_api_url: str, *, token: str | None = TOKEN) -> GitHubReporter:
    return GitHubReporter(
        Settings(github_api_url=github_api_url, github_token=SecretStr(token) if token else None, api_timeout_seconds=5)
    )


class Listener:
    """An HTTP server that answers everything with the same bytes, and keeps what it was sent."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.heads: list[str] = []
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        writer.write(self.answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def _listening(answer: bytes) -> AsyncIterator[Listener]:
    listener = Listener(answer)
    server = await asyncio.start_server(listener.handle, "127.0.0.1", 0)
    listener.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield listener


def _answer(status: str, body: bytes = b"{}", *headers: str, kind: str = "application/json") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", "Connection: close"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


CREATED = _answer("201 Created", b'{"id": 7, "url": "u", "created_at": "2026-01-07T10:00:00Z"}')


async def test_a_status_arrives_with_the_token_of_the_configured_address() -> None:
    async with run_emulator(required_token=TOKEN) as github:
        reporter = _reporter(github.url)
        answer = await reporter.post(_content(github.url), maybe_done=False)
        (status,) = github.recorder.statuses

    assert answer["id"] == status.id
    assert (status.repository, status.sha, status.state) == ("acme/cashbox", SHA, "failure")
    assert status.description == "1 test failed: test_total_rounds_to_the_cent"
    assert (status.context, status.target_url) == ("contexten/checks", "https://contexten.acme.example/runs/1")


async def test_the_token_goes_to_no_other_address() -> None:
    async with _listening(CREATED) as ours, _listening(CREATED) as other:
        reporter = _reporter(ours.url)
        await reporter.post(_content(ours.url), maybe_done=False)
        await reporter.post(_content(other.url), maybe_done=False)

    assert f"authorization: token {TOKEN}" in ours.heads[0].lower().replace(TOKEN.lower(), TOKEN)
    assert "authorization" not in other.heads[0].lower()
    assert all(TOKEN not in head for head in other.heads)


async def test_the_token_does_not_follow_a_redirect() -> None:
    async with _listening(CREATED) as thief:
        moved = _answer("307 Temporary Redirect", b"", f"Location: {thief.url}/stolen")
        async with _listening(moved) as ours:
            reporter = _reporter(ours.url)
            try:
                await reporter.post(_content(ours.url), maybe_done=False)
            except OutboundError as error:
                assert TOKEN not in error.message  # noqa: PT017 - whether it follows is not the point

    assert all(TOKEN not in head for head in thief.heads)


async def test_what_may_have_arrived_is_looked_up_before_it_is_posted() -> None:
    async with run_emulator() as github:
        reporter = _reporter(github.url)
        first = await reporter.post(_content(github.url), maybe_done=True)
        again = await reporter.post(_content(github.url), maybe_done=True)
        other = await reporter.post(_content(github.url, description="another run"), maybe_done=True)
        posted = [request.method for request in github.recorder.requests]

    assert first == again
    assert other["id"] != first["id"]
    assert posted == ["GET", "POST", "GET", "GET", "POST"]


@pytest.mark.parametrize(
    ("fault", "transient", "ambiguous"),
    [
        (Fault(status=500), True, True),
        (Fault(status=503, retry_after=7), True, True),
        (Fault(status=429, retry_after=7), True, False),
        (Fault(status=403, retry_after=7), True, False),
        (Fault(status=404), False, False),
        (Fault(status=422), False, False),
        (Fault(drop_before=True), True, True),
        (Fault(drop_after=True), True, True),
    ],
    ids=lambda value: value.model_dump_json(exclude_defaults=True) if isinstance(value, Fault) else None,
)
async def test_what_goes_wrong_says_whether_to_try_again(fault: Fault, *, transient: bool, ambiguous: bool) -> None:
    async with run_emulator() as github:
        reporter = _reporter(github.url)
        github.recorder.queue_fault(fault)
        with pytest.raises(OutboundError) as caught:
            await reporter.post(_content(github.url), maybe_done=False)

    assert (caught.value.transient, caught.value.ambiguous) == (transient, ambiguous)
    if fault.retry_after is not None:
        assert caught.value.retry_after == fault.retry_after
    assert TOKEN not in f"{caught.value.message} {caught.value.hint}"


async def test_a_token_that_is_not_valid_is_no_reason_to_try_again() -> None:
    async with run_emulator(required_token="another") as github:
        reporter = _reporter(github.url)
        with pytest.raises(OutboundError, match="GitHub answered 401") as caught:
            await reporter.post(_content(github.url), maybe_done=False)

    assert not caught.value.transient
    assert caught.value.hint == "the token is not valid; check GITHUB_ACCESS_TOKEN"


async def test_nobody_at_the_address() -> None:
    async with _listening(CREATED) as gone:
        pass
    reporter = _reporter(gone.url)
    with pytest.raises(OutboundError, match="did not answer POST") as caught:
        await reporter.post(_content(gone.url), maybe_done=False)

    assert (caught.value.transient, caught.value.ambiguous) == (True, False)


@pytest.mark.parametrize(
    "answer",
    [
        _answer("200 OK", b"<html>Sign in to the proxy</html>", kind="text/html"),
        _answer("201 Created", b""),
        _answer("201 Created", b"[]"),
        _answer("201 Created", b'"ok"'),
        _answer("503 Service Unavailable", b"{}", "Retry-After: " + "9" * 400),
        _answer("503 Service Unavailable", b"{}", "Retry-After: \xb2"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    ],
    ids=["html", "nothing", "a list", "a text", "wait for ever", "wait ²", "cut off", "not HTTP"],
)
async def test_whatever_answers_instead_of_github_is_a_failed_call(answer: bytes) -> None:
    async with _listening(answer) as strange:
        reporter = _reporter(strange.url)
        with pytest.raises(OutboundError) as caught:
            await reporter.post(_content(strange.url), maybe_done=False)

    assert (caught.value.retry_after or 0) <= 86_400


@pytest.mark.parametrize("api_url", ["http://", "http://[", "gopher://127.0.0.1", "http://127.0.0.1:99999", "x\n"])
async def test_an_address_that_is_none_is_a_failed_call(api_url: str) -> None:
    reporter = _reporter(PUBLIC_GITHUB_API, token=None)
    with pytest.raises(OutboundError):
        await reporter.post(_content(api_url), maybe_done=False)


@pytest.mark.parametrize(
    ("token", "api_url", "able"),
    [
        (None, PUBLIC_GITHUB_API, False),
        (TOKEN, PUBLIC_GITHUB_API, True),
        (None, "http://127.0.0.1:8080", True),
    ],
)
def test_without_a_token_nothing_can_be_posted_to_github_itself(token: str | None, api_url: str, *, able: bool) -> None:
    reporter = GitHubReporter(Settings(github_token=SecretStr(token) if token else None))
    reason = reporter.unable(_content(api_url))

    assert (reason is None) is able
    assert able or "set GITHUB_ACCESS_TOKEN" in str(reason)


async def test_of_very_many_addresses_only_the_newest_are_remembered() -> None:
    async with _listening(CREATED) as server:
        reporter = _reporter(server.url)
        for number in range(40):
            await reporter.post(_content(f"{server.url}/api/{number}"), maybe_done=False)

        assert len(reporter._client._clients) == 32
        assert len(server.heads) == 40


async def test_no_connection_is_left_open_whichever_task_has_used_it() -> None:
    hung_up = asyncio.Event()

    async def keep_open(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(CREATED.replace(b"Connection: close\r\n", b""))
        while await reader.read(65_536):
            pass
        hung_up.set()
        writer.close()

    server = await asyncio.start_server(keep_open, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    reporter = _reporter(url)
    await asyncio.create_task(reporter.post(_content(url), maybe_done=False))
    server.close()

    await asyncio.wait_for(hung_up.wait(), 30)
