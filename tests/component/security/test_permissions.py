"""Over real HTTP, to the emulator."""

from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import SecretStr

from contexten.emulators.github import RunningEmulator, run_emulator
from contexten.emulators.recorder import Fault
from contexten_core.errors import OutboundError
from contexten_core.integrations.github_client import GitHubClient
from contexten_core.security.permissions import Permission, can_ask, knows_repository, permission_of
from contexten_core.settings import Settings

TOKEN = "ghp_of_the_permission_tests"
CASHBOX = "acme/cashbox"


@pytest.fixture
async def github() -> AsyncIterator[RunningEmulator]:
    async with run_emulator(required_token=TOKEN) as running:
        yield running


@pytest.fixture
def settings(github: RunningEmulator) -> Settings:
    return Settings(github_api_url=github.url, github_token=SecretStr(TOKEN), api_timeout_seconds=5)


@pytest.fixture
def client(settings: Settings) -> GitHubClient:
    return GitHubClient(settings)


async def _list(github: RunningEmulator, **roles: str | None) -> None:
    async with httpx.AsyncClient(base_url=github.url) as http:
        answer = await http.put("/_emulator/permissions", json={"repository": CASHBOX, "roles": roles})
    assert answer.status_code == 204


async def test_every_role_is_told_apart(github: RunningEmulator, client: GitHubClient) -> None:
    roles = [permission.name.lower() for permission in Permission]
    await _list(github, **{f"{role}-one": role for role in roles})
    found = [await permission_of(client, github.url, CASHBOX, f"{role}-one") for role in roles]

    assert found == list(Permission)
    assert [permission.may_write for permission in found] == [False, False, False, True, True, True]


async def test_an_answer_is_kept_for_a_while(github: RunningEmulator, client: GitHubClient) -> None:
    for login in ("mona", "Mona"):
        assert await permission_of(client, github.url, CASHBOX, login) is Permission.WRITE

    assert len(github.recorder.requests) == 1


async def test_who_is_nobody_may_do_nothing(github: RunningEmulator, client: GitHubClient) -> None:
    await _list(github, ghost=None)

    assert await permission_of(client, github.url, CASHBOX, "ghost") is Permission.NONE
    for login in (None, "", "..", "a/../b", "mona?x=1", "mo na", "[bot]"):
        assert await permission_of(client, github.url, CASHBOX, login) is Permission.NONE
    assert len(github.recorder.requests) == 1


async def test_a_repository_that_is_none(github: RunningEmulator, client: GitHubClient) -> None:
    assert await permission_of(client, github.url, "acme/../other", "mona") is Permission.NONE
    assert github.recorder.requests == []


async def test_a_bot_may_be_asked_for(github: RunningEmulator, client: GitHubClient) -> None:
    await _list(github, **{"dependabot[bot]": "read"})

    assert await permission_of(client, github.url, CASHBOX, "dependabot[bot]") is Permission.READ


async def test_no_answer_is_no_permission_and_is_asked_for_again(github: RunningEmulator, client: GitHubClient) -> None:
    github.recorder.queue_fault(Fault(status=503, times=2))

    assert await permission_of(client, github.url, CASHBOX, "mona") is Permission.NONE
    with pytest.raises(OutboundError):
        await permission_of(client, github.url, CASHBOX, "mona", insist=True)
    assert await permission_of(client, github.url, CASHBOX, "mona") is Permission.WRITE


async def test_a_token_that_is_not_valid_finds_nothing_out(github: RunningEmulator) -> None:
    client = GitHubClient(Settings(github_api_url=github.url, github_token=SecretStr("ghp_of_somebody_else_entirely")))

    assert await permission_of(client, github.url, CASHBOX, "mona", insist=True) is Permission.NONE


async def test_permissions_are_asked_for_only_where_we_are_somebody(settings: Settings) -> None:
    assert can_ask(settings, settings.github_api_url)
    assert not can_ask(settings, "https://github.other.example/api/v3")
    assert not can_ask(settings.model_copy(update={"github_token": None}), settings.github_api_url)


async def test_a_repository_is_known_to_github(github: RunningEmulator, client: GitHubClient) -> None:
    assert await knows_repository(client, github.url, CASHBOX)
