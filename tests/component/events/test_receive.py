import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import digest
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select

from contexten.emulators.sender import GitHubDelivery, sign_github
from contexten_core.db import Database
from contexten_core.errors import (
    ContextenError,
    MalformedPayloadError,
    NotConfiguredError,
    SignatureError,
    UnsupportedContentTypeError,
)
from contexten_core.events import store
from contexten_core.events.handlers import Handler, HandlerRegistry
from contexten_core.events.models import (
    EventHandlerModel,
    EventModel,
    EventPayloadModel,
    EventProvider,
    EventStatus,
    HandlerStatus,
)
from contexten_core.events.receive import (
    LINEAR_RETRIES,
    Challenge,
    Receipt,
    ReceiptStatus,
    receive_github,
    receive_linear,
    receive_slack,
)
from contexten_core.security.encryption import open_vault
from contexten_core.settings import Settings

if TYPE_CHECKING:
    from tests.component.conftest import Push

SECRET = b"a-secret-that-is-shared"
NEXT_SECRET = b"the-one-that-replaces-it"


def _headers(body: bytes, *, secret: bytes = SECRET, **changed: str | None) -> dict[str, str]:
    headers: dict[str, str | None] = {
        "content-type": "application/json",
        "user-agent": "GitHub-Hookshot/5f3c2a1",
        "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "x-github-event": "push",
        "x-hub-signature-256": sign_github(secret, body),
        "authorization": "Basic not-to-be-kept",
    }
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    return {name: value for name, value in headers.items() if value is not None}


async def _receive(database: Database, body: bytes, **changed: Any) -> Receipt:
    return await receive_github(database, headers=_headers(body, **changed), body=body, secrets=[SECRET])


async def _stored(database: Database, event_id: UUID) -> tuple[EventModel, EventPayloadModel]:
    async with database.reading() as session:
        event = await session.get(EventModel, event_id)
        statement = select(EventPayloadModel).where(EventPayloadModel.event_id == event_id)
        raw = (await session.execute(statement)).scalar_one()
    assert event is not None
    return event, raw


async def _count(database: Database) -> tuple[int, int]:
    async with database.reading() as session:
        events = await session.execute(select(func.count()).select_from(EventModel))
        payloads = await session.execute(select(func.count()).select_from(EventPayloadModel))
        return events.scalar_one(), payloads.scalar_one()


async def test_a_signed_delivery_is_stored_with_its_bytes(database: Database, push: "Push") -> None:
    delivery: GitHubDelivery = push()
    receipt = await _receive(database, delivery.body)
    event, raw = await _stored(database, receipt.event_id)

    assert (receipt.status, receipt.reason) == (ReceiptStatus.ACCEPTED, None)
    assert (event.event_type, event.provider, event.status) == ("push", EventProvider.GITHUB, EventStatus.PENDING)
    assert event.external_id == "72d3162e-cc78-11e3-81ab-4c9367dc0958"
    assert event.payload == delivery.payload
    assert event.headers == {
        "content-type": "application/json",
        "user-agent": "GitHub-Hookshot/5f3c2a1",
        "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "x-github-event": "push",
    }
    assert raw.raw_payload == delivery.body
    assert (raw.size_bytes, raw.content_type) == (len(delivery.body), "application/json")
    assert raw.checksum == f"sha256:{sha256(delivery.body).hexdigest()}"


async def test_the_same_signed_body_is_the_same_delivery_whatever_the_unsigned_headers_say(
    database: Database, push: "Push"
) -> None:
    body = push().body
    first = await _receive(database, body)
    again = await _receive(database, body)
    renamed = await _receive(database, body, x_github_delivery="another", x_github_event="pull_request")

    assert first.status is ReceiptStatus.ACCEPTED
    for receipt in (again, renamed):
        assert receipt.status is ReceiptStatus.DUPLICATE
        assert receipt.event_id == first.event_id
        assert receipt.reason == "this signed body was received before"
    assert await _count(database) == (1, 1)


async def test_another_body_under_the_same_delivery_id_is_another_event(database: Database, push: "Push") -> None:
    one = await _receive(database, push().body)
    other = await _receive(database, push(branch="other").body)

    assert (one.status, other.status) == (ReceiptStatus.ACCEPTED, ReceiptStatus.ACCEPTED)
    assert one.event_id != other.event_id


