"""Verify that a delivery was signed by its sender: pure functions over bytes, which never raise.

GitHub: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
Slack: https://docs.slack.dev/authentication/verifying-requests-from-slack
Linear: https://linear.app/developers/webhooks#securing-webhooks
"""

import hmac
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any

from contexten_core.errors import MalformedPayloadError
from contexten_core.security.json import parse_object

GITHUB_SIGNATURE_HEADER = "x-hub-signature-256"
SLACK_SIGNATURE_HEADER = "x-slack-signature"
SLACK_TIMESTAMP_HEADER = "x-slack-request-timestamp"
LINEAR_SIGNATURE_HEADER = "linear-signature"

SLACK_TOLERANCE = timedelta(seconds=300)
LINEAR_TOLERANCE = timedelta(seconds=60)

_LONGEST_TIMESTAMP = 11


class Verdict(StrEnum):
    """`stale` is a delivery that its sender did sign, but not now, or without saying when."""

    VALID = "valid"
    UNSIGNED = "unsigned"
    MISMATCH = "mismatch"
    STALE = "stale"


def verify_github(*, headers: Mapping[str, str], body: bytes, secrets: Iterable[bytes]) -> Verdict:
    """Compare `X-Hub-Signature-256` with the HMAC-SHA256 of the raw body under each live secret.

    The older SHA-1 header is not looked at. Header names are lower-case. Every secret is tried, in constant time.
    """
    given = headers.get(GITHUB_SIGNATURE_HEADER)
    if not given:
        return Verdict.UNSIGNED
    return Verdict.VALID if _is_signed(given, "sha256=", body, secrets) else Verdict.MISMATCH


def verify_slack(*, headers: Mapping[str, str], body: bytes, secrets: Iterable[bytes], now: datetime) -> Verdict:
    """Compare `X-Slack-Signature` with the HMAC-SHA256 of `v0:TIMESTAMP:BODY` under each live secret.

    The timestamp, in seconds, is that of `X-Slack-Request-Timestamp`, and may differ from `now` by 300 s either way.
    """
    given, timestamp = headers.get(SLACK_SIGNATURE_HEADER), headers.get(SLACK_TIMESTAMP_HEADER)
    if not given or not timestamp:
        return Verdict.UNSIGNED
    signed = b"v0:" + timestamp.encode("utf-8", "replace") + b":" + body
    if not _is_signed(given, "v0=", signed, secrets):
        return Verdict.MISMATCH
    is_number = timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _LONGEST_TIMESTAMP
    is_fresh = is_number and abs(now.timestamp() - int(timestamp)) <= SLACK_TOLERANCE.total_seconds()
    return Verdict.VALID if is_fresh else Verdict.STALE


def verify_linear(*, headers: Mapping[str, str], body: bytes, secrets: Iterable[bytes], now: datetime) -> Verdict:
    """Compare `Linear-Signature` with the HMAC-SHA256 of the raw body under each live secret.

    The time is taken from the signed body (`webhookTimestamp`), and may differ from `now` by 60 s either way.
    """
    given = headers.get(LINEAR_SIGNATURE_HEADER)
    if not given:
        return Verdict.UNSIGNED
    if not _is_signed(given, "", body, secrets):
        return Verdict.MISMATCH
    try:
        sent_at = linear_sent_at(parse_object(body))
    except MalformedPayloadError:
        sent_at = None
    return Verdict.VALID if sent_at and abs(now - sent_at) <= LINEAR_TOLERANCE else Verdict.STALE


def linear_sent_at(payload: Mapping[str, Any]) -> datetime | None:
    """Return when Linear says that it sent this payload, in milliseconds since 1970; None when it does not say."""
    milliseconds = payload.get("webhookTimestamp")
    if not isinstance(milliseconds, int) or isinstance(milliseconds, bool):
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _is_signed(given: str, prefix: str, signed: bytes, secrets: Iterable[bytes]) -> bool:
    claimed = given.encode("utf-8", "replace")
    matches = [hmac.compare_digest(_signature(prefix, secret, signed), claimed) for secret in secrets if secret]
    return any(matches)


def _signature(prefix: str, secret: bytes, signed: bytes) -> bytes:
    return f"{prefix}{hmac.new(secret, signed, sha256).hexdigest()}".encode("ascii")
