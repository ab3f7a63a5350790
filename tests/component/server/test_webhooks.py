"""The answers of the webhook routes; acceptance point 13."""

import asyncio
import gzip
import json
import random
import time
from collections.abc import AsyncIterator
from hashlib import sha256
from hmac import digest
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI, Request
from pydantic import SecretStr
from sqlalchemy import func, select

from contexten.emulators.sender import GitHubDelivery
from contexten.handlers import GitHub, Linear, Slack
from contexten.handlers.types import PullRequestLabeledEvent, SlackEvent
from contexten.server import webhooks
from contexten.server.webhooks import LARGEST_SMALL_BODY
from contexten_core.errors import SignatureError
from contexten_core.events.models import EventModel, EventProvider, RefusalModel
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.settings import Environment, Settings

if TYPE_CHECKING:
    from tests.component.server.conftest import Door

SECRET = "the-webhook-secret-of-the-tests"
NEXT_SECRET = "the-one-that-replaces-it-soon"
LARGEST = 2 * LARGEST_SMALL_BODY
PROVIDERS = ("github", "linear", "slack", "deployment")
PATHS = {name: f"/{name}/events" for name in PROVIDERS} | {"deployment": "/deployments/events"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    secrets = (SecretStr(NEXT_SECRET), SecretStr(SECRET))
    settings.github_webhook_secrets = settings.linear_webhook_secrets = settings.slack_signing_secrets = secrets
    settings.deployment_sources = {
        "ci": {"scheme": "hmac", "secret": f"{NEXT_SECRET},{SECRET}", "header": "X-CI-Signature"}  # type: ignore[dict-item]
    }
    settings.max_payload_bytes = LARGEST
    return settings


@pytest.fixture
async def sender(door: "Door") -> AsyncIterator[httpx.AsyncClient]:
    """A sender of deliveries: somebody from elsewhere who has no token."""
    async with door.open(address="203.0.113.7", host="contexten.example.com") as client:
        yield client


def _payload(provider: str) -> dict[str, Any]:
    """Return a payload that was never sent before."""
    if provider == "github":
        return {"action": "labeled", "label": {"name": str(uuid4())}, "pull_request": {"number": 7}}
    if provider == "linear":
        moment = int(time.time() * 1000)
        return {"type": "Issue", "action": "create", "data": {"id": str(uuid4())}, "webhookTimestamp": moment}
    if provider == "deployment":
        return {"type": "deployment.succeeded", "id": str(uuid4())}
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
    if provider == "deployment":
        return {**json_type, "X-CI-Signature": digest(key, body, sha256).hex()}
    timestamp = f"{time.time() if sent_at is None else sent_at:.0f}"
    signature = f"v0={digest(key, f'v0:{timestamp}:'.encode() + body, sha256).hex()}"
    return {**json_type, "X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": signature}


async def _deliver(
    sender: httpx.AsyncClient, provider: str, body: bytes | None = None, *, path: str | None = None, **signing: Any
) -> httpx.Response:
    body = json.dumps(_payload(provider)).encode() if body is None else body
    return await sender.post(path or PATHS[provider], content=body, headers=_headers(provider, body, **signing))


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
        for path in (f"/webhooks/{provider}", f"/octo/thermometer{PATHS[provider]}"):
            assert (await _deliver(sender, provider, path=path)).status_code == 202


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_13_what_its_sender_did_not_sign_is_refused_and_not_stored(
    sender: httpx.AsyncClient, orchestrator: SystemOrchestrator, provider: str
) -> None:
    body = json.dumps(_payload(provider)).encode()
    unsigned = await sender.post(PATHS[provider], json=_payload(provider))
    foreign = await _deliver(sender, provider, secret="somebody-else's-own-secret")
    changed = await sender.post(PATHS[provider], content=body + b" ", headers=_headers(provider, body))

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
    settings.deployment_sources = {}

    for provider in PROVIDERS:
        _assert_refused(await _deliver(sender, provider), 404, "not_configured")


async def test_a_signed_body_that_makes_no_sense_is_kept_for_a_person(
    sender: httpx.AsyncClient, orchestrator: SystemOrchestrator
) -> None:
    for provider in PROVIDERS:
        for body in (b"", b"not json", b"[1]", b"[" * 5_000, b'"text"'):
            answer = await _deliver(sender, provider, body)
            assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
            assert answer.json()["reason"].startswith("the body is")
    async with orchestrator.database.reading() as session:
        parked = await session.execute(select(func.count()).where(EventModel.parked_at.is_not(None)))
    assert parked.scalar_one() == 5 * len(PROVIDERS)


HOSTILE = (
    b"null",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"type": ' + b"9" * 5_000 + b"}",
    b'{"type": NaN}',
    b'{"type": "push", "type": null}',
    rb'{"type": "\ud800", "event": {"type": "\udfff"}, "event_id": "\u0000"}',
    rb'{"type": "url_verification", "challenge": "\ud800\u0000"}',
    b'{"type": "a\x00b"}',
    '{"type": "message"}'.encode("utf-16"),
    gzip.compress(b'{"type": "message"}', mtime=0),
    b"payload=%7B%22type%22%3A%22view_closed%22%7D&payload=%ff",
    b"command=%00&text=%ed%a0%80",
    b'{"repository": {"full_name": {"a": 1}}, "organization": [1]}',
)


async def test_nothing_that_is_sent_fails_the_server(sender: httpx.AsyncClient) -> None:
    chance = random.Random("the same each time")
    values = ("", "0", "\x7f", "application/x-www-form-urlencoded", "\xff" * 300, "a,b", "-1")
    changed = ("Content-Type", "Content-Encoding", "X-GitHub-Event", "X-GitHub-Delivery", "X-Forwarded-For")
    statuses = set()
    for body in HOSTILE:
        for provider in PROVIDERS:
            headers = _headers(provider, body) if chance.random() < 0.8 else {}
            headers |= {name: chance.choice(values) for name in chance.sample(changed, k=chance.randrange(3))}
            raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
            answer = await sender.post(PATHS[provider], content=body, headers=raw)
            statuses.add(answer.status_code)
    assert {202, 401, 415} <= statuses <= {200, 202, 400, 401, 415}


async def test_another_content_type_is_not_supported(sender: httpx.AsyncClient) -> None:
    for provider in PROVIDERS:
        body = json.dumps(_payload(provider)).encode()
        headers = {**_headers(provider, body), "Content-Type": "text/plain"}
        answer = await sender.post(PATHS[provider], content=body, headers=headers)
        _assert_refused(answer, 415, "unsupported_content_type")


@pytest.mark.parametrize(
    ("provider", "limit"), [(name, LARGEST if name == "github" else LARGEST_SMALL_BODY) for name in PROVIDERS]
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

    announced = await sender.post(PATHS[provider], content=b"x", headers={"Content-Length": str(limit + 1)})
    arrived = await sender.post(PATHS[provider], content=growing())

    for answer in (announced, arrived):
        _assert_refused(answer, 413, "payload_too_large")
        assert str(limit) in answer.json()["message"]
    assert sent <= 2 * limit


async def test_a_length_that_no_body_has_is_too_large(sender: httpx.AsyncClient) -> None:
    for length in ("9" * 18, "9" * 5_000):
        answer = await sender.post("/github/events", content=b"x", headers={"Content-Length": length})
        _assert_refused(answer, 413, "payload_too_large")


async def test_a_large_body_is_read_like_any_other(sender: httpx.AsyncClient, orchestrator: SystemOrchestrator) -> None:
    body = json.dumps({"commits": ["x" * 100] * 5_000}).encode()
    answer = await _deliver(sender, "github", body)

    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    _assert_refused(await _deliver(sender, "github", body, secret="somebody-else's-own-secret"), 401, "signature")
    assert await _stored(orchestrator) == 1


async def test_a_body_that_does_not_arrive_in_time_is_not_waited_for(
    sender: httpx.AsyncClient, settings: Settings
) -> None:
    settings.webhook_body_seconds = 0.05

    async def dripping() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    _assert_refused(await sender.post("/github/events", content=dripping()), 400, "malformed_payload")


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


async def test_the_secret_of_one_repository_speaks_for_no_other(
    sender: httpx.AsyncClient, settings: Settings, orchestrator: SystemOrchestrator
) -> None:
    settings.github_webhook_secrets = ()
    settings.github_scoped_secrets = {"acme/shop": SecretStr(SECRET)}
    own, foreign = (json.dumps({"repository": {"full_name": name}}).encode() for name in ("Acme/Shop", "acme/till"))

    assert (await _deliver(sender, "github", own)).status_code == 202
    path = "/acme/shop/github/events"
    _assert_refused(await _deliver(sender, "github", foreign, path=path), 401, "signature")
    assert await _stored(orchestrator) == 1


async def test_the_source_that_proved_itself_is_kept_with_the_event(
    sender: httpx.AsyncClient, orchestrator: SystemOrchestrator
) -> None:
    answer = await _deliver(sender, "deployment")
    async with orchestrator.database.reading() as session:
        event = await session.get(EventModel, UUID(answer.json()["event_id"]))

    assert event is not None
    assert (event.event_type, event.provider) == ("deployment.succeeded", EventProvider.DEPLOYMENT)
    assert (event.headers or {})["x-contexten-source"] == "ci"


async def test_every_refusal_is_counted_with_its_reason_and_without_its_secrets(
    sender: httpx.AsyncClient, orchestrator: SystemOrchestrator
) -> None:
    await _deliver(sender, "github", secret="somebody-else's-own-secret")
    await sender.post("/slack/events", content=b"x", headers={"Content-Length": str(LARGEST_SMALL_BODY + 1)})
    await sender.post("/deployments/events", content=b"{}", headers={"Authorization": f"Bearer {NEXT_SECRET}"})
    await orchestrator.intake.close()
    async with orchestrator.database.reading() as session:
        refusals = (await session.execute(select(RefusalModel).order_by(RefusalModel.provider))).scalars().all()

    assert [(refusal.provider, refusal.code, refusal.address) for refusal in refusals] == [
        ("deployment", "signature", "203.0.113.7"),
        ("github", "signature", "203.0.113.7"),
        ("slack", "payload_too_large", "203.0.113.7"),
    ]
    assert "mismatch" in refusals[1].reason
    assert "sha256=" not in str(refusals[1].headers)
    assert NEXT_SECRET not in str(refusals[0].headers)


class TestWhoIsNotLetIn:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        settings.webhook_rate_per_minute = 3
        settings.linear_ip_allowlist = ("198.51.100.0/24",)
        return settings

    async def test_is_told_before_the_body_is_read(self, sender: httpx.AsyncClient) -> None:
        _assert_refused(await _deliver(sender, "linear"), 403, "address_not_allowed")

        was_read = False

        async def unread() -> AsyncIterator[bytes]:
            nonlocal was_read
            was_read = True
            yield b"{}"

        _assert_refused(await sender.post("/linear/events", content=unread()), 403, "address_not_allowed")
        assert not was_read

    async def test_is_told_when_to_come_again(self, sender: httpx.AsyncClient) -> None:
        answers = [await _deliver(sender, "slack") for _ in range(8)]

        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(refused) >= 2
        _assert_refused(refused[0], 429, "rate_limited")
        assert 1 <= int(refused[0].headers["Retry-After"]) <= 60
        assert (await _deliver(sender, "github")).status_code == 202


async def test_a_request_that_came_to_another_application_can_be_handed_in(
    app: FastAPI, orchestrator: SystemOrchestrator
) -> None:
    body = json.dumps(_payload("github")).encode()

    async def receive(headers: dict[str, str]) -> int:
        async def body_of() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "POST", "path": "/hooks", "headers": raw, "client": ("203.0.113.7", 1)}
        return (await webhooks.receive(Request(scope, body_of), EventProvider.GITHUB, app=app)).status_code

    assert await receive(_headers("github", body)) == 202
    with pytest.raises(SignatureError):
        await receive({"Content-Type": "application/json"})
    assert await _stored(orchestrator) == 1


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

    for provider in ("github", "linear", "slack"):
        assert (await _deliver(sender, provider)).status_code == 202

    async with asyncio.timeout(20):
        called = {await seen.get() for _ in range(3)}
    assert called == {("github", 7), ("linear", "create"), ("slack", "is main broken?")}


async def test_a_github_app_delivery_without_a_repository_is_accepted(sender: httpx.AsyncClient) -> None:
    body = GitHubDelivery(event="organization", payload={"organization": {"login": "acme"}}).body

    assert (await _deliver(sender, "github", body)).status_code == 202


def test_operations_have_names_of_their_own(app: FastAPI) -> None:
    paths = app.openapi()["paths"]
    operations = {name: paths[path]["post"]["operationId"] for name, path in PATHS.items()}

    assert operations == {name: f"receive_{name}_event" for name in PROVIDERS}
    assert not [path for path in paths if path.startswith("/webhooks/")]