async def test_while_secrets_change_both_are_good(database: Database) -> None:
    for number, secret in enumerate((SECRET, NEXT_SECRET)):
        body = b'{"n": %d}' % number
        receipt = await receive_github(
            database, headers=_headers(body, secret=secret), body=body, secrets=[NEXT_SECRET, SECRET]
        )
        assert receipt.status is ReceiptStatus.ACCEPTED


BODY = b'{"zen": "Design for failure."}'


@pytest.mark.parametrize(
    ("body", "changed", "error", "message"),
    [
        (BODY, {"x_hub_signature_256": None}, SignatureError, "unsigned"),
        (BODY, {"secret": b"some-other-secret"}, SignatureError, "mismatch"),
        (BODY, {"x_hub_signature_256": sign_github(SECRET, BODY + b" ")}, SignatureError, "mismatch"),
        (b"not json", {"secret": b"some-other-secret"}, SignatureError, "mismatch"),
        (BODY, {"content_type": "application/x-www-form-urlencoded"}, UnsupportedContentTypeError, "form-urlencoded"),
        (BODY, {"content_type": None}, UnsupportedContentTypeError, "no content type"),
        (BODY, {"x_github_event": None}, MalformedPayloadError, "X-GitHub-Event"),
        (BODY, {"x_github_event": "push\n"}, MalformedPayloadError, "X-GitHub-Event"),
        (BODY, {"x_github_event": "../../etc"}, MalformedPayloadError, "X-GitHub-Event"),
        (b"not json", {}, MalformedPayloadError, "not JSON"),
        (b"", {}, MalformedPayloadError, "not JSON"),
        (b"[1, 2]", {}, MalformedPayloadError, "not an object"),
        (b'{"n": 1e999}', {}, MalformedPayloadError, "not JSON"),
        (b"[" * 100_000, {}, MalformedPayloadError, "deep"),
    ],
)
async def test_what_is_not_a_signed_json_delivery_is_refused_and_leaves_no_trace(
    database: Database, body: bytes, changed: dict[str, Any], error: type[ContextenError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        await _receive(database, body, **changed)

    assert 400 <= caught.value.status < 500
    assert await _count(database) == (0, 0)


async def test_without_a_secret_nothing_is_received(database: Database) -> None:
    with pytest.raises(NotConfiguredError, match="no GitHub webhook secret"):
        await receive_github(database, headers=_headers(BODY, secret=b""), body=BODY, secrets=[])

    assert await _count(database) == (0, 0)


async def test_the_content_type_may_have_parameters(database: Database) -> None:
    receipt = await _receive(database, BODY, content_type="Application/JSON; charset=utf-8")

    assert receipt.status is ReceiptStatus.ACCEPTED


@pytest.mark.parametrize(
    ("body", "payload"),
    [
        (rb'{"a": "x\u0000y"}', {"a": "x�y"}),
        (rb'{"\u0000": ["\ud800", "\udc00\ud800"]}', {"�": ["�", "��"]}),
        (rb'{"a": "\ud83d\udc4d"}', {"a": "👍"}),
        (b'{"a": ' + b"7" * 4_000 + b', "b": -0.25}', {"a": int("7" * 4_000), "b": -0.25}),
        (b"{}", {}),
        (b'{"a":' * 100 + b"1" + b"}" * 100, None),
    ],
    ids=["nul", "lone surrogates", "a pair of surrogates", "large numbers", "empty", "deep"],
)
async def test_whatever_json_can_say_is_stored(database: Database, body: bytes, payload: dict[str, Any] | None) -> None:
    receipt = await _receive(database, body)
    event, raw = await _stored(database, receipt.event_id)

    assert event.payload == (json.loads(body) if payload is None else payload)
    assert raw.raw_payload == body


@pytest.mark.parametrize("delivery_id", [None, "", "x" * 101, "a\0b", "ü", "'; DROP TABLE events"])
async def test_a_strange_delivery_id_is_not_kept_as_one(database: Database, delivery_id: str | None) -> None:
    receipt = await _receive(database, BODY, x_github_delivery=delivery_id, user_agent="a\0" + "b" * 5_000)
    event, _ = await _stored(database, receipt.event_id)

    assert event.external_id is None
    assert event.headers is not None
    assert event.headers["user-agent"] == "a�" + "b" * 198


def _ago(**units: float) -> datetime:
    return datetime.now(UTC) - timedelta(**units)


def _linear_body(sent_at: datetime | None, **fields: Any) -> bytes:
    moment = {} if sent_at is None else {"webhookTimestamp": int(sent_at.timestamp() * 1000)}
    return json.dumps({"type": "Issue", "action": "create", "data": {"title": "Tax"}, **moment, **fields}).encode()


async def _linear(
    database: Database, body: bytes, *, secret: bytes = SECRET, handlers: HandlerRegistry | None = None, **changed: str
) -> Receipt:
    headers = {
        "content-type": "application/json; charset=utf-8",
        "linear-delivery": "234d1a4e-b617-4388-90fe-adc3633d6b72",
        "linear-event": "Comment",
        "linear-signature": digest(secret, body, sha256).hex(),
        "authorization": "Basic not-to-be-kept",
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    return await receive_linear(database, headers=headers, body=body, secrets=[SECRET], handlers=handlers)


async def test_a_delivery_of_linears_is_stored_under_the_type_in_its_signed_body(database: Database) -> None:
    body = _linear_body(_ago(seconds=1))
    receipt = await _linear(database, body)
    event, raw = await _stored(database, receipt.event_id)

    assert (receipt.status, receipt.reason) == (ReceiptStatus.ACCEPTED, None)
    assert (event.event_type, event.provider, event.status) == ("Issue", EventProvider.LINEAR, EventStatus.PENDING)
    assert event.external_id == "234d1a4e-b617-4388-90fe-adc3633d6b72"
    assert event.payload == json.loads(body)
    assert event.headers is not None
    assert set(event.headers) == {"content-type", "linear-delivery", "linear-event"}
    assert (raw.raw_payload, raw.content_type) == (body, "application/json")


async def test_13_linears_retries_of_a_stored_delivery_are_duplicates(database: Database) -> None:
    body = _linear_body(_ago(hours=1))
    first, again = await _linear(database, body), await _linear(database, body, linear_delivery="another")

    assert (first.status, again.status) == (ReceiptStatus.ACCEPTED, ReceiptStatus.DUPLICATE)
    assert again.event_id == first.event_id
    assert await _count(database) == (1, 1)


@pytest.mark.parametrize("age", [timedelta(minutes=1, seconds=5), timedelta(hours=7, minutes=2)])
async def test_linears_retry_of_what_was_never_stored_is_accepted(database: Database, age: timedelta) -> None:
    receipt = await _linear(database, _linear_body(datetime.now(UTC) - age))

    assert receipt.status is ReceiptStatus.ACCEPTED


@pytest.mark.parametrize(
    ("build", "changed", "error", "message"),
    [
        (lambda: _linear_body(_ago(seconds=1)), {"secret": b"some-other-secret"}, SignatureError, "mismatch"),
        (lambda: _linear_body(_ago(seconds=1)), {"linear_signature": ""}, SignatureError, "unsigned"),
        (lambda: _linear_body(_ago(seconds=1) - LINEAR_RETRIES), {}, SignatureError, "stale"),
        (lambda: _linear_body(_ago(hours=-1)), {}, SignatureError, "stale"),
        (lambda: _linear_body(None), {}, SignatureError, "stale"),
        (lambda: b"not json", {}, MalformedPayloadError, "not JSON"),
        (lambda: b"[]", {}, MalformedPayloadError, "not an object"),
        (lambda: _linear_body(_ago(seconds=1), type=None), {}, MalformedPayloadError, "no type"),
        (lambda: _linear_body(_ago(seconds=1), type="Issue\n"), {}, MalformedPayloadError, "no type"),
        (lambda: _linear_body(_ago(seconds=1)), {"content_type": "text/plain"}, UnsupportedContentTypeError, "plain"),
    ],
)
async def test_13_what_linear_did_not_sign_now_is_refused_and_leaves_no_trace(
    database: Database,
    build: Callable[[], bytes],
    changed: dict[str, Any],
    error: type[ContextenError],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        await _linear(database, build(), **changed)

    assert await _count(database) == (0, 0)


MENTION = {"type": "app_mention", "text": "<@W111> is main broken?", "channel": "C111", "ts": "1595926230.009600"}
DELIVERY = {"type": "event_callback", "event_id": "Ev04SPP46R6J", "team_id": "T111", "event": MENTION}


async def _slack(
    database: Database,
    body: bytes,
    *,
    secret: bytes = SECRET,
    sent_at: datetime | None = None,
    handlers: HandlerRegistry | None = None,
    **changed: str,
) -> Receipt | Challenge:
    timestamp = f"{(sent_at or datetime.now(UTC)).timestamp():.0f}"
    headers = {
        "content-type": "application/json",
        "x-slack-request-timestamp": timestamp,
        "x-slack-signature": f"v0={digest(secret, f'v0:{timestamp}:'.encode() + body, sha256).hex()}",
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    return await receive_slack(database, headers=headers, body=body, secrets=[SECRET], handlers=handlers)


async def _slack_receipt(database: Database, body: bytes, **changed: Any) -> Receipt:
    receipt = await _slack(database, body, **changed)
    assert isinstance(receipt, Receipt)
    return receipt


async def test_a_delivery_of_slacks_is_stored_under_the_type_of_its_inner_event(database: Database) -> None:
    body = json.dumps(DELIVERY).encode()
    receipt = await _slack_receipt(database, body)
    event, raw = await _stored(database, receipt.event_id)

    assert receipt.status is ReceiptStatus.ACCEPTED
    assert (event.event_type, event.provider, event.external_id) == ("app_mention", EventProvider.SLACK, "Ev04SPP46R6J")
    assert event.payload == DELIVERY
    assert event.headers is not None
    assert set(event.headers) == {"content-type", "x-slack-request-timestamp"}
    assert raw.raw_payload == body


async def test_13_slacks_retry_of_a_stored_event_is_a_duplicate_though_it_is_signed_anew(database: Database) -> None:
    body = json.dumps(DELIVERY).encode()
    first = await _slack_receipt(database, body, sent_at=_ago(seconds=60))
    again = await _slack_receipt(database, body, x_slack_retry_num="1", x_slack_retry_reason="http_timeout")

    assert (first.status, again.status) == (ReceiptStatus.ACCEPTED, ReceiptStatus.DUPLICATE)
    assert again.event_id == first.event_id


async def test_slacks_retry_of_what_was_never_stored_is_accepted(database: Database) -> None:
    receipt = await _slack_receipt(database, json.dumps(DELIVERY).encode(), x_slack_retry_num="3")
    event, _ = await _stored(database, receipt.event_id)

    assert receipt.status is ReceiptStatus.ACCEPTED
    assert event.headers is not None
    assert event.headers["x-slack-retry-num"] == "3"


@pytest.mark.parametrize("event", [{"type": "message"}, {"type": "message", "user": None, "text": None}])
async def test_17_slack_events_without_user_and_text_are_stored(database: Database, event: dict[str, Any]) -> None:
    receipt = await _slack_receipt(database, json.dumps({"type": "event_callback", "event": event}).encode())

    assert receipt.status is ReceiptStatus.ACCEPTED


async def test_a_challenge_is_answered_and_not_stored(database: Database) -> None:
    body = json.dumps({"type": "url_verification", "challenge": "3eZbrw1aBm2rZgRNFdxV", "token": "t"}).encode()

    assert await _slack(database, body) == Challenge("3eZbrw1aBm2rZgRNFdxV")
    assert await _count(database) == (0, 0)


FORM = "application/x-www-form-urlencoded"


async def test_an_interaction_is_the_json_in_its_form(database: Database) -> None:
    click = {"type": "block_actions", "user": {"id": "W111"}, "actions": [{"value": "a&b=ü"}]}
    receipt = await _slack_receipt(database, urlencode({"payload": json.dumps(click)}).encode(), content_type=FORM)
    event, raw = await _stored(database, receipt.event_id)

    assert (event.event_type, event.payload, event.external_id) == ("block_actions", click, None)
    assert raw.content_type == FORM


async def test_a_slash_command_is_the_fields_of_its_form(database: Database) -> None:
    command = {"command": "/deploy", "text": "", "user_id": "U1", "channel_id": "C1"}
    receipt = await _slack_receipt(database, urlencode(command).encode(), content_type=f"{FORM}; charset=utf-8")
    event, _ = await _stored(database, receipt.event_id)

    assert (event.event_type, event.payload) == ("slash_command", command)


GOOD = json.dumps(DELIVERY).encode()


@pytest.mark.parametrize(
    ("body", "changed", "error", "message"),
    [
        (GOOD, {"secret": b"some-other-secret"}, SignatureError, "mismatch"),
        (GOOD, {"x_slack_signature": ""}, SignatureError, "unsigned"),
        (GOOD, {"x_slack_request_timestamp": "1531420618"}, SignatureError, "mismatch"),
        (GOOD, {"sent_at": _ago(hours=1)}, SignatureError, "stale"),
        (GOOD, {"sent_at": _ago(hours=-1)}, SignatureError, "stale"),
        (b'{"type": "url_verification", "challenge": "x"}', {"secret": b"another"}, SignatureError, "mismatch"),
        (b'{"type": "url_verification", "challenge": 7}', {}, MalformedPayloadError, "no challenge"),
        (GOOD, {"content_type": "text/plain"}, UnsupportedContentTypeError, "text/plain"),
        (b"not json", {}, MalformedPayloadError, "not JSON"),
        (b"{}", {}, MalformedPayloadError, "no type"),
        (b'{"type": "No Type"}', {}, MalformedPayloadError, "no type"),
        (b"payload=not+json", {"content_type": FORM}, MalformedPayloadError, "not JSON"),
        (b"payload=%ff", {"content_type": FORM}, MalformedPayloadError, "not a form"),
        (b"\xff=1", {"content_type": FORM}, MalformedPayloadError, "not a form"),
        (b"a=1&" * 101, {"content_type": FORM}, MalformedPayloadError, "not a form"),
        (b"text=main", {"content_type": FORM}, MalformedPayloadError, "neither"),
    ],
)
async def test_13_what_slack_did_not_sign_now_is_refused_and_leaves_no_trace(
    database: Database, body: bytes, changed: dict[str, Any], error: type[ContextenError], message: str
) -> None:
    with pytest.raises(error, match=message):
        await _slack(database, body, **changed)

    assert await _count(database) == (0, 0)


@pytest.mark.parametrize(
    ("receive", "setting"), [(receive_linear, "LINEAR_WEBHOOK_SECRET"), (receive_slack, "SLACK_SIGNING_SECRET")]
)
async def test_without_a_secret_nothing_of_the_others_is_received_either(
    database: Database, receive: Any, setting: str
) -> None:
    with pytest.raises(NotConfiguredError) as caught:
        await receive(database, headers={}, body=b"{}", secrets=[])

    assert caught.value.status == 404
    assert caught.value.hint == f"set {setting}"


def _handler(provider: EventProvider, wanted: str) -> Handler:
    return Handler(f"{provider.value}:{wanted}", provider, lambda event_type, _: event_type == wanted, print)


async def _queued(database: Database) -> list[tuple[str, UUID, HandlerStatus]]:
    async with database.reading() as session:
        rows = (await session.execute(select(EventHandlerModel).order_by(EventHandlerModel.handler_name))).scalars()
        return [(row.handler_name, row.event_id, row.status) for row in rows]


async def test_functions_registered_for_an_event_are_queued_with_it_once(database: Database) -> None:
    github, linear, slack = EventProvider.GITHUB, EventProvider.LINEAR, EventProvider.SLACK
    registry = HandlerRegistry()
    for provider, wanted in (
        (github, "push"),
        (github, "ping"),
        (linear, "Issue"),
        (slack, "app_mention"),
        (slack, "push"),
    ):
        registry.add(_handler(provider, wanted))
    push = _headers(BODY)
    for _ in range(2):
        pushed = await receive_github(database, headers=push, body=BODY, secrets=[SECRET], handlers=registry)
    issue = await _linear(database, _linear_body(_ago(seconds=1)), handlers=registry)
    mention = await _slack_receipt(database, GOOD, handlers=registry)

    assert await _queued(database) == [
        ("github:push", pushed.event_id, HandlerStatus.PENDING),
        ("linear:Issue", issue.event_id, HandlerStatus.PENDING),
        ("slack:app_mention", mention.event_id, HandlerStatus.PENDING),
    ]


async def test_a_body_can_be_kept_encrypted(database: Database, tmp_path: Path) -> None:
    vault = open_vault(Settings(home=tmp_path, secret_key=SecretStr("a key of these tests alone")))
    body = b'{"zen": "Speak like a human."}'
    headers = {
        "content-type": "application/json",
        "x-github-event": "ping",
        "x-hub-signature-256": sign_github(SECRET.decode(), body),
    }

    receipt = await receive_github(database, headers=headers, body=body, secrets=[SECRET], vault=vault)

    async with database.reading() as session:
        kept = (await session.execute(select(EventPayloadModel))).scalar_one()
        assert b"human" not in kept.raw_payload
        assert kept.size_bytes == len(body)
        assert await store.raw_payload(session, receipt.event_id, vault=vault) == body
