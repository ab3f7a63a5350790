"""Receive a delivery: verify, store durably, answer. Nothing else happens before the sender is told."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import Database, utc_now
from contexten_core.errors import MalformedPayloadError, NotConfiguredError, SignatureError, UnsupportedContentTypeError
from contexten_core.events import store
from contexten_core.events.functions import queue
from contexten_core.events.handlers import HandlerRegistry
from contexten_core.events.models import EventProvider
from contexten_core.events.normalise_slack import URL_VERIFICATION, slack_event_type
from contexten_core.security.encryption import Vault
from contexten_core.security.json import parse_object
from contexten_core.security.signatures import (
    LINEAR_TOLERANCE,
    Verdict,
    linear_sent_at,
    verify_github,
    verify_linear,
    verify_slack,
)

LINEAR_RETRIES = timedelta(hours=7, minutes=15)
"""Linear sends a delivery that failed again after 1 minute, 1 hour and 6 hours, with the same bytes."""

_EVENT_TYPE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_LINEAR_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_DELIVERY_ID = re.compile(r"[A-Za-z0-9-]{1,100}")
_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_MOST_FORM_FIELDS = 100
_KEPT_HEADERS = (
    "content-type",
    "user-agent",
    "x-github-delivery",
    "x-github-event",
    "x-github-hook-id",
    "linear-delivery",
    "linear-event",
    "x-slack-request-timestamp",
    "x-slack-retry-num",
    "x-slack-retry-reason",
)
_HEADER_LIMIT = 200


class ReceiptStatus(StrEnum):
    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the sender is told once its delivery is durable."""

    status: ReceiptStatus
    event_id: UUID
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Challenge:
    """What Slack wants to hear back when somebody gives it our address. Nothing is stored."""

    text: str


@dataclass(frozen=True, slots=True)
class _Delivery:
    provider: EventProvider
    event_type: str
    external_id: str | None
    payload: dict[str, Any]
    headers: Mapping[str, str]
    body: bytes


async def receive_github(
    database: Database,
    *,
    headers: Mapping[str, str],
    body: bytes,
    secrets: Iterable[bytes],
    handlers: HandlerRegistry | None = None,
    vault: Vault | None = None,
) -> Receipt:
    """Store a GitHub delivery, once per signed body, and return when it is committed.

    The digest of the body is the key, because only the body is signed: the same body under another delivery id or
    event header is the same delivery. `headers` has lower-case names. The functions registered for the event in
    `handlers` are queued in the same transaction. With `vault` the body is kept encrypted.

    Raises:
        NotConfiguredError: no webhook secret is configured.
        SignatureError: unsigned, or signed with a secret we do not know.
        UnsupportedContentTypeError: not sent as `application/json`.
        MalformedPayloadError: signed, but not a JSON object, or without an event type.
    """
    known = _known(secrets, "GitHub", "GITHUB_WEBHOOK_SECRET")
    verdict = verify_github(headers=headers, body=body, secrets=known)
    if verdict is not Verdict.VALID:
        raise _refused(verdict, hint="the webhook's secret at GitHub must equal GITHUB_WEBHOOK_SECRET")
    _content_type(headers, _JSON, hint="set the webhook's content type at GitHub to application/json")
    event_type = headers.get("x-github-event", "")
    if not _EVENT_TYPE.fullmatch(event_type):
        raise MalformedPayloadError("the X-GitHub-Event header is missing or no event type")
    payload = parse_object(body)
    external_id = _delivery_id(headers.get("x-github-delivery"))
    delivery = _Delivery(EventProvider.GITHUB, event_type, external_id, payload, headers, body)
    return await _keep(database, delivery, handlers, vault)


async def receive_linear(
    database: Database,
    *,
    headers: Mapping[str, str],
    body: bytes,
    secrets: Iterable[bytes],
    handlers: HandlerRegistry | None = None,
    vault: Vault | None = None,
) -> Receipt:
    """Store a Linear delivery, once per signed body, and return when it is committed.

    Linear's retries have the bytes, and so the time, of the first attempt. An old body is therefore accepted for as
    long as Linear retries, once: whoever sends it again is told that it is a duplicate.

    Raises:
        NotConfiguredError: no webhook secret is configured.
        SignatureError: unsigned, signed with a secret we do not know, too old even for a retry, or from the future.
        UnsupportedContentTypeError: not sent as `application/json`.
        MalformedPayloadError: signed, but not a JSON object, or without a type.
    """
    known = _known(secrets, "Linear", "LINEAR_WEBHOOK_SECRET")
    now = utc_now()
    verdict = verify_linear(headers=headers, body=body, secrets=known, now=now)
    if verdict in (Verdict.UNSIGNED, Verdict.MISMATCH):
        raise _refused(verdict, hint="the webhook's signing secret at Linear must equal LINEAR_WEBHOOK_SECRET")
    _content_type(headers, _JSON, hint="Linear sends application/json")
    payload = parse_object(body)
    sent_at = linear_sent_at(payload)
    if sent_at is None or not -LINEAR_TOLERANCE <= now - sent_at <= LINEAR_RETRIES:
        raise _refused(Verdict.STALE, hint="webhookTimestamp in the body is missing, too old or ahead of our clock")
    event_type = payload.get("type")
    if not isinstance(event_type, str) or not _LINEAR_TYPE.fullmatch(event_type):
        raise MalformedPayloadError("the body has no type that says what it is about")
    external_id = _delivery_id(headers.get("linear-delivery"))
    delivery = _Delivery(EventProvider.LINEAR, event_type, external_id, payload, headers, body)
    return await _keep(database, delivery, handlers, vault)


