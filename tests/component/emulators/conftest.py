from collections.abc import AsyncIterator

import httpx
import pytest

from contexten.emulators.github import RunningEmulator, create_github_emulator, run_emulator
from contexten.emulators.recorder import Recorder

TOKEN = "ghp_only_this_one"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def transport() -> httpx.ASGITransport:
    """An emulator without a network, for what does not depend on connections."""
    return httpx.ASGITransport(app=create_github_emulator(required_token=TOKEN))


@pytest.fixture
async def client(transport: httpx.ASGITransport) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=transport, base_url="http://emulator", headers=HEADERS) as client:
        yield client


@pytest.fixture
async def served() -> AsyncIterator[RunningEmulator]:
    async with run_emulator(required_token=TOKEN) as running:
        yield running


@pytest.fixture
def recorder(served: RunningEmulator) -> Recorder:
    return served.recorder


@pytest.fixture
async def http_client(served: RunningEmulator) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=served.url, headers=HEADERS, trust_env=False, timeout=10) as client:
        yield client
