"""Read a delivery of one of the sources that the settings name: a deployment, or an event of any other kind."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contexten_core.events.delivery import Delivery
from contexten_core.events.models import EventProvider
from contexten_core.events.receive_body import JSON, UNKNOWN, accepted_type, kept_headers, read_json, refused
from contexten_core.security.signatures import Verdict
from contexten_core.security.signatures_standard import (
    STANDARD_ID_HEADER,
    verify_bearer,
    verify_hmac,
    verify_standard,
)
from contexten_core.settings import Settings
from contexten_core.settings.ingress import DeploymentSource

DEPLOYMENT = "deployment"
SOURCE_HEADER = "x-contexten-source"
"""Among the headers of a stored delivery, the name of the source that proved to have sent it."""

_EVENT_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_MESSAGE_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
_TELLING = (Verdict.VALID, Verdict.STALE, Verdict.MISMATCH, Verdict.UNSIGNED)


@dataclass(frozen=True, slots=True)
class _Sender:
    """A source that proved itself, and what its proof covers beside the body: a name for the message, a type."""

    source: str
    message_id: str
    event_type: str | None


def read_deployment(*, headers: Mapping[str, str], body: bytes, settings: Settings, now: datetime) -> Delivery:
    """Return the delivery, under the type that its `type` or `event` field says, or else `deployment`.

    Who sent it is told by what verifies, never by a hint. Its key is the source, what that calls the message as far as
    its scheme covers that, and the body.
    """
    sender = _sender(headers, body, settings.deployment_sources, now)
    content_type = accepted_type(headers, JSON, hint=f"send the event as {JSON}")
    content = read_json(body)
    known = DEPLOYMENT if content.problem is None else UNKNOWN
    is_name = _MESSAGE_ID.fullmatch(sender.message_id)
    return Delivery(
        provider=EventProvider.DEPLOYMENT,
        event_type=_event_type(content.payload) or sender.event_type or known,
        payload=content.payload,
        headers={**kept_headers(headers), SOURCE_HEADER: sender.source},
        content_type=content_type,
        body=body,
        key=_framed(sender.source, sender.message_id) + body,
        external_id=f"{sender.source}:{sender.message_id}" if is_name else None,
        parked=content.problem,
        received_at=now,
    )


def _sender(headers: Mapping[str, str], body: bytes, sources: Mapping[str, DeploymentSource], now: datetime) -> _Sender:
    verdicts = {name: _verdict(source, headers, body, now) for name, source in sources.items()}
    name, verdict = min(verdicts.items(), key=lambda item: _TELLING.index(item[1]))
    if verdict is not Verdict.VALID:
        raise refused(verdict, hint="it has to be signed as DEPLOYMENT_SOURCES says of one of its sources")
    match sources[name].scheme:
        case "hmac":
            return _Sender(name, "", None)
        case "standard":
            return _Sender(name, headers[STANDARD_ID_HEADER], None)
        case "bearer":
            message_id = headers.get("idempotency-key") or headers.get(STANDARD_ID_HEADER) or ""
            return _Sender(name, message_id, _safe_type(headers.get("x-event-type")))


def _verdict(source: DeploymentSource, headers: Mapping[str, str], body: bytes, now: datetime) -> Verdict:
    match source.scheme:
        case "hmac":
            return verify_hmac(
                headers=headers, body=body, secrets=source.secrets, header=source.header, prefix=source.prefix
            )
        case "standard":
            return verify_standard(headers=headers, body=body, secrets=source.secrets, now=now)
        case "bearer":
            return verify_bearer(headers=headers, secrets=source.secrets)


def _event_type(payload: Mapping[str, Any]) -> str | None:
    return next((kind for field in ("type", "event") if (kind := _safe_type(payload.get(field)))), None)


def _safe_type(given: object) -> str | None:
    return given if isinstance(given, str) and _EVENT_TYPE.fullmatch(given) else None


def _framed(*parts: str) -> bytes:
    """Return parts so that no two sets of them are the same bytes: each after its length."""
    encoded = [part.encode("utf-8", "replace") for part in parts]
    return b"".join(b"%d:%b" % (len(part), part) for part in encoded)
