import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
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
from contexten_core.events.models import EventModel, EventPayloadModel, EventProvider, EventStatus
from contexten_core.events.receive import Receipt, ReceiptStatus, receive_github

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
