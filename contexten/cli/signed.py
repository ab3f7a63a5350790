"""Make the request with which a sender would deliver a payload: its body, its headers and its signature."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from pydantic import SecretStr

from contexten.emulators.deliveries import GitHubDelivery, compact
from contexten.emulators.linear_deliveries import LinearDelivery
from contexten.emulators.signing import sign_linear, sign_standard
from contexten.emulators.slack_deliveries import FORM, JSON, SlackDelivery
from contexten_core.errors import ConfigurationError, MalformedPayloadError
from contexten_core.events.models import EventProvider
from contexten_core.security.json import parse_object
from contexten_core.settings import Settings
from contexten_core.settings.ingress import DeploymentSource, scopes


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be delivered.

    Attributes:
        content: the payload's JSON; with `raw` the bytes to be sent as they are.
        event: what GitHub puts in its header; the others say it in the body, where it is put if it is missing.
        delivery_id: a new one when left out.
        source: which of the deployment sources sends; not needed when there is one only.
    """

    content: bytes
    raw: bool = False
    event: str | None = None
    delivery_id: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as its sender would make it. `note` says what was changed so that it can be taken now."""

    path: str
    body: bytes
    headers: Mapping[str, str]
    delivery_id: str | None
    note: str | None = None


def sign(provider: EventProvider, wish: Wish, *, settings: Settings, now: datetime) -> SignedRequest:
    """Return the request for a payload, signed with the provider's newest secret.

    Raises:
        ConfigurationError: there is no secret to sign with, or no such source; or something was asked for that this
            sender does not have.
        MalformedPayloadError: the content is not JSON, or is about something else than was said.
    """
    if provider not in _SIGNERS:
        known = ", ".join(name.value for name in _SIGNERS)
        raise ConfigurationError(f"{provider.value} sends no webhooks", hint=f"these do: {known}")
    return _SIGNERS[provider](wish, settings, now)


def _github(wish: Wish, settings: Settings, _now: datetime) -> SignedRequest:
    if wish.event is None:
        raise ConfigurationError("GitHub says in a header which event it sends", hint="say which: --event push")
    payload = {} if wish.raw else _payload(wish)
    delivery = GitHubDelivery(
        event=wish.event,
        payload=payload,
        delivery_id=wish.delivery_id or str(uuid4()),
        raw=wish.content if wish.raw else None,
    )
    secret = _newest(settings.github_webhook_secrets) or _scoped_secret(settings, payload)
    headers = delivery.headers(_needed(secret, "GitHub", "GITHUB_WEBHOOK_SECRET"))
    return SignedRequest("/github/events", delivery.body, headers, delivery.delivery_id)


def _scoped_secret(settings: Settings, payload: Mapping[str, Any]) -> bytes | None:
    """Return the secret of the payload's repository, or of its owner."""
    repository = payload.get("repository")
    full_name = str(repository.get("full_name") if isinstance(repository, Mapping) else "").lower()
    secrets = dict(reversed(scopes(settings.github_scoped_secrets)))
    return secrets.get(full_name) or secrets.get(full_name.partition("/")[0])


def _linear(wish: Wish, settings: Settings, now: datetime) -> SignedRequest:
    secret = _needed(_newest(settings.linear_webhook_secrets), "Linear", "LINEAR_WEBHOOK_SECRET")
    payload: dict[str, Any] = {"type": wish.event or ""}
    note = None
    if not wish.raw:
        payload = _typed(_payload(wish), wish.event, "type")
        if "webhookTimestamp" in payload:
            note = "webhookTimestamp was set to now: a body from another time is not taken (--raw leaves it alone)"
        payload["webhookTimestamp"] = int(now.timestamp() * 1000)
    delivery = LinearDelivery(
        payload=payload, delivery_id=wish.delivery_id or str(uuid4()), raw=wish.content if wish.raw else None
    )
    return SignedRequest("/linear/events", delivery.body, delivery.headers(secret), delivery.delivery_id, note)


