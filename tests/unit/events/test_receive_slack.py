import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from pydantic import SecretStr

from contexten.emulators.signing import sign_slack
from contexten_core.errors import ContextenError, NotConfiguredError, SignatureError, UnsupportedContentTypeError
from contexten_core.events.delivery import Challenge, Delivery
from contexten_core.events.models import EventProvider
from contexten_core.events.receive import read_delivery
from contexten_core.settings import Settings

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
SECRET = "a-secret-that-is-shared"
SETTINGS = Settings(_env_file=None, slack_signing_secrets=(SecretStr(SECRET),))
FORM = "application/x-www-form-urlencoded"

MENTION = {"type": "app_mention", "text": "<@W111> is main broken?", "channel": "C111", "ts": "1595926230.009600"}
EVENT = {"type": "event_callback", "event_id": "Ev04SPP46R6J", "team_id": "T111", "event": MENTION}
GOOD = json.dumps(EVENT).encode()


def _read(
    body: bytes,
    *,
    settings: Settings = SETTINGS,
    secret: str = SECRET,
    age: timedelta = timedelta(seconds=1),
    **changed: str,
) -> Delivery | Challenge:
    timestamp = int((NOW - age).timestamp())
    headers = {
        "content-type": "application/json",
        "x-slack-request-timestamp": str(timestamp),
        "x-slack-signature": sign_slack(secret, body, timestamp=timestamp),
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    return read_delivery(EventProvider.SLACK, headers=headers, body=body, settings=settings, now=NOW)


def _delivery(body: bytes, **changed: Any) -> Delivery:
    read = _read(body, **changed)
    assert isinstance(read, Delivery)
    return read


def test_a_delivery_has_the_type_of_its_inner_event() -> None:
    delivery = _delivery(GOOD)

    assert (delivery.provider, delivery.event_type) == (EventProvider.SLACK, "app_mention")
    assert (delivery.external_id, delivery.payload, delivery.key) == ("Ev04SPP46R6J", EVENT, GOOD)
    assert set(delivery.headers) == {"content-type", "x-slack-request-timestamp"}


def test_a_retry_is_the_same_delivery_though_it_is_signed_anew() -> None:
    first = _delivery(GOOD, age=timedelta(seconds=60))
    again = _delivery(GOOD, x_slack_retry_num="1", x_slack_retry_reason="http_timeout")

    assert again.digest == first.digest
    assert (again.headers["x-slack-retry-num"], again.parked) == ("1", None)


@pytest.mark.parametrize("event", [{"type": "message"}, {"type": "message", "user": None, "text": None}])
def test_events_may_be_without_user_and_text(event: dict[str, Any]) -> None:
    assert _delivery(json.dumps({"type": "event_callback", "event": event}).encode()).event_type == "message"


def test_a_challenge_is_no_delivery() -> None:
    body = json.dumps({"type": "url_verification", "challenge": "3eZbrw1aBm2rZgRNFdxV", "token": "t"}).encode()

    assert _read(body) == Challenge("3eZbrw1aBm2rZgRNFdxV")
    assert _read(rb'{"type": "url_verification", "challenge": "\ud800"}') == Challenge("\ufffd")


def test_an_interaction_is_the_json_in_its_form() -> None:
    click = {"type": "block_actions", "user": {"id": "W111"}, "actions": [{"value": "a&b=ü"}]}
    delivery = _delivery(urlencode({"payload": json.dumps(click)}).encode(), content_type=FORM)

    assert (delivery.event_type, delivery.payload, delivery.external_id) == ("block_actions", click, None)
    assert delivery.content_type == FORM


def test_a_slash_command_is_the_fields_of_its_form() -> None:
    command = {"command": "/deploy", "text": "", "user_id": "U1", "channel_id": "C1"}
    delivery = _delivery(urlencode(command).encode(), content_type=f"{FORM}; charset=utf-8")

    assert (delivery.event_type, delivery.payload) == ("slash_command", command)
    assert _delivery(b"command=%2Fdeploy&text=a%00b", content_type=FORM).payload["text"] == "a\ufffdb"


@pytest.mark.parametrize(
    ("body", "changed", "error", "message"),
    [
        (GOOD, {"secret": "some-other-secret"}, SignatureError, "mismatch"),
        (GOOD, {"x_slack_signature": ""}, SignatureError, "unsigned"),
        (GOOD, {"x_slack_request_timestamp": "1531420618"}, SignatureError, "mismatch"),
        (GOOD, {"age": timedelta(seconds=301)}, SignatureError, "stale"),
        (GOOD, {"age": timedelta(seconds=-301)}, SignatureError, "stale"),
        (b'{"type": "url_verification", "challenge": "x"}', {"secret": "another"}, SignatureError, "mismatch"),
        (GOOD, {"content_type": "text/plain"}, UnsupportedContentTypeError, "text/plain"),
    ],
)
def test_what_slack_did_not_sign_now_is_refused(
    body: bytes, changed: dict[str, Any], error: type[ContextenError], message: str
) -> None:
    with pytest.raises(error, match=message):
        _read(body, **changed)


@pytest.mark.parametrize(
    ("body", "content_type", "event_type", "problem"),
    [
        (b"not json", "application/json", "unknown", "not JSON"),
        (b"null", "application/json", "unknown", "not an object"),
        (b"{}", "application/json", "unknown", "no type"),
        (b'{"type": "No Type"}', "application/json", "unknown", "no type"),
        (b'{"type": "url_verification", "challenge": 7}', "application/json", "url_verification", "no challenge"),
        (b"payload=not+json", FORM, "unknown", "not JSON"),
        (b"payload=%ff", FORM, "unknown", "not a form"),
        (b"\xff=1", FORM, "unknown", "not a form"),
        (b"a=1&" * 101, FORM, "unknown", "not a form"),
        (b"text=main", FORM, "unknown", "neither"),
        (b"", FORM, "unknown", "neither"),
    ],
)
def test_a_signed_body_that_says_nothing_is_parked(
    body: bytes, content_type: str, event_type: str, problem: str
) -> None:
    delivery = _delivery(body, content_type=content_type)

    assert delivery.parked is not None
    assert problem in delivery.parked
    assert (delivery.event_type, delivery.payload, delivery.body) == (event_type, {}, body)


def test_without_a_secret_nothing_is_received() -> None:
    with pytest.raises(NotConfiguredError) as caught:
        _read(GOOD, settings=Settings(_env_file=None, slack_signing_secrets=()))

    assert caught.value.hint == "set SLACK_SIGNING_SECRET"
