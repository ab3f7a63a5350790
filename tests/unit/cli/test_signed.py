"""Requests as their senders would make them: the server's own reading takes every one of them."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import pytest
from pydantic import SecretStr

from contexten.cli.signed import Wish, sign
from contexten_core.errors import ConfigurationError, MalformedPayloadError
from contexten_core.events.delivery import Challenge, Delivery
from contexten_core.events.models import EventProvider
from contexten_core.events.receive import read_delivery
from contexten_core.settings import Settings
from contexten_core.settings.ingress import DeploymentSource

GITHUB, LINEAR, SLACK, DEPLOYMENT = (
    EventProvider.GITHUB,
    EventProvider.LINEAR,
    EventProvider.SLACK,
    EventProvider.DEPLOYMENT,
)
PUSH = {"ref": "refs/heads/main", "repository": {"full_name": "Acme/Shop"}}
ISSUE = {"type": "Issue", "action": "create", "data": {"id": "1"}, "webhookTimestamp": 1_600_000_000_000}
MENTION = {"type": "event_callback", "event_id": "Ev1", "event": {"type": "app_mention", "text": "hi"}}
PRESS = {"type": "block_actions", "team": {"id": "T1"}, "user": {"id": "U1"}, "actions": []}
SOURCES = {
    "ci": DeploymentSource(scheme="hmac", secret=SecretStr("the-secret-of-the-ci"), header="x-ci", prefix="sha256="),
    "cd": DeploymentSource(scheme="bearer", secret=SecretStr("the-secret-of-the-cd")),
    "std": DeploymentSource(scheme="standard", secret=SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")),
}


@pytest.fixture
def settings() -> Settings:
    return Settings(
        github_webhook_secrets=(SecretStr("the-new-one-of-github"), SecretStr("the-old-one-of-github")),
        linear_webhook_secrets=(SecretStr("the-secret-of-linear"),),
        slack_signing_secrets=(SecretStr("the-secret-of-slack-"),),
        deployment_sources=SOURCES,
    )


def taken(settings: Settings, provider: EventProvider, payload: Any, **wish: Any) -> Delivery | Challenge:
    """Return what the server reads in the request for a payload."""
    now = datetime.now(UTC)
    request = sign(provider, Wish(json.dumps(payload).encode(), **wish), settings=settings, now=now)
    return read_delivery(provider, headers=request.headers, body=request.body, settings=settings, now=now)


@pytest.mark.parametrize(
    ("provider", "payload", "wish", "event_type"),
    [
        (GITHUB, PUSH, {"event": "push"}, "push"),
        (LINEAR, ISSUE, {}, "Issue"),
        (LINEAR, {"action": "create"}, {"event": "Issue"}, "Issue"),
        (SLACK, MENTION, {}, "app_mention"),
        (SLACK, MENTION, {"event": "app_mention"}, "app_mention"),
        (SLACK, {"type": "app_mention", "text": "hi"}, {}, "app_mention"),
        (SLACK, PRESS, {}, "block_actions"),
        (SLACK, {"command": "/deploy", "text": "shop now"}, {}, "slash_command"),
        (DEPLOYMENT, {"type": "deployed"}, {"source": "ci"}, "deployed"),
        (DEPLOYMENT, {"event": "deployed"}, {"source": "cd"}, "deployed"),
        (DEPLOYMENT, {"version": 7}, {"source": "std", "event": "deployed"}, "deployed"),
    ],
)
def test_the_server_takes_it(
    settings: Settings, provider: EventProvider, payload: Any, wish: dict[str, Any], event_type: str
) -> None:
    delivery = taken(settings, provider, payload, **wish)
    assert isinstance(delivery, Delivery)
    assert (delivery.event_type, delivery.parked) == (event_type, None)


def test_interactions_and_commands_are_forms(settings: Settings) -> None:
    for payload in (PRESS, {"command": "/deploy"}):
        request = sign(SLACK, Wish(json.dumps(payload).encode()), settings=settings, now=datetime.now(UTC))
        assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
        assert {"payload", "command"} & parse_qs(request.body.decode()).keys()


def test_slacks_question_is_answered(settings: Settings) -> None:
    asked = taken(settings, SLACK, {"type": "url_verification", "challenge": "3eZbrw1aB"})
    assert asked == Challenge("3eZbrw1aB")


@pytest.mark.parametrize(
    ("provider", "payload", "wish", "external_id"),
    [
        (GITHUB, PUSH, {"event": "push"}, "of-ours"),
        (LINEAR, ISSUE, {}, "of-ours"),
        (SLACK, MENTION, {}, "of-ours"),
        (DEPLOYMENT, {"type": "deployed"}, {"source": "cd"}, "cd:of-ours"),
        (DEPLOYMENT, {"type": "deployed"}, {"source": "std"}, "std:of-ours"),
    ],
)
def test_the_delivery_id_can_be_given(
    settings: Settings, provider: EventProvider, payload: Any, wish: dict[str, Any], external_id: str
) -> None:
    delivery = taken(settings, provider, payload, delivery_id="of-ours", **wish)
    assert isinstance(delivery, Delivery)
    assert delivery.external_id == external_id


def test_a_saved_payload_of_linear_is_sent_as_of_now_and_says_so(settings: Settings) -> None:
    now = datetime(2026, 5, 4, 12, tzinfo=UTC)
    request = sign(LINEAR, Wish(json.dumps(ISSUE).encode()), settings=settings, now=now)
    assert json.loads(request.body)["webhookTimestamp"] == now.timestamp() * 1000
    assert "webhookTimestamp was set to now" in str(request.note)


@pytest.mark.parametrize("provider", [GITHUB, LINEAR, SLACK])
def test_raw_bytes_are_left_alone(settings: Settings, provider: EventProvider) -> None:
    body = b'{"a": 1,  "a": 2'
    wish = Wish(body, raw=True, event="push")
    now = datetime.now(UTC)
    request = sign(provider, wish, settings=settings, now=now)
    assert request.body == body
    if provider is not LINEAR:
        delivery = read_delivery(provider, headers=request.headers, body=body, settings=settings, now=now)
        assert isinstance(delivery, Delivery)
        assert delivery.parked is not None


@pytest.mark.parametrize("scope", ["acme", "acme/shop"])
def test_a_repository_with_a_secret_of_its_own_is_signed_for_with_that(scope: str) -> None:
    settings = Settings(github_scoped_secrets={scope: SecretStr("the-secret-of-acmes-shop")})
    assert isinstance(taken(settings, GITHUB, PUSH, event="push"), Delivery)


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        (GITHUB, "GITHUB_WEBHOOK_SECRET"),
        (LINEAR, "LINEAR_WEBHOOK_SECRET"),
        (SLACK, "SLACK_SIGNING_SECRET"),
        (DEPLOYMENT, "DEPLOYMENT_SOURCES"),
    ],
)
def test_without_a_secret_there_is_nothing_to_sign_with(provider: EventProvider, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        taken(Settings(), provider, {"type": "x"}, event="x")
    assert said in str(caught.value.hint)


@pytest.mark.parametrize(
    ("provider", "wish", "message"),
    [
        (GITHUB, {}, "which event it sends"),
        (DEPLOYMENT, {}, "more than one deployment source"),
        (DEPLOYMENT, {"source": "nobody"}, "no deployment source 'nobody'"),
        (DEPLOYMENT, {"source": "ci", "delivery_id": "7"}, "has no delivery ids"),
        (EventProvider.USER, {}, "user sends no webhooks"),
    ],
)
def test_what_a_sender_does_not_have_is_refused(
    settings: Settings, provider: EventProvider, wish: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        taken(settings, provider, {}, **wish)
    assert message in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("provider", [LINEAR, SLACK, DEPLOYMENT])
def test_another_event_than_the_bodys_is_refused(settings: Settings, provider: EventProvider) -> None:
    source = {"source": "ci"} if provider is DEPLOYMENT else {}
    with pytest.raises(MalformedPayloadError, match="--event says 'other'"):
        taken(settings, provider, MENTION, event="other", **source)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{oh", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(settings: Settings, content: bytes) -> None:
    with pytest.raises(MalformedPayloadError) as caught:
        sign(GITHUB, Wish(content, event="push"), settings=settings, now=datetime.now(UTC))
    assert caught.value.hint == "--raw sends the bytes as they are"
