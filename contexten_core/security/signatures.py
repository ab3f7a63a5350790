"""Verify that a delivery was signed by its sender: pure functions over bytes, which never raise.

GitHub: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
Slack: https://docs.slack.dev/authentication/verifying-requests-from-slack
Linear: https://linear.app/developers/webhooks#securing-webhooks

Header names are lower-case. Every secret is tried, in constant time; an empty one verifies nothing.
"""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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
_LONGEST_TIME = 40


class Verdict(StrEnum):
    """`stale` is a delivery that its sender did sign, but not now, or without saying when."""

    VALID = "valid"
    UNSIGNED = "unsigned"
    MISMATCH = "mismatch"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Proof:
    """A verdict, and which of the secrets it was reached with, by their places among those that were given."""

    verdict: Verdict
    matched: tuple[int, ...] = ()


def verify_github(*, headers: Mapping[str, str], body: bytes, secrets: Iterable[bytes]) -> Verdict:
    """Compare `X-Hub-Signature-256` with the HMAC-SHA256 of the raw body under each live secret.

    The older SHA-1 header is not looked at.
    """
    return prove_github(headers=headers, body=body, secrets=secrets).verdict


def prove_github(*, headers: Mapping[str, str], body: bytes, secrets: Iterable[bytes]) -> Proof:
    """Do the same as `verify_github`, and tell which secrets matched."""
    return prove_hmac(headers.get(GITHUB_SIGNATURE_HEADER), prefix="sha256=", signed=body, secrets=secrets)


def verify_slack(*, headers: Mapping[str, str], body: bytes, secrets: Iterable[bytes], now: datetime) -> Verdict:
    """Compare `X-Slack-Signature` with the HMAC-SHA256 of `v0:TIMESTAMP:BODY` under each live secret.

    The timestamp, in seconds, is that of `X-Slack-Request-Timestamp`, and may differ from `now` by 300 s either way.
    """
    timestamp = headers.get(SLACK_TIMESTAMP_HEADER)
    if not timestamp:
        return Verdict.UNSIGNED
    signed = b"v0:" + timestamp.encode("utf-8", "replace") + b":" + body
    proof = prove_hmac(headers.get(SLACK_SIGNATURE_HEADER), prefix="v0=", signed=signed, secrets=secrets)
    if proof.verdict is Verdict.VALID and not is_near(timestamp, now, SLACK_TOLERANCE):
        return Verdict.STALE
    return proof.verdict


def verify_linear(
    *,
    headers: Mapping[str, str],
    body: bytes,
    secrets: Iterable[bytes],
    now: datetime,
    oldest: timedelta = LINEAR_TOLERANCE,
) -> Verdict:
    """Compare `Linear-Signature` with the HMAC-SHA256 of the raw body under each live secret.

    The time is taken from the signed body; it may be 60 s ahead of `now`, and as old as `oldest`.
    """
    verdict = signed_by_linear(headers=headers, body=body, secrets=secrets)
    if verdict is not Verdict.VALID:
        return verdict
    try:
        payload = parse_object(body)
    except MalformedPayloadError:
        return Verdict.STALE
    return linear_freshness(payload, now=now, oldest=oldest)


def signed_by_linear(*, headers: Mapping[str, str], body: bytes, secrets: Iterable[bytes]) -> Verdict:
    """Look at the signature only, whenever it was made."""
    return prove_hmac(headers.get(LINEAR_SIGNATURE_HEADER), prefix="", signed=body, secrets=secrets).verdict


def linear_freshness(payload: Mapping[str, Any], *, now: datetime, oldest: timedelta = LINEAR_TOLERANCE) -> Verdict:
    """Look at the time only: `valid` or `stale`."""
    sent_at = linear_sent_at(payload)
    is_fresh = sent_at is not None and -LINEAR_TOLERANCE <= now - sent_at <= oldest
    return Verdict.VALID if is_fresh else Verdict.STALE


def linear_sent_at(payload: Mapping[str, Any]) -> datetime | None:
    """Return when Linear says that it sent this payload, in milliseconds since 1970; None when it does not say.

    Until 2022 it did not. What it said then is when the thing happened that it tells of, just before.
    """
    if "webhookTimestamp" not in payload:
        return _moment(payload.get("createdAt"))
    milliseconds = payload["webhookTimestamp"]
    if not isinstance(milliseconds, int) or isinstance(milliseconds, bool):
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def prove_hmac(given: str | None, *, prefix: str, signed: bytes, secrets: Iterable[bytes]) -> Proof:
    """Compare `given` with `prefix` and the HMAC-SHA256 of `signed`, in lower-case hex, under each live secret."""
    if not given:
        return Proof(Verdict.UNSIGNED)
    expected = [f"{prefix}{hmac.digest(key, signed, 'sha256').hex()}".encode() if key else None for key in secrets]
    return compared([given.encode("utf-8", "replace")], expected)


def compared(claimed: Sequence[bytes], expected: Iterable[bytes | None]) -> Proof:
    """Compare everything that is claimed with everything that would be right, in constant time, leaving nothing out.

    Args:
        expected: for each secret what it would have given; None for one that gives nothing.
    """
    matches = [
        right is not None and any([hmac.compare_digest(_hashed(right), _hashed(one)) for one in claimed])  # noqa: C419 - a generator would stop at the first
        for right in expected
    ]
    matched = tuple(place for place, is_match in enumerate(matches) if is_match)
    return Proof(Verdict.VALID if matched else Verdict.MISMATCH, matched)


def is_near(timestamp: str, now: datetime, tolerance: timedelta) -> bool:
    """Tell whether a time in seconds since 1970, as senders write it, is that near to `now`."""
    is_number = timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _LONGEST_TIMESTAMP
    return is_number and abs(now.timestamp() - int(timestamp)) <= tolerance.total_seconds()


def _hashed(text: bytes) -> bytes:
    """Make the comparison take as long for a text of any length: `compare_digest` tells lengths apart."""
    return sha256(text).digest()


def _moment(text: object) -> datetime | None:
    if not isinstance(text, str) or len(text) > _LONGEST_TIME:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
