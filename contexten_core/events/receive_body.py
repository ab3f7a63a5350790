"""What reading a delivery takes, whoever sent it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from contexten_core.errors import MalformedPayloadError, SignatureError, UnsupportedContentTypeError
from contexten_core.security.json import parse_object
from contexten_core.security.signatures import Verdict
from contexten_core.security.text import clean_json, clean_text

UNKNOWN = "unknown"
"""The type of a delivery whose body could not be read, where nothing else tells it."""

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"

_EVENT_TYPE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_DELIVERY_ID = re.compile(r"[A-Za-z0-9-]{1,100}")
_NOT_STORABLE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_MOST_FORM_FIELDS = 100
_LONGEST_HEADER = 200
_KEPT_HEADERS = (
    "content-type",
    "content-encoding",
    "user-agent",
    "x-github-delivery",
    "x-github-event",
    "x-github-hook-id",
    "linear-delivery",
    "linear-event",
    "x-slack-request-timestamp",
    "x-slack-retry-num",
    "x-slack-retry-reason",
    "webhook-id",
    "webhook-timestamp",
    "idempotency-key",
    "x-event-type",
)


@dataclass(frozen=True, slots=True)
class Content:
    """What a body says, or why it could not be read, and then it says nothing."""

    payload: dict[str, Any]
    problem: str | None = None


def read_json(body: bytes) -> Content:
    """Return the JSON object in a body, with U+FFFD for what no database keeps: NUL and halves of surrogate pairs."""
    try:
        payload = parse_object(body)
    except MalformedPayloadError as error:
        return Content({}, error.message)
    # A body of 25 MB takes a second to clean, and hardly any needs it.
    return Content(clean_json(payload) if _NOT_STORABLE.search(body) else payload)


def read_form(body: bytes) -> dict[str, str]:
    """Return the fields of a form, of those that come twice the last.

    Raises:
        MalformedPayloadError: it is not one, or has more than 100 fields.
    """
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FORM_FIELDS)
    except ValueError as error:
        raise MalformedPayloadError(f"the body is not a form: {str(error)[:200]}") from error
    return {clean_text(name): clean_text(value) for name, value in fields}


def media_type(headers: Mapping[str, str]) -> str:
    return clean_text(headers.get("content-type", "").partition(";")[0].strip().lower())[:_LONGEST_HEADER]


def accepted_type(headers: Mapping[str, str], *accepted: str, hint: str) -> str:
    """Return the media type of a body. Raises UnsupportedContentTypeError when it is not among these."""
    content_type = media_type(headers)
    if content_type not in accepted:
        raise UnsupportedContentTypeError(
            f"the delivery came as {content_type[:100] or 'no content type'!r}", hint=hint
        )
    return content_type


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers worth keeping, cut to 200 characters each; no secret and no signature is among them."""
    return {name: clean_text(headers[name])[:_LONGEST_HEADER] for name in _KEPT_HEADERS if name in headers}


def event_name(given: object) -> str | None:
    """Return what may be the name of an event of GitHub's or Slack's; None for anything else."""
    return given if isinstance(given, str) and _EVENT_TYPE.fullmatch(given) else None


def delivery_id(given: object) -> str | None:
    return given if isinstance(given, str) and _DELIVERY_ID.fullmatch(given) else None


def refused(verdict: Verdict, *, hint: str) -> SignatureError:
    """Return the error that a verdict other than `valid` becomes."""
    if verdict is Verdict.STALE:
        return SignatureError("the delivery's signature is stale: it was not made now", hint=hint)
    return SignatureError(f"the delivery's signature is not valid: {verdict.value}", hint=hint)