def _slack(wish: Wish, settings: Settings, now: datetime) -> SignedRequest:
    secret = _needed(_newest(settings.slack_signing_secrets), "Slack", "SLACK_SIGNING_SECRET")
    if wish.raw:
        form = FORM if not wish.content.lstrip().startswith(b"{") else JSON
        delivery = SlackDelivery(event="", body=wish.content, content_type=form)
    else:
        payload = _payload(wish)
        if wish.delivery_id is not None:
            payload["event_id"] = wish.delivery_id
        delivery = SlackDelivery.of_payload(payload)
        if wish.event is not None:
            _must_agree(wish.event, delivery.event)
    return SignedRequest("/slack/events", delivery.body, delivery.headers(secret, at=now), wish.delivery_id)


def _deployment(wish: Wish, settings: Settings, now: datetime) -> SignedRequest:
    source = _source(wish.source, settings.deployment_sources)
    body = wish.content if wish.raw else compact(_typed(_payload(wish), wish.event, "type", "event"))
    secret, headers = source.secrets[0], {"Content-Type": JSON}
    delivery_id = wish.delivery_id
    match source.scheme:
        case "hmac":
            if delivery_id is not None:
                raise ConfigurationError(
                    "a source that signs the body alone has no delivery ids", hint="leave --delivery-id out"
                )
            # HMAC-SHA256 of the body in hex, as in Linear's own header.
            headers[source.header] = source.prefix + sign_linear(secret, body)
        case "bearer":
            headers["Authorization"] = f"Bearer {secret.decode()}"
            if delivery_id is not None:
                headers["Idempotency-Key"] = delivery_id
        case "standard":
            delivery_id, timestamp = delivery_id or f"msg_{uuid4().hex}", int(now.timestamp())
            headers |= {
                "webhook-id": delivery_id,
                "webhook-timestamp": str(timestamp),
                "webhook-signature": sign_standard(secret, body, message_id=delivery_id, timestamp=timestamp),
            }
    return SignedRequest("/deployments/events", body, headers, delivery_id)


def _source(name: str | None, sources: Mapping[str, DeploymentSource]) -> DeploymentSource:
    if not sources:
        raise ConfigurationError("no deployment source is configured here", hint="DEPLOYMENT_SOURCES names them")
    known = ", ".join(sorted(sources))
    if name is None and len(sources) > 1:
        raise ConfigurationError("there is more than one deployment source", hint=f"say which: --source {known}")
    if name is not None and name not in sources:
        raise ConfigurationError(f"there is no deployment source {name!r}", hint=f"DEPLOYMENT_SOURCES has: {known}")
    return sources[name or known]


def _typed(payload: dict[str, Any], event: str | None, *fields: str) -> dict[str, Any]:
    """Return a payload that says what it is about, by the first of these fields that it has."""
    said = next((payload[name] for name in fields if name in payload), None)
    if event is None or said == event:
        return payload
    if said is not None:
        _must_agree(event, said)
    return {fields[0]: event, **payload}


def _must_agree(event: str, said: object) -> None:
    if event != said:
        raise MalformedPayloadError(
            f"--event says {event!r}, and the payload {said!r}", hint="this sender says it in the body; leave it out"
        )


def _payload(wish: Wish) -> dict[str, Any]:
    try:
        return parse_object(wish.content)
    except MalformedPayloadError as error:
        raise MalformedPayloadError(
            f"the payload cannot be sent: {error.message}", hint="--raw sends the bytes as they are"
        ) from error


def _newest(secrets: tuple[SecretStr, ...]) -> bytes | None:
    return secrets[0].get_secret_value().encode() if secrets else None


def _needed(secret: bytes | None, provider: str, variable: str) -> bytes:
    if secret is None:
        raise ConfigurationError(
            f"there is no webhook secret of {provider} here to sign with", hint=f"set {variable} to the server's"
        )
    return secret


_SIGNERS: Mapping[EventProvider, Callable[[Wish, Settings, datetime], SignedRequest]] = {
    EventProvider.GITHUB: _github,
    EventProvider.LINEAR: _linear,
    EventProvider.SLACK: _slack,
    EventProvider.DEPLOYMENT: _deployment,
}
