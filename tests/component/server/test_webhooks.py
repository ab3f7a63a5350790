"""The answers of the three webhook routes; acceptance point 13."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from hashlib import sha256
from hmac import digest
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import func, select

from contexten.emulators.sender import GitHubDelivery
from contexten.handlers import GitHub, Linear, Slack
from contexten.handlers.types import PullRequestLabeledEvent, SlackEvent
from contexten.server.webhooks import LARGEST_SMALL_BODY
from contexten_core.events.models import EventModel
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.settings import Environment, Settings

if TYPE_CHECKING:
    from tests.component.server.conftest import Door

SECRET = "the-webhook-secret-of-the-tests"
NEXT_SECRET = "the-one-that-replaces-it-soon"
LARGEST = 2 * LARGEST_SMALL_BODY
PROVIDERS = ("github", "linear", "slack")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    secrets = (SecretStr(NEXT_SECRET), SecretStr(SECRET))
    settings.github_webhook_secrets = settings.linear_webhook_secrets = settings.slack_signing_secrets = secrets
    settings.max_payload_bytes = LARGEST
    return settings


@pytest.fixture
async def sender(door: "Door") -> AsyncIterator[httpx.AsyncClient]:
    """GitHub, Linear or Slack: somebody from elsewhere who has no token."""
    async with door.open(address="203.0.113.7", host="contexten.example.com") as client:
        yield client


def _payload(provider: str) -> dict[str, Any]:
    """Return a payload that was never sent before."""
    if provider == "github":
        return {"action": "labeled", "label": {"name": str(uuid4())}, "pull_request": {"number": 7}}
    if provider == "linear":
        moment = int(time.time() * 1000)
        return {"type": "Issue", "action": "create", "data": {"id": str(uuid4())}, "webhookTimestamp": moment}
    event = {"type": "app_mention", "text": "is main broken?", "channel": "C1", "ts": "1.0"}
    return {"type": "event_callback", "event_id": f"Ev{uuid4().hex}", "event": event}


def _headers(provider: str, body: bytes, *, secret: str = SECRET, sent_at: float | None = None) -> dict[str, str]:
    key = secret.encode()
    json_type = {"Content-Type": "application/json"}
    if provider == "github":
        signature = f"sha256={digest(key, body, sha256).hex()}"
        return {**json_type, "X-GitHub-Event": "pull_request", "X-Hub-Signature-256": signature}
    if provider == "linear":
        return {**json_type, "Linear-Signature": digest(key, body, sha256).hex()}
    timestamp = f"{time.time() if sent_at is None else sent_at:.0f}"
    signature = f"v0={digest(key, f'v0:{timestamp}:'.encode() + body, sha256).hex()}"
    return {**json_type, "X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": signature}


async def _deliver(
    sender: httpx.AsyncClient, provider: str, body: bytes | None = None, *, path: str | None = None, **signing: Any
) -> httpx.Response:
    body = json.dumps(_payload(provider)).encode() if body is None else body
    return await sender.post(path or f"/{provider}/events", content=body, headers=_headers(provider, body, **signing))


async def _stored(orchestrator: SystemOrchestrator) -> int:
    async with orchestrator.database.reading() as session:
        return (await session.execute(select(func.count()).select_from(EventModel))).scalar_one()


def _assert_refused(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.json()["message"]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_13_a_signed_delivery_is_accepted_and_its_repetition_a_duplicate(
    sender: httpx.AsyncClient, orchestrator: SystemOrchestrator, provider: str
) -> None:
    body = json.dumps(_payload(provider)).encode()
    first = await _deliver(sender, provider, body)
    again = await _deliver(sender, provider, body, secret=NEXT_SECRET)

    assert (first.status_code, set(first.json())) == (202, {"status", "event_id"})
    assert first.json()["status"] == "accepted"
    assert (again.status_code, again.json()) == (
        200,
        {
            "status": "duplicate",
            "event_id": first.json()["event_id"],
            "reason": "this signed body was received before",
        },
    )
    async with orchestrator.database.reading() as session:
        event = await session.get(EventModel, UUID(first.json()["event_id"]))
    assert event is not None
    assert (event.provider.value, event.payload) == (provider, json.loads(body))
    assert await _stored(orchestrator) == 1


async def test_the_other_addresses_take_deliveries_too(sender: httpx.AsyncClient) -> None:
    for provider in PROVIDERS:
        for path in (f"/webhooks/{provider}", f"/octo/thermometer/{provider}/events"):
            assert (await _deliver(sender, provider, path=path)).status_code == 202


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_13_what_its_sender_did_not_sign_is_refused_and_not_stored(
    sender: httpx.AsyncClient, orchestrator: SystemOrchestrator, provider: str
) -> None:
    body = json.dumps(_payload(provider)).encode()
    unsigned = await sender.post(f"/{provider}/events", json=_payload(provider))
    foreign = await _deliver(sender, provider, secret="somebody-else's-own-secret")
    changed = await sender.post(f"/{provider}/events", content=body + b" ", headers=_headers(provider, body))

    for answer in (unsigned, foreign, changed):
        _assert_refused(answer, 401, "signature")
    assert await _stored(orchestrator) == 0


async def test_13_what_was_signed_long_ago_or_ahead_of_time_is_refused(sender: httpx.AsyncClient) -> None:
    for seconds in (-3_600, 3_600):
        _assert_refused(await _deliver(sender, "slack", sent_at=time.time() + seconds), 401, "signature")
    for hours in (-8, 1):
        moment = int((time.time() + hours * 3_600) * 1000)
        body = json.dumps({**_payload("linear"), "webhookTimestamp": moment}).encode()
        _assert_refused(await _deliver(sender, "linear", body), 401, "signature")


async def test_a_provider_without_a_secret_is_not_there(sender: httpx.AsyncClient, settings: Settings) -> None:
    settings.github_webhook_secrets = settings.linear_webhook_secrets = settings.slack_signing_secrets = ()

    for provider in PROVIDERS:
        _assert_refused(await _deliver(sender, provider), 404, "not_configured")


async def test_a_signed_body_that_makes_no_sense_is_malformed(
    sender: httpx.AsyncClient, orchestrator: SystemOrchestrator
) -> None:
    for provider in PROVIDERS:
        for body in (b"", b"not json", b"[1]", b"[" * 5_000, b'"text"'):
            _assert_refused(await _deliver(sender, provider, body), 400, "malformed_payload")
    assert await _stored(orchestrator) == 0


async def test_another_content_type_is_not_supported(sender: httpx.AsyncClient) -> None:
    for provider in PROVIDERS:
        body = json.dumps(_payload(provider)).encode()
        headers = {**_headers(provider, body), "Content-Type": "text/plain"}
        answer = await sender.post(f"/{provider}/events", content=body, headers=headers)
        _assert_refused(answer, 415, "unsupported_content_type")


@pytest.mark.parametrize(
    ("provider", "limit"), [("github", LARGEST), ("linear", LARGEST_SMALL_BODY), ("slack", LARGEST_SMALL_BODY)]
)
async def test_a_body_over_the_limit_is_refused_as_soon_as_that_is_known(
    sender: httpx.AsyncClient, provider: str, limit: int
) -> None:
    sent = 0

    async def growing() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(64):
            sent += limit // 4
            yield b"x" * (limit // 4)

    announced = await sender.post(f"/{provider}/events", content=b"x", headers={"Content-Length": str(limit + 1)})
    arrived = await sender.post(f"/{provider}/events", content=growing())

    for answer in (announced, arrived):
        _assert_refused(answer, 413, "payload_too_large")
        assert str(limit) in answer.json()["message"]
    assert sent <= 2 * limit


async def test_slacks_challenge_is_echoed_as_text(sender: httpx.AsyncClient, orchestrator: SystemOrchestrator) -> None:
    body = json.dumps({"type": "url_verification", "challenge": "<b>3eZbrw1aBm2rZgRNFdxV</b>"}).encode()
    answer = await _deliver(sender, "slack", body)
    unsigned = await sender.post("/slack/events", json=json.loads(body))

    assert (answer.status_code, answer.text) == (200, "<b>3eZbrw1aBm2rZgRNFdxV</b>")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"
    _assert_refused(unsigned, 401, "signature")
    assert await _stored(orchestrator) == 0


async def test_slacks_forms_are_accepted(sender: httpx.AsyncClient) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for fields in ({"payload": '{"type": "block_actions"}'}, {"command": "/deploy", "text": "main"}):
        body = urlencode(fields).encode()
        answer = await sender.post("/slack/events", content=body, headers={**_headers("slack", body), **form})
        assert answer.status_code == 202


async def test_webhooks_need_no_token_in_production(sender: httpx.AsyncClient, settings: Settings) -> None:
    settings.secret_key = SecretStr("a-key-of-the-tests-own-making")
    settings.environment = Environment.PRODUCTION

    for provider in PROVIDERS:
        assert (await _deliver(sender, provider)).status_code == 202


async def test_nothing_but_post_delivers(sender: httpx.AsyncClient) -> None:
    for method in ("GET", "PUT", "DELETE"):
        assert (await sender.request(method, "/slack/events")).status_code == 405


async def test_functions_registered_for_a_delivery_are_called(
    sender: httpx.AsyncClient, orchestrator: SystemOrchestrator
) -> None:
    seen: asyncio.Queue[Any] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    @GitHub(orchestrator.functions, orchestrator.settings).event("pull_request:labeled")
    def labeled(event: PullRequestLabeledEvent) -> None:
        loop.call_soon_threadsafe(seen.put_nowait, ("github", event.pull_request.number))

    @Linear(orchestrator.functions, orchestrator.settings).event("Issue:create")
    async def created(event: dict[str, Any]) -> None:
        seen.put_nowait(("linear", event["action"]))

    @Slack(orchestrator.functions, orchestrator.settings).event("app_mention")
    async def mentioned(event: SlackEvent) -> None:
        seen.put_nowait(("slack", event.text))

    for provider in PROVIDERS:
        assert (await _deliver(sender, provider)).status_code == 202

    async with asyncio.timeout(20):
        called = {await seen.get() for _ in PROVIDERS}
    assert called == {("github", 7), ("linear", "create"), ("slack", "is main broken?")}


async def test_a_github_app_delivery_without_a_repository_is_accepted(sender: httpx.AsyncClient) -> None:
    body = GitHubDelivery(event="organization", payload={"organization": {"login": "acme"}}).body

    assert (await _deliver(sender, "github", body)).status_code == 202


def test_operations_have_names_of_their_own(app: Any) -> None:
    paths = app.openapi()["paths"]
    operations = {path: paths[path]["post"]["operationId"] for path in (f"/{name}/events" for name in PROVIDERS)}

    assert operations == {f"/{name}/events": f"receive_{name}_event" for name in PROVIDERS}
    assert not [path for path in paths if path.startswith("/webhooks/")]