async def receive_slack(
    database: Database,
    *,
    headers: Mapping[str, str],
    body: bytes,
    secrets: Iterable[bytes],
    handlers: HandlerRegistry | None = None,
    vault: Vault | None = None,
) -> Receipt | Challenge:
    """Store a Slack delivery, once per signed body, and return when it is committed.

    An event has the type of the inner event (`app_mention`), an interaction its own (`block_actions`), and a slash
    command `slash_command`. A `url_verification` is answered with its challenge. A retry of an event that was never
    stored is an event like any other.

    Raises:
        NotConfiguredError: no signing secret is configured.
        SignatureError: unsigned, signed with a secret we do not know, or not now.
        UnsupportedContentTypeError: neither JSON nor a form.
        MalformedPayloadError: signed, but not what Slack sends.
    """
    known = _known(secrets, "Slack", "SLACK_SIGNING_SECRET")
    verdict = verify_slack(headers=headers, body=body, secrets=known, now=utc_now())
    if verdict is not Verdict.VALID:
        raise _refused(verdict, hint="the app's signing secret at Slack must equal SLACK_SIGNING_SECRET")
    content_type = _content_type(headers, _JSON, _FORM, hint=f"Slack sends {_JSON} or {_FORM}")
    payload = parse_object(body) if content_type == _JSON else _form(body)
    event_type = slack_event_type(payload) or ""
    if not _EVENT_TYPE.fullmatch(event_type):
        raise MalformedPayloadError("the body has no type that says what it is about")
    if event_type == URL_VERIFICATION:
        challenge = payload.get("challenge")
        if not isinstance(challenge, str):
            raise MalformedPayloadError("the url_verification has no challenge")
        return Challenge(challenge)
    external_id = _delivery_id(payload.get("event_id"))
    delivery = _Delivery(EventProvider.SLACK, event_type, external_id, payload, headers, body)
    return await _keep(database, delivery, handlers, vault)


async def _keep(
    database: Database, delivery: _Delivery, handlers: HandlerRegistry | None, vault: Vault | None
) -> Receipt:
    digest = sha256(delivery.body).hexdigest()
    event_id = uuid4()
    async with database.transaction() as session:
        stored = await store.insert_delivery(
            session,
            event_id=event_id,
            provider=delivery.provider,
            event_type=delivery.event_type,
            external_id=delivery.external_id,
            digest=digest,
            payload=delivery.payload,
            headers={
                name: delivery.headers[name][:_HEADER_LIMIT] for name in _KEPT_HEADERS if name in delivery.headers
            },
            body=delivery.body,
            content_type=_media_type(delivery.headers),
            now=utc_now(),
            vault=vault,
        )
        if stored:
            if handlers is not None:
                _queue(session, event_id, delivery, handlers)
            return Receipt(ReceiptStatus.ACCEPTED, event_id)
        original = await store.find_by_digest(session, provider=delivery.provider, digest=digest)
    return Receipt(ReceiptStatus.DUPLICATE, original, "this signed body was received before")


def _queue(session: AsyncSession, event_id: UUID, delivery: _Delivery, handlers: HandlerRegistry) -> None:
    matching = handlers.matching(delivery.provider, delivery.event_type, delivery.payload)
    if matching:
        queue(session, event_id=event_id, handlers=matching)


def _known(secrets: Iterable[bytes], provider: str, setting: str) -> tuple[bytes, ...]:
    known = tuple(secrets)
    if not known:
        raise NotConfiguredError(f"no {provider} webhook secret is configured", hint=f"set {setting}")
    return known


def _refused(verdict: Verdict, *, hint: str) -> SignatureError:
    if verdict is Verdict.STALE:
        return SignatureError("the delivery's signature is stale: it was not made now", hint=hint)
    return SignatureError(f"the delivery's signature is not valid: {verdict.value}", hint=hint)


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _content_type(headers: Mapping[str, str], *accepted: str, hint: str) -> str:
    content_type = _media_type(headers)
    if content_type not in accepted:
        raise UnsupportedContentTypeError(
            f"the delivery came as {content_type[:100] or 'no content type'!r}", hint=hint
        )
    return content_type


def _form(body: bytes) -> dict[str, Any]:
    """Return what a form of Slack's says: the JSON in its `payload` field, or the fields of a slash command."""
    try:
        fields = dict(
            parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FORM_FIELDS)
        )
    except ValueError as error:
        raise MalformedPayloadError(f"the body is not a form: {str(error)[:200]}") from error
    if "payload" in fields:
        return parse_object(fields["payload"].encode())
    if "command" in fields:
        return dict(fields)
    raise MalformedPayloadError("the form has neither a payload nor a command")


def _delivery_id(given: object) -> str | None:
    return given if isinstance(given, str) and _DELIVERY_ID.fullmatch(given) else None
