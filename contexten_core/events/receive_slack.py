"""Read a delivery of Slack's: an event, an interaction, a slash command."""

from collections.abc import Mapping
from datetime import datetime

from contexten_core.errors import MalformedPayloadError
from contexten_core.events.delivery import Challenge, Delivery
from contexten_core.events.models import EventProvider
from contexten_core.events.normalise_slack import URL_VERIFICATION, slack_event_type
from contexten_core.events.receive_body import (
    FORM,
    JSON,
    UNKNOWN,
    Content,
    accepted_type,
    delivery_id,
    event_name,
    kept_headers,
    read_form,
    read_json,
    refused,
)
from contexten_core.security.signatures import Verdict, verify_slack
from contexten_core.settings import Settings


def read_slack(*, headers: Mapping[str, str], body: bytes, settings: Settings, now: datetime) -> Delivery | Challenge:
    """Return the delivery, or the challenge of a `url_verification`, which is signed like everything else.

    An event has the type of the inner event (`app_mention`), an interaction its own (`block_actions`), and a slash
    command `slash_command`. A retry is a delivery like any other.
    """
    secrets = [secret.get_secret_value().encode() for secret in settings.slack_signing_secrets]
    verdict = verify_slack(headers=headers, body=body, secrets=secrets, now=now)
    if verdict is not Verdict.VALID:
        raise refused(verdict, hint="the app's signing secret at Slack must equal SLACK_SIGNING_SECRET")
    content_type = accepted_type(headers, JSON, FORM, hint=f"Slack sends {JSON} or {FORM}")
    content = read_json(body) if content_type == JSON else _of_form(body)
    event_type = event_name(slack_event_type(content.payload))
    challenge = content.payload.get("challenge")
    if event_type == URL_VERIFICATION and isinstance(challenge, str):
        return Challenge(challenge)
    if event_type is None or event_type == URL_VERIFICATION:
        missing = "type that says what it is about" if event_type is None else "challenge"
        event_type, content = event_type or UNKNOWN, Content({}, content.problem or f"the body has no {missing}")
    return Delivery(
        provider=EventProvider.SLACK,
        event_type=event_type,
        payload=content.payload,
        headers=kept_headers(headers),
        content_type=content_type,
        body=body,
        key=body,
        external_id=delivery_id(content.payload.get("event_id")),
        parked=content.problem,
        received_at=now,
    )


def _of_form(body: bytes) -> Content:
    """Return what a form of Slack's says: the JSON in its `payload` field, or the fields of a slash command."""
    try:
        fields = read_form(body)
    except MalformedPayloadError as error:
        return Content({}, error.message)
    if "payload" in fields:
        return read_json(fields["payload"].encode())
    if "command" in fields:
        return Content(dict(fields))
    return Content({}, "the form has neither a payload nor a command")
