import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from contexten.emulators.signing import sign_linear
from contexten_core.errors import ContextenError, NotConfiguredError, SignatureError, UnsupportedContentTypeError
from contexten_core.events.delivery import Delivery
from contexten_core.events.models import EventProvider
from contexten_core.events.receive import read_delivery
from contexten_core.settings import Settings

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
SECRET = "a-secret-that-is-shared"
SETTINGS = Settings(_env_file=None, linear_webhook_secrets=(SecretStr(SECRET),))


def _body(age: timedelta | None = timedelta(seconds=1), **fields: Any) -> bytes:
    moment = {} if age is None else {"webhookTimestamp": int((NOW - age).timestamp() * 1000)}
    return json.dumps({"type": "Issue", "action": "create", "data": {"title": "Tax"}, **moment, **fields}).encode()


def _read(body: bytes, *, settings: Settings = SETTINGS, secret: str = SECRET, **changed: str) -> Delivery:
    headers = {
        "content-type": "application/json; charset=utf-8",
        "linear-delivery": "234d1a4e-b617-4388-90fe-adc3633d6b72",
        "linear-event": "Comment",
        "linear-signature": sign_linear(secret, body),
        "authorization": "Basic not-to-be-kept",
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    read = read_delivery(EventProvider.LINEAR, headers=headers, body=body, settings=settings, now=NOW)
    assert isinstance(read, Delivery)
    return read


def test_a_delivery_has_the_type_in_its_signed_body() -> None:
    body = _body()
    delivery = _read(body)

    assert (delivery.provider, delivery.event_type, delivery.parked) == (EventProvider.LINEAR, "Issue", None)
    assert delivery.external_id == "234d1a4e-b617-4388-90fe-adc3633d6b72"
    assert delivery.payload == json.loads(body)
    assert set(delivery.headers) == {"content-type", "linear-delivery", "linear-event"}
    assert (delivery.key, delivery.content_type) == (body, "application/json")


@pytest.mark.parametrize(
    "age",
    [
        timedelta(seconds=-60),
        timedelta(seconds=60),
        timedelta(minutes=1, seconds=5),
        timedelta(hours=7, minutes=2),
    ],
)
def test_a_retry_of_what_was_never_stored_is_accepted_for_as_long_as_linear_retries(age: timedelta) -> None:
    assert _read(_body(age)).parked is None


@pytest.mark.parametrize(("hours", "longest"), [(0, timedelta(minutes=2)), (24, timedelta(hours=24, minutes=2))])
def test_how_long_that_is_can_be_set(hours: float, longest: timedelta) -> None:
    settings = Settings(_env_file=None, linear_webhook_secrets=(SecretStr(SECRET),), linear_retry_hours=hours)

    assert _read(_body(longest), settings=settings).parked is None
    with pytest.raises(SignatureError, match="stale"):
        _read(_body(longest + timedelta(seconds=1)), settings=settings)


def test_a_payload_of_2021_says_only_when_it_happened() -> None:
    assert _read(_body(None, createdAt="2026-03-02T09:29:58.427Z")).event_type == "Issue"
    with pytest.raises(SignatureError, match="stale"):
        _read(_body(None, createdAt="2021-01-30T11:19:39.427Z"))


@pytest.mark.parametrize(
    ("body", "changed", "error", "message"),
    [
        (_body(), {"secret": "some-other-secret"}, SignatureError, "mismatch"),
        (_body(), {"linear_signature": ""}, SignatureError, "unsigned"),
        (b"not json", {"secret": "some-other-secret"}, SignatureError, "mismatch"),
        (_body(timedelta(hours=7, minutes=2, seconds=1)), {}, SignatureError, "stale"),
        (_body(timedelta(seconds=-61)), {}, SignatureError, "stale"),
        (_body(None), {}, SignatureError, "stale"),
        (b"{}", {}, SignatureError, "stale"),
        (b'{"webhookTimestamp": "now"}', {}, SignatureError, "stale"),
        (_body(), {"content_type": "text/plain"}, UnsupportedContentTypeError, "plain"),
    ],
)
def test_what_linear_did_not_sign_now_is_refused(
    body: bytes, changed: dict[str, Any], error: type[ContextenError], message: str
) -> None:
    with pytest.raises(error, match=message):
        _read(body, **changed)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"not json", "not JSON"),
        (b"", "not JSON"),
        (b"[]", "not an object"),
        (b"[" * 100_000, "deep"),
        (_body(type=None), "no type"),
        (_body(type="Issue\n"), "no type"),
        (_body(type=["Issue"]), "no type"),
    ],
)
def test_a_signed_body_that_says_nothing_is_parked(body: bytes, problem: str) -> None:
    delivery = _read(body)

    assert delivery.parked is not None
    assert problem in delivery.parked
    assert (delivery.event_type, delivery.payload, delivery.body) == ("unknown", {}, body)


def test_without_a_secret_nothing_is_received() -> None:
    with pytest.raises(NotConfiguredError) as caught:
        _read(_body(), settings=Settings(_env_file=None, linear_webhook_secrets=()))

    assert caught.value.hint == "set LINEAR_WEBHOOK_SECRET"
