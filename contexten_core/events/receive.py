"""Receive a delivery: verify, store durably, answer. Nothing else happens before the sender is told."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from uuid import UUID, uuid4

from contexten_core.db import Database, utc_now
from contexten_core.errors import MalformedPayloadError, NotConfiguredError, SignatureError, UnsupportedContentTypeError
from contexten_core.events import store
from contexten_core.events.models import EventProvider
from contexten_core.security.json import parse_object
from contexten_core.security.signatures import Verdict, verify_github

_EVENT_TYPE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_DELIVERY_ID = re.compile(r"[A-Za-z0-9-]{1,100}")
_KEPT_HEADERS = ("content-type", "user-agent", "x-github-delivery", "x-github-event", "x-github-hook-id")
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


async def receive_github(
    database: Database, *, headers: Mapping[str, str], body: bytes, secrets: Iterable[bytes]
) -> Receipt:
    """Store a GitHub delivery, once per signed body, and return when it is committed.

    The digest of the body is the key, because only the body is signed: the same body under another delivery id or
    event header is the same delivery. `headers` has lower-case names.

    Raises:
        NotConfiguredError: no webhook secret is configured.
        SignatureError: unsigned, or signed with a secret we do not know.
        UnsupportedContentTypeError: not sent as `application/json`.
        MalformedPayloadError: signed, but not a JSON object, or without an event type.
    """
    known = tuple(secrets)
    if not known:
        raise NotConfiguredError("no GitHub webhook secret is configured", hint="set GITHUB_WEBHOOK_SECRET")
    verdict = verify_github(headers=headers, body=body, secrets=known)
    if verdict is not Verdict.VALID:
        raise SignatureError(
            f"the delivery's signature is not valid: {verdict.value}",
            hint="the webhook's secret at GitHub must equal GITHUB_WEBHOOK_SECRET",
        )
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise UnsupportedContentTypeError(
            f"the delivery came as {content_type[:100] or 'no content type'!r}",
            hint="set the webhook's content type at GitHub to application/json",
        )
    event_type = headers.get("x-github-event", "")
    if not _EVENT_TYPE.fullmatch(event_type):
        raise MalformedPayloadError("the X-GitHub-Event header is missing or no event type")
    payload = parse_object(body)
    delivery_id = headers.get("x-github-delivery", "")
    digest = sha256(body).hexdigest()
    event_id = uuid4()
    async with database.transaction() as session:
        stored = await store.insert_delivery(
            session,
            event_id=event_id,
            provider=EventProvider.GITHUB,
            event_type=event_type,
            external_id=delivery_id if _DELIVERY_ID.fullmatch(delivery_id) else None,
            digest=digest,
            payload=payload,
            headers={name: headers[name][:_HEADER_LIMIT] for name in _KEPT_HEADERS if name in headers},
            body=body,
            content_type=content_type,
            now=utc_now(),
        )
        if stored:
            return Receipt(ReceiptStatus.ACCEPTED, event_id)
        original = await store.find_by_digest(session, provider=EventProvider.GITHUB, digest=digest)
    return Receipt(ReceiptStatus.DUPLICATE, original, "this signed body was received before")
