from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest

from contexten.emulators.github import RunningEmulator, create_github_emulator, run_emulator
from contexten.emulators.github_recorder import GitHubRecorder

TOKEN = "ghp_only_this_one"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@dataclass(slots=True)
class Receiver:
    """Takes deliveries without a network: what came, and what it answers or how it fails."""

    requests: list[httpx.Request] = field(default_factory=list)
    answer: httpx.Response = field(default_factory=lambda: httpx.Response(200))
    failure: Exception | None = None

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._receive)

    def _receive(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.failure:
            raise self.failure
        answer = self.answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def transport() -> httpx.ASGITransport:
    """An emulator without a network, for what does not depend on connections."""
    return httpx.ASGITransport(app=create_github_emulator(required_token=TOKEN))


@pytest.fixture
async def client(transport: httpx.ASGITransport) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=transport, base_url="http://emulator", headers=HEADERS) as client:
        yield client


@pytest.fixture
async def open_client() -> AsyncIterator[httpx.AsyncClient]:
    """A client of an emulator that asks for no token."""
    transport = httpx.ASGITransport(app=create_github_emulator())
    async with httpx.AsyncClient(transport=transport, base_url="http://emulator") as client:
        yield client


@pytest.fixture
async def served() -> AsyncIterator[RunningEmulator]:
    async with run_emulator(required_token=TOKEN) as running:
        yield running


@pytest.fixture
def recorder(served: RunningEmulator) -> GitHubRecorder:
    return served.recorder


@pytest.fixture
async def http_client(served: RunningEmulator) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=served.url, headers=HEADERS, trust_env=False, timeout=10) as client:
        yield client
