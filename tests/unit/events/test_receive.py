"""Whatever comes in is a delivery, a challenge, or a refusal of a kind that has an answer."""

import gzip
import json
from base64 import b64encode
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from contexten.emulators.signing import sign_github, sign_linear, sign_slack, sign_standard
from contexten_core.errors import (
    ContextenError,
    MalformedPayloadError,
    NotConfiguredError,
    SignatureError,
    UnsupportedContentTypeError,
)
from contexten_core.events.delivery import Challenge, Delivery
from contexten_core.events.models import EventProvider
from contexten_core.events.receive import read_delivery, require_configured
from contexten_core.events.receive_body import read_json
from contexten_core.settings import Settings

EXAMPLES = settings(deadline=None, derandomize=True, database=None, max_examples=50)
NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
SECRET = "a-secret-that-is-shared"
STANDARD_SECRET = "whsec_" + b64encode(b"a key of twenty-four bytes").decode()
SETTINGS = Settings(
    _env_file=None,
    github_webhook_secrets=(SecretStr(SECRET),),
    linear_webhook_secrets=(SecretStr(SECRET),),
    slack_signing_secrets=(SecretStr(SECRET),),
    deployment_sources={"standard": {"scheme": "standard", "secret": STANDARD_SECRET}},
)
PROVIDERS = (EventProvider.GITHUB, EventProvider.LINEAR, EventProvider.SLACK, EventProvider.DEPLOYMENT)
REFUSALS = (SignatureError, UnsupportedContentTypeError, MalformedPayloadError)
JSON, FORM = "application/json", "application/x-www-form-urlencoded"


def _signed(provider: EventProvider, body: bytes) -> dict[str, str]:
    moment = int(NOW.timestamp())
    match provider:
        case EventProvider.GITHUB:
            return {"x-github-event": "push", "x-hub-signature-256": sign_github(SECRET, body)}
        case EventProvider.LINEAR:
            return {"linear-signature": sign_linear(SECRET, body)}
        case EventProvider.SLACK:
            signature = sign_slack(SECRET, body, timestamp=moment)
            return {"x-slack-request-timestamp": str(moment), "x-slack-signature": signature}
        case _:
            signature = sign_standard(STANDARD_SECRET, body, message_id="msg_1", timestamp=moment)
            return {"webhook-id": "msg_1", "webhook-timestamp": str(moment), "webhook-signature": signature}


def _read(provider: EventProvider, headers: dict[str, str], body: bytes) -> Delivery | Challenge:
    return read_delivery(provider, headers=headers, body=body, settings=SETTINGS, now=NOW)


def _assert_storable(delivery: Delivery) -> None:
    """Hold it to what PostgreSQL takes as JSON and as text."""
    for value in (delivery.payload, dict(delivery.headers)):
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
        assert "\\u0000" not in text.replace("\\\\", "")
    assert all(len(value) <= 200 for value in delivery.headers.values())
    assert len(delivery.event_type) <= 64
    assert (delivery.payload == {}) or delivery.parked is None
    assert len(delivery.external_id or "") <= 200


DEEP = b'{"type":' * 100_000
HOSTILE = [
    b"",
    b"null",
    b"0",
    b"[" * 100_000,
    DEEP,
    b'{"a":' * 99 + b"1" + b"}" * 99,
    b'{"a": ' + b"9" * 5_000 + b"}",
    b'{"webhookTimestamp": ' + b"9" * 4_000 + b', "type": "Issue"}',
    b'{"webhookTimestamp": -1e300, "type": "Issue"}',
    b'{"type": NaN}',
    b'{"type": Infinity}',
    b'{"type": "push", "type": ["push"], "type": null}',
    rb'{"type": "\ud800", "event": {"type": "\udfff"}, "challenge": "\ud800", "event_id": "\u0000"}',
    rb'{"type": "url_verification", "challenge": "\ud800\u0000"}',
    b'{"type": "a\x00b"}',
    '{"type": "message"}'.encode("utf-16"),
    '{"type": "message"}'.encode("utf-8-sig"),
    '{"type": "message"}'.encode("utf-32-le"),
    gzip.compress(b'{"type": "message"}', mtime=0),
    b"payload=%7B%22type%22%3A%22view_closed%22%7D&payload=%ff",
    b"command=%00&text=%ed%a0%80",
    b"&=&=&" * 1_000,
    urlencode({"payload": '{"type": "\\ud800"}'}).encode(),
    b'{"repository": {"full_name": {"a": 1}}, "organization": [1]}',
    b'{"type": {"type": []}, "event": [[]], "challenge": {}}',
]

