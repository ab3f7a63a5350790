"""Deliveries, read and stored: as many events as there were signed bodies, each as its sender meant it."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select

from contexten.emulators.signing import sign_github, sign_linear, sign_slack
from contexten_core.db import Database
from contexten_core.events.delivery import Delivery, Receipt, ReceiptStatus
from contexten_core.events.keep import write
from contexten_core.events.models import EventModel, EventPayloadModel, EventProvider
from contexten_core.events.receive import read_delivery
from contexten_core.settings import Settings

DATA = Path(__file__).parents[4] / "shared/data/webhooks"
NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
SECRET = "a-secret-that-is-shared"
SETTINGS = Settings(
    _env_file=None,
    github_webhook_secrets=(SecretStr(SECRET),),
    linear_webhook_secrets=(SecretStr(SECRET),),
    slack_signing_secrets=(SecretStr(SECRET),),
)
JSON, FORM = "application/json", "application/x-www-form-urlencoded"


def _files(pattern: str) -> list[Path]:
    files = sorted(DATA.glob(pattern))
    if not files:
        pytest.skip(f"{DATA / pattern} is not there")
    return files


def _read(provider: EventProvider, body: bytes, headers: Mapping[str, str]) -> Delivery:
    read = read_delivery(provider, headers=headers, body=body, settings=SETTINGS, now=NOW)
    assert isinstance(read, Delivery)
    return read


def _github(body: bytes, event_type: str = "push", **changed: str) -> Delivery:
    headers = {
        "content-type": JSON,
        "x-github-event": event_type,
        "x-hub-signature-256": sign_github(SECRET, body),
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    return _read(EventProvider.GITHUB, body, headers)


def _linear(payload: dict[str, Any]) -> Delivery:
    """Have Linear send this payload now; those before 2022 say when it happened only."""
    if "webhookTimestamp" in payload:
        payload = {**payload, "webhookTimestamp": int(NOW.timestamp() * 1000)}
    else:
        payload = {**payload, "createdAt": NOW.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
    body = json.dumps(payload).encode()
    return _read(EventProvider.LINEAR, body, {"content-type": JSON, "linear-signature": sign_linear(SECRET, body)})


def _slack(payload: dict[str, Any]) -> Delivery:
    """Have Slack send this payload now: events as JSON, everything else in a form."""
    is_event = payload.get("type") == "event_callback"
    body = (json.dumps(payload) if is_event else urlencode({"payload": json.dumps(payload)})).encode()
    moment = int(NOW.timestamp())
    headers = {
        "content-type": JSON if is_event else FORM,
        "x-slack-request-timestamp": str(moment),
        "x-slack-signature": sign_slack(SECRET, body, timestamp=moment),
    }
    return _read(EventProvider.SLACK, body, headers)


async def _stored(database: Database, event_id: UUID) -> tuple[EventModel, EventPayloadModel]:
    async with database.reading() as session:
        event = await session.get(EventModel, event_id)
        statement = select(EventPayloadModel).where(EventPayloadModel.event_id == event_id)
        raw = (await session.execute(statement)).scalar_one()
    assert event is not None
    return event, raw


async def _count(database: Database) -> int:
    async with database.reading() as session:
        statement = select(func.count()).select_from(EventModel).where(EventModel.provider != EventProvider.SYSTEM)
        return (await session.execute(statement)).scalar_one()


async def _keep_all(database: Database, deliveries: Iterable[Delivery]) -> list[Delivery]:
    """Store them in one commit, hold each to be whole and there once, and return them."""
    given = list(deliveries)
    receipts = await write(database, given)
    bodies = {delivery.body for delivery in given}
    assert [receipt.status for receipt in receipts].count(ReceiptStatus.ACCEPTED) == len(bodies)
    assert [delivery.parked for delivery in given] == [None] * len(given)
    assert await _count(database) == len(bodies)
    return given


async def test_every_payload_of_githubs_is_accepted(database: Database) -> None:
    files = _files("github/*/*.payload.json")
    kept = await _keep_all(database, (_github(file.read_bytes(), file.parent.name) for file in files))

    assert {delivery.event_type for delivery in kept} == {file.parent.name for file in files}


async def test_every_payload_of_linears_old_or_new_is_accepted(database: Database) -> None:
    payloads = [json.loads(file.read_bytes()) for file in _files("linear/*/*.json")]
    kept = await _keep_all(database, map(_linear, payloads))

    assert [delivery.event_type for delivery in kept] == [payload["type"] for payload in payloads]


async def test_every_payload_of_slacks_is_accepted(database: Database) -> None:
    payloads = [json.loads(file.read_bytes())["payload"] for file in _files("slack/*.json")]
    kept = await _keep_all(database, map(_slack, payloads))

    assert [delivery.payload for delivery in kept] == payloads


async def _receive(database: Database, delivery: Delivery) -> Receipt:
    (receipt,) = await write(database, [delivery])
    return receipt


async def test_header_permutations_of_a_captured_delivery_have_no_effect(database: Database) -> None:
    body = b'{"zen": "Design for failure."}'
    first = await _receive(database, _github(body, x_github_delivery="72d3162e-cc78-11e3-81ab-4c9367dc0958"))
    permuted = [
        _github(body, event_type, x_github_delivery=f"{number}", x_github_hook_id=f"{number}", user_agent="me")
        for event_type in ("push", "ping", "pull_request", "deployment", "unknown")
        for number in range(200)
    ]
    receipts = await write(database, permuted)

    assert {(receipt.status, receipt.event_id) for receipt in receipts} == {(ReceiptStatus.DUPLICATE, first.event_id)}
    event, _ = await _stored(database, first.event_id)
    assert (event.event_type, event.external_id) == ("push", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
    assert await _count(database) == 1


@pytest.mark.parametrize(
    ("body", "payload"),
    [
        (rb'{"a": "x\u0000y"}', {"a": "x�y"}),
        (rb'{"\u0000": ["\ud800", "\udc00\ud800"]}', {"�": ["�", "��"]}),
        (rb'{"a": "\ud83d\udc4d"}', {"a": "👍"}),
        (b'{"a": ' + b"7" * 4_000 + b', "b": -0.25}', {"a": int("7" * 4_000), "b": -0.25}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b"{}", {}),
        (b'{"a":' * 100 + b"1" + b"}" * 100, None),
    ],
    ids=["nul", "lone surrogates", "a pair of surrogates", "large numbers", "twice", "empty", "deep"],
)
async def test_whatever_json_can_say_is_stored(database: Database, body: bytes, payload: dict[str, Any] | None) -> None:
    receipt = await _receive(database, _github(body))
    event, raw = await _stored(database, receipt.event_id)

    assert event.payload == (json.loads(body) if payload is None else payload)
    assert (raw.raw_payload, event.parked_at) == (body, None)


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b"[" * 100_000, b"\xff\xfe\x00", b"null"],
    ids=["empty", "no JSON", "deep", "no UTF-8", "no object"],
)
async def test_what_cannot_be_read_is_stored_for_a_person(database: Database, body: bytes) -> None:
    receipt = await _receive(database, _github(body))
    event, raw = await _stored(database, receipt.event_id)

    assert receipt.status is ReceiptStatus.ACCEPTED
    assert (event.event_type, event.payload) == ("push", {})
    assert event.parked_at is not None
    assert (event.reason or "").startswith("the body is")
    assert raw.raw_payload == body
