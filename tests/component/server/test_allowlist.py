"""`GITHUB_IP_ALLOWLIST=meta`, against an endpoint over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from contexten.server import allowlist
from contexten.server.allowlist import FILE_NAME, AllowList, PublishedNetworks
from contexten_core.errors import UnavailableError
from contexten_core.settings import Settings

GITHUB = ip_address("192.30.252.7")
NEW = ip_address("198.51.100.7")
ELSEWHERE = ip_address("203.0.113.7")
HOOKS = {"verifiable_password_authentication": False, "hooks": ["192.30.252.0/22", "2a0a:a440::/29"]}


@dataclass
class Endpoint:
    """What answers instead of GitHub: `status` and `body`, or nothing at all."""

    url: str = ""
    status: int = 200
    body: bytes = json.dumps(HOOKS).encode()
    headers: str = 'ETag: "one"\r\n'
    requests: list[str] = field(default_factory=list)
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        await self.answers.wait()
        body = b"" if self.status == 304 else self.body
        head = f"HTTP/1.1 {self.status} Whatever\r\n{self.headers}Content-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        writer.close()


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    endpoint = Endpoint()
    endpoint.answers.set()
    server = await asyncio.start_server(endpoint.handle, "127.0.0.1", 0)
    async with server:
        endpoint.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield endpoint
        endpoint.answers.set()


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(endpoint: Endpoint, clock: Clock, tmp_path: Path) -> Callable[..., PublishedNetworks]:
    """Make what a new process would have."""

    def make(**settings: Any) -> PublishedNetworks:
        return PublishedNetworks(
            Settings(home=tmp_path / "home", **{"github_api_url": endpoint.url, **settings}), clock=clock
        )

    return make


async def test_the_published_networks_are_asked_for_when_they_are_needed_and_then_known(
    make: Callable[..., PublishedNetworks], endpoint: Endpoint
) -> None:
    published = make(github_token="the-token-of-the-tests")
    assert endpoint.requests == []
    found = await asyncio.gather(*(published.admit(address) for address in (GITHUB, ELSEWHERE, GITHUB)))
    assert found == [True, False, True]
    assert await published.admit(ip_address("2a0a:a440::7"))
    (asked,) = endpoint.requests
    assert asked.startswith("GET /meta HTTP/1.1\r\n")
    assert "Bearer the-token-of-the-tests" in asked


async def test_a_new_process_knows_them_from_the_file(
    make: Callable[..., PublishedNetworks], endpoint: Endpoint, clock: Clock
) -> None:
    await make().admit(GITHUB)
    endpoint.answers.clear()
    assert await make().admit(GITHUB)
    assert not await make().admit(ELSEWHERE)
    assert len(endpoint.requests) == 1
    clock.now += 3_601
    assert await make().admit(GITHUB)


async def test_they_are_asked_for_again_in_the_background_at_most_once_an_hour(
    make: Callable[..., PublishedNetworks], endpoint: Endpoint, clock: Clock
) -> None:
    published = make()
    await published.admit(GITHUB)
    clock.now += 3_599
    assert not await published.admit(NEW)
    assert len(endpoint.requests) == 1
    clock.now += 1
    endpoint.answers.clear()
    assert await published.admit(GITHUB)
    waiting = asyncio.create_task(published.admit(NEW))
    endpoint.body = json.dumps({"hooks": ["198.51.100.0/24"]}).encode()
    endpoint.answers.set()
    assert await waiting
    assert not await published.admit(GITHUB)
    assert len(endpoint.requests) == 2
    assert 'if-none-match: "one"' in endpoint.requests[1].lower()


async def test_what_has_not_changed_counts_for_another_hour(
    make: Callable[..., PublishedNetworks], endpoint: Endpoint, clock: Clock
) -> None:
    published = make()
    await published.admit(GITHUB)
    endpoint.status = 304
    clock.now += 3_600
    assert not await published.admit(ELSEWHERE)
    assert await make().admit(GITHUB)
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"{}"),
        (403, b'{"message": "API rate limit exceeded"}'),
        (302, b""),
        (304, b""),
        (200, b""),
        (200, b"<html><body>Sign in to the hotel</body></html>"),
        (200, b"\xff\xfe\x00"),
        (200, b"[" * 100_000),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"hooks": []}'),
        (200, b'{"hooks": null}'),
        (200, b'{"hooks": "192.30.252.0/22"}'),
        (200, b'{"hooks": [3221225985]}'),
        (200, b'{"hooks": ["192.30.252.0/22", "anybody"]}'),
        (200, b'{"hooks": ["192.30.252.0/22", "0.0.0.0/0"]}'),
        (200, b'{"hooks": ["128.0.0.0/1"]}'),
        (200, b'{"hooks": ["0.0.0.0/7"]}'),
        (200, b'{"hooks": ["::/0"]}'),
        (200, b'{"hooks": ["2000::/15"]}'),
        (200, json.dumps({"hooks": ["203.0.113.0/24"] * 1_001}).encode()),
        (200, b'{"hooks": ["203.0.113.0/24"]}' + b" " * allowlist._MOST_BYTES),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_nonsense_admits_nobody_and_replaces_nothing(
    make: Callable[..., PublishedNetworks], endpoint: Endpoint, clock: Clock, status: int, body: bytes
) -> None:
    good = endpoint.body
    endpoint.status, endpoint.body = status, body
    published = make()
    for address in (GITHUB, ELSEWHERE):
        with pytest.raises(UnavailableError, match="not known yet") as closed:
            await published.admit(address)
        assert (closed.value.status, closed.value.transient) == (503, True)
        assert f"{endpoint.url}/meta" in (closed.value.hint or "")
    assert len(endpoint.requests) == 1
    endpoint.status, endpoint.body = 200, good
    clock.now += 30
    assert await published.admit(GITHUB)
    if status != 304:
        endpoint.status, endpoint.body = status, body
        clock.now += 3_600
        assert not await published.admit(ELSEWHERE)
        assert await published.admit(GITHUB)
        assert await make().admit(GITHUB)
        assert len(endpoint.requests) == 3


async def test_an_endpoint_that_does_not_answer_holds_nobody_up_for_long(
    make: Callable[..., PublishedNetworks], endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allowlist, "_PATIENCE_SECONDS", 0.05)
    endpoint.answers.clear()
    published = make()
    with pytest.raises(UnavailableError):
        await published.admit(GITHUB)
    monkeypatch.setattr(allowlist, "_PATIENCE_SECONDS", 10)
    waiting = asyncio.create_task(published.admit(GITHUB))
    endpoint.answers.set()
    assert await waiting


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"url": "URL"}',
        '{"url": "URL", "hooks": ["0.0.0.0/0"], "etag": null, "fetched_at": 1e6}',
        '{"url": "URL", "hooks": ["203.0.113.0/24"], "etag": null, "fetched_at": []}',
        '{"url": "https://elsewhere/meta", "hooks": ["203.0.113.0/24"], "etag": null, "fetched_at": 1e6}',
        "[" * 100_000,
    ],
    ids=lambda value: value[:60],
)
async def test_a_file_that_is_not_ours_is_not_believed(
    make: Callable[..., PublishedNetworks], endpoint: Endpoint, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "home" / FILE_NAME
    file.parent.mkdir()
    file.write_text(content.replace("URL", f"{endpoint.url}/meta"))
    assert not await make().admit(ELSEWHERE)
    assert json.loads(file.read_bytes())["hooks"] == HOOKS["hooks"]
    assert [path.name for path in file.parent.iterdir()] == [FILE_NAME]


async def test_a_home_that_cannot_be_written_to_keeps_nobody_out(
    make: Callable[..., PublishedNetworks], tmp_path: Path
) -> None:
    (tmp_path / "home").write_text("a file")
    published = make()
    assert await published.admit(GITHUB)


async def test_networks_of_the_setting_count_beside_the_published_ones(
    make: Callable[..., PublishedNetworks], endpoint: Endpoint
) -> None:
    both = AllowList(("198.51.100.0/24", "meta"), published=make())
    assert await both.admits(NEW)
    assert endpoint.requests == []
    assert await both.admits(GITHUB)
    assert not await both.admits(ELSEWHERE)
    assert not await both.admits(None)
    assert await AllowList((), published=make()).admits(None)
