"""Read a delivery of Linear's."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from contexten_core.events.delivery import Delivery
from contexten_core.events.models import EventProvider
from contexten_core.events.receive_body import (
    JSON,
    UNKNOWN,
    accepted_type,
    delivery_id,
    kept_headers,
    read_json,
    refused,
)
from contexten_core.security.signatures import Verdict, linear_freshness, signed_by_linear
from contexten_core.settings import Settings

LINEAR_MARGIN = timedelta(minutes=2)
"""The last of Linear's retries, 1 minute, 1 hour and 6 hours apart, comes a little after the hours are full."""

_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


def read_linear(*, headers: Mapping[str, str], body: bytes, settings: Settings, now: datetime) -> Delivery:
    """Return the delivery, under the type in its signed body.

    Linear's retries have the bytes, and so the time, of the first attempt. An old body is therefore accepted for as
    long as Linear retries; whoever sends it again is told that it is a duplicate. One that does not say when it was
    sent is refused, but for one that says nothing at all, because it is no JSON object: that is parked.
    """
    secrets = [secret.get_secret_value().encode() for secret in settings.linear_webhook_secrets]
    verdict = signed_by_linear(headers=headers, body=body, secrets=secrets)
    if verdict is not Verdict.VALID:
        raise refused(verdict, hint="the webhook's signing secret at Linear must equal LINEAR_WEBHOOK_SECRET")
    content_type = accepted_type(headers, JSON, hint="Linear sends application/json")
    content = read_json(body)
    payload, problem = content.payload, content.problem
    if problem is None:
        oldest = timedelta(hours=settings.linear_retry_hours) + LINEAR_MARGIN
        if linear_freshness(payload, now=now, oldest=oldest) is not Verdict.VALID:
            raise refused(Verdict.STALE, hint="webhookTimestamp in the body is missing, too old or ahead of our clock")
    event_type = payload.get("type")
    if not isinstance(event_type, str) or not _TYPE.fullmatch(event_type):
        event_type, payload = UNKNOWN, {}
        problem = problem or "the body has no type that says what it is about"
    return Delivery(
        provider=EventProvider.LINEAR,
        event_type=event_type,
        payload=payload,
        headers=kept_headers(headers),
        content_type=content_type,
        body=body,
        key=body,
        external_id=delivery_id(headers.get("linear-delivery")),
        parked=problem,
        received_at=now,
    )
