"""Verify deliveries of senders that have no scheme of their own: pure functions over bytes, which never raise.

Standard Webhooks: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import binascii
import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from contexten_core.security.signatures import Verdict, compared, is_near, prove_hmac

STANDARD_ID_HEADER = "webhook-id"
STANDARD_TIMESTAMP_HEADER = "webhook-timestamp"
STANDARD_SIGNATURE_HEADER = "webhook-signature"
STANDARD_PREFIX = b"whsec_"
STANDARD_TOLERANCE = timedelta(minutes=5)

_VERSION = "v1,"
_MOST_SIGNATURES = 100


def verify_standard(*, headers: Mapping[str, str], body: bytes, secrets: Iterable[bytes], now: datetime) -> Verdict:
    """Compare each `v1` signature of `Webhook-Signature` with that of `ID.TIMESTAMP.BODY` under each live secret.

    The timestamp, in seconds, may differ from `now` by 5 minutes either way. A signature of another version counts for
    nothing.
    """
    message_id, timestamp = headers.get(STANDARD_ID_HEADER), headers.get(STANDARD_TIMESTAMP_HEADER)
    given = headers.get(STANDARD_SIGNATURE_HEADER, "").split()[:_MOST_SIGNATURES]
    if not (message_id and timestamp and given):
        return Verdict.UNSIGNED
    claimed = [part.removeprefix(_VERSION).encode("utf-8", "replace") for part in given if part.startswith(_VERSION)]
    signed = f"{message_id}.{timestamp}.".encode("utf-8", "replace") + body
    keys = [standard_key(secret) for secret in secrets]
    proof = compared(claimed, [b64encode(hmac.digest(key, signed, "sha256")) if key else None for key in keys])
    if proof.verdict is Verdict.VALID and not is_near(timestamp, now, STANDARD_TOLERANCE):
        return Verdict.STALE
    return proof.verdict


def standard_key(secret: bytes) -> bytes | None:
    """Return the key in a secret of Standard Webhooks, which is base64 after `whsec_`; None when there is none."""
    try:
        return b64decode(secret.removeprefix(STANDARD_PREFIX), validate=True) or None
    except binascii.Error:
        return None


def verify_hmac(
    *, headers: Mapping[str, str], body: bytes, secrets: Iterable[bytes], header: str, prefix: str = ""
) -> Verdict:
    """Compare a header, after its prefix, with the HMAC-SHA256 of the raw body, in hex, under each live secret."""
    return prove_hmac(headers.get(header), prefix=prefix, signed=body, secrets=secrets).verdict


def verify_bearer(*, headers: Mapping[str, str], secrets: Iterable[bytes]) -> Verdict:
    """Compare the token of `Authorization: Bearer TOKEN` with each live secret."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return Verdict.UNSIGNED
    return compared([token.strip().encode("utf-8", "replace")], [secret or None for secret in secrets]).verdict