OBJECTS = [body for body in HOSTILE if read_json(body).problem is None]
"""Those that Linear would say the time in."""


@pytest.mark.parametrize("content_type", [JSON, FORM])
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_no_signed_body_is_an_error_to_its_sender(provider: EventProvider, body: bytes, content_type: str) -> None:
    headers = {"content-type": content_type, **_signed(provider, body)}
    if content_type == FORM and provider is not EventProvider.SLACK:
        with pytest.raises(UnsupportedContentTypeError):
            _read(provider, headers, body)
        return
    if provider is EventProvider.LINEAR and body in OBJECTS:
        with pytest.raises(SignatureError, match="stale"):
            _read(provider, headers, body)
        return
    read = _read(provider, headers, body)
    if isinstance(read, Delivery):
        _assert_storable(read)
        assert read.body == body
    else:
        read.text.encode()


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["push", "message", "url_verification", "Issue", "\ud800", "\0", "acme/shop"]),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "event", "challenge", "event_id", "command", "webhookTimestamp", "createdAt", "repository"]
            )
            | st.text(),
            children,
            max_size=4,
        )
    ),
    max_leaves=12,
)
_bodies = st.binary() | _json.map(lambda value: json.dumps(value).encode())
_headers = st.dictionaries(
    st.sampled_from(
        [
            "content-type",
            "content-length",
            "x-github-event",
            "x-github-delivery",
            "x-hub-signature-256",
            "linear-delivery",
            "linear-signature",
            "x-slack-signature",
            "x-slack-request-timestamp",
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
            "authorization",
        ]
    ),
    st.text() | st.sampled_from([JSON, FORM, f"{JSON}; charset=utf-16", "sha256=", "v0=", "v1,", "Bearer x", "0"]),
)


@pytest.mark.parametrize("provider", PROVIDERS)
@EXAMPLES
@given(body=_bodies, headers=_headers, signed=st.booleans())
@example(body=DEEP, headers={"content-type": JSON}, signed=True)
def test_anything_at_all_is_a_delivery_or_refused(
    provider: EventProvider, body: bytes, headers: dict[str, str], signed: bool
) -> None:
    given = {"content-type": JSON, **headers, **(_signed(provider, body) if signed else {})}
    try:
        read = _read(provider, given, body)
    except REFUSALS as error:
        refused: ContextenError = error
    else:
        assert signed
        if isinstance(read, Delivery):
            _assert_storable(read)
        return
    assert 400 <= refused.status < 500
    assert 0 < len(refused.message) < 500


@EXAMPLES
@given(headers=_headers)
def test_no_header_makes_a_captured_delivery_another_one(headers: dict[str, str]) -> None:
    body = b'{"zen": "Design for failure."}'
    signed = {"content-type": JSON, **_signed(EventProvider.GITHUB, body)}
    first = _read(EventProvider.GITHUB, signed, body)
    try:
        again = _read(EventProvider.GITHUB, {**signed, **headers}, body)
    except REFUSALS:
        return
    assert isinstance(first, Delivery)
    assert isinstance(again, Delivery)
    assert again.digest == first.digest


@pytest.mark.parametrize("provider", [EventProvider.SYSTEM, EventProvider.USER])
def test_nobody_delivers_in_our_own_name(provider: EventProvider) -> None:
    with pytest.raises(NotConfiguredError):
        _read(provider, {}, b"{}")


def test_a_provider_with_scoped_secrets_only_is_configured() -> None:
    scoped = Settings(_env_file=None, github_scoped_secrets={"acme": SecretStr(SECRET)})

    require_configured(EventProvider.GITHUB, scoped)
    with pytest.raises(NotConfiguredError) as caught:
        require_configured(EventProvider.DEPLOYMENT, scoped)
    assert caught.value.hint == "set DEPLOYMENT_SOURCES"
