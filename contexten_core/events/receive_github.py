"""Read a delivery of GitHub's."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from contexten_core.errors import MalformedPayloadError, SignatureError
from contexten_core.events.delivery import Delivery
from contexten_core.events.models import EventProvider
from contexten_core.events.receive_body import (
    JSON,
    accepted_type,
    delivery_id,
    event_name,
    kept_headers,
    read_json,
    refused,
)
from contexten_core.security.signatures import Verdict, prove_github
from contexten_core.settings import Settings
from contexten_core.settings.ingress import scopes

_OWNERS = (("organization", "login"), ("installation", "account", "login"))


def read_github(*, headers: Mapping[str, str], body: bytes, settings: Settings, now: datetime) -> Delivery:
    """Return the delivery, under the event type in its header; its key is the body, because only that is signed.

    A secret of one organisation or repository speaks for what the payload says to come from there, and nothing else.
    """
    general = [secret.get_secret_value().encode() for secret in settings.github_webhook_secrets]
    scoped = scopes(settings.github_scoped_secrets)
    proof = prove_github(headers=headers, body=body, secrets=[*general, *(secret for _, secret in scoped)])
    if proof.verdict is not Verdict.VALID:
        raise refused(proof.verdict, hint="the webhook's secret at GitHub must equal GITHUB_WEBHOOK_SECRET")
    content_type = accepted_type(headers, JSON, hint="set the webhook's content type at GitHub to application/json")
    event_type = event_name(headers.get("x-github-event"))
    if event_type is None:
        raise MalformedPayloadError("the X-GitHub-Event header is missing or no event type")
    content = read_json(body)
    if min(proof.matched) >= len(general):
        _require_scope(content.payload, {scoped[place - len(general)][0] for place in proof.matched})
    return Delivery(
        provider=EventProvider.GITHUB,
        event_type=event_type,
        payload=content.payload,
        headers=kept_headers(headers),
        content_type=content_type,
        body=body,
        key=body,
        external_id=delivery_id(headers.get("x-github-delivery")),
        parked=content.problem,
        received_at=now,
    )


def _require_scope(payload: Mapping[str, Any], granted: set[str]) -> None:
    """Raise SignatureError unless a payload is about what one of these secrets speaks for."""
    repository = _text(payload, "repository", "full_name")
    owner = next((name for path in _OWNERS if (name := _text(payload, *path))), "")
    named = {repository, repository.partition("/")[0]} if repository else {owner}
    if granted.isdisjoint(name.lower() for name in named):
        raise SignatureError(
            "the delivery's signature is not valid: its secret is that of another organisation or repository",
            hint="each secret of GITHUB_SCOPED_SECRETS speaks for one organisation or repository only",
        )


def _text(payload: Mapping[str, Any], *path: str) -> str:
    value: Any = payload
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else ""
