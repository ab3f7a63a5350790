"""The App's tokens, and GitHub's limits, over real HTTP to the emulator."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from contexten.emulators.clock import Clock
from contexten.emulators.github import RunningEmulator, run_emulator
from contexten.emulators.github_hooks import GitHubApp, GitHubHooks
from contexten.emulators.recorder import Fault
from contexten_core.db import utc_now
from contexten_core.errors import OutboundError
from contexten_core.integrations.github_client import GitHubClient
from contexten_core.integrations.github_installations import InstallationTokens
from contexten_core.settings import PUBLIC_GITHUB_API, Settings

COMMENTS = "/repos/acme/cashbox/issues/12/comments"
FORM = serialization.PrivateFormat.TraditionalOpenSSL


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def private_key(key: rsa.RSAPrivateKey) -> SecretStr:
    return SecretStr(key.private_bytes(serialization.Encoding.PEM, FORM, serialization.NoEncryption()).decode())


@pytest.fixture
async def github(key: rsa.RSAPrivateKey) -> AsyncIterator[RunningEmulator]:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public_key = key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
    hooks = GitHubHooks(clock=Clock(), app=GitHubApp(id=1234, public_key=public_key))
    async with run_emulator(required_token="a token that nobody has", hooks=hooks) as running:
        yield running


def _settings(github: RunningEmulator, private_key: SecretStr, **changed: Any) -> Settings:
    given: dict[str, Any] = {
        "github_api_url": github.url,
        "github_token": None,
        "github_app_id": "1234",
        "github_app_private_key": private_key,
        "api_timeout_seconds": 5,
    }
    return Settings(**(given | changed))


async def _comment(client: GitHubClient, github: RunningEmulator, path: str = COMMENTS) -> Any:
    return await client.call(github.url, "POST", path, {"body": "Tests fail."})


def _asked(github: RunningEmulator) -> list[str]:
    return [f"{request.method} {request.path}" for request in github.recorder.requests]


async def test_an_app_asks_for_a_token_once_and_for_one_repository(
    github: RunningEmulator, private_key: SecretStr
) -> None:
    client = GitHubClient(_settings(github, private_key))
    for _ in range(2):
        await _comment(client, github)

    assert _asked(github) == [
        "GET /repos/acme/cashbox/installation",
        "POST /app/installations/5678901/access_tokens",
        f"POST {COMMENTS}",
        f"POST {COMMENTS}",
    ]
    assert github.recorder.requests[1].body.replace(" ", "") == '{"repositories":["cashbox"]}'


@pytest.mark.parametrize(("minutes", "asked"), [(60, 1), (0.9, 2)])
async def test_a_token_is_used_until_a_minute_before_it_expires(
    private_key: SecretStr, minutes: float, asked: int
) -> None:
    given: list[str] = []

    async def answer(method: str, path: str, json: Any, token: str) -> Any:
        if method == "GET":
            return {"id": 7}
        given.append(f"ghs_{len(given)}")
        return {"token": given[-1], "expires_at": (utc_now() + timedelta(minutes=minutes)).isoformat()}

    settings = Settings(github_token=None, github_app_id="1234", github_app_private_key=private_key)
    tokens = InstallationTokens(settings, answer)
    used = [await tokens.token(name) for name in ("acme/cashbox", "Acme/Cashbox")]

    assert len(given) == asked
    assert used == [given[0], given[-1]]


async def test_a_token_that_was_taken_back_is_replaced(github: RunningEmulator, private_key: SecretStr) -> None:
    client = GitHubClient(_settings(github, private_key))
    await _comment(client, github)
    github.recorder.queue_fault(Fault(path_contains="/comments", status=401))
    await _comment(client, github)

    assert len(github.recorder.comments) == 2
    assert sum("access_tokens" in line for line in _asked(github)) == 2


async def test_where_the_app_is_not_installed_nothing_is_tried(github: RunningEmulator, private_key: SecretStr) -> None:
    client = GitHubClient(_settings(github, private_key))
    with pytest.raises(OutboundError, match="App 1234 is not installed on other/shop") as caught:
        await _comment(client, github, "/repos/other/shop/issues/1/comments")
    assert not caught.value.transient


async def test_a_key_that_is_none_fails_the_call_without_being_told(github: RunningEmulator) -> None:
    client = GitHubClient(_settings(github, SecretStr("-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0\n-----END")))
    with pytest.raises(OutboundError, match="GITHUB_APP_PRIVATE_KEY is no RSA private key") as caught:
        await _comment(client, github)
    assert "c2VjcmV0" not in str(caught.value)
    assert github.recorder.requests == []


async def test_the_apps_token_goes_to_no_other_address(github: RunningEmulator, private_key: SecretStr) -> None:
    client = GitHubClient(_settings(github, private_key, github_api_url="http://127.0.0.1:9"))
    with pytest.raises(OutboundError, match="GitHub answered 401"):
        await _comment(client, github)
    assert _asked(github) == [f"POST {COMMENTS}"]


async def test_a_token_of_the_settings_comes_first(github: RunningEmulator, private_key: SecretStr) -> None:
    client = GitHubClient(_settings(github, private_key, github_token=SecretStr("a token that nobody has")))
    await _comment(client, github)
    assert _asked(github) == [f"POST {COMMENTS}"]


def test_with_an_app_github_itself_can_be_written_to(github: RunningEmulator, private_key: SecretStr) -> None:
    assert GitHubClient(_settings(github, private_key)).unable(PUBLIC_GITHUB_API) is None
    without = GitHubClient(_settings(github, private_key, github_app_id=None))
    assert without.unable(PUBLIC_GITHUB_API) == "no GitHub token is configured; set GITHUB_ACCESS_TOKEN"


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ("403 Forbidden", 60),
        ("403 Forbidden|Retry-After: 30", 30),
        ("429 Too Many Requests", 60),
        ("429 Too Many Requests|Retry-After: Wed, 21 Oct 2026 07:28:00 GMT", 60),
        ("429 Too Many Requests|Retry-After: 99999999999999999999", 60),
        ("429 Too Many Requests|Retry-After: 999999", 3600),
        ("403 Forbidden|X-RateLimit-Remaining: 0|X-RateLimit-Reset: 4102444800", 3600),
        ("403 Forbidden|X-RateLimit-Remaining: 0|X-RateLimit-Reset: soon", 60),
    ],
)
async def test_a_limit_is_waited_for_however_github_says_it(answer: str, seconds: float) -> None:
    body = b'{"message": "You have exceeded a secondary rate limit. Please wait."}'
    status, *headers = answer.split("|")
    head = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]

    async def limit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write("\r\n".join([*head, "Connection: close", "", ""]).encode() + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(limit, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(OutboundError, match="rate limit is used up") as caught:
            await GitHubClient(Settings(github_api_url=url, github_token=None)).call(url, "GET", COMMENTS)

    assert caught.value.transient
    assert not caught.value.ambiguous
    assert caught.value.retry_after == seconds


async def test_a_refusal_says_what_github_says(github: RunningEmulator, private_key: SecretStr) -> None:
    client = GitHubClient(_settings(github, private_key))
    with pytest.raises(OutboundError, match=r"GitHub answered 422 .*: Validation Failed; Body cannot be blank"):
        await client.call(github.url, "POST", COMMENTS, {"body": " "})
