"""Verify that a delivery was signed by its sender: pure functions over bytes, which never raise.

GitHub: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
"""

import hmac
from collections.abc import Iterable, Mapping
from enum import StrEnum
from hashlib import sha256

GITHUB_SIGNATURE_HEADER = "x-hub-signature-256"
_PREFIX = b"sha256="


class Verdict(StrEnum):
    VALID = "valid"
    UNSIGNED = "unsigned"
    MISMATCH = "mismatch"


def verify_github(*, headers: Mapping[str, str], body: bytes, secrets: Iterable[bytes]) -> Verdict:
    """Compare `X-Hub-Signature-256` with the HMAC-SHA256 of the raw body under each live secret.

    The older SHA-1 header is not looked at. Header names are lower-case. Every secret is tried, in constant time.
    """
    given = headers.get(GITHUB_SIGNATURE_HEADER)
    if not given:
        return Verdict.UNSIGNED
    claimed = given.encode("utf-8", "replace")
    matches = [hmac.compare_digest(_github_signature(secret, body), claimed) for secret in secrets if secret]
    return Verdict.VALID if any(matches) else Verdict.MISMATCH


def _github_signature(secret: bytes, body: bytes) -> bytes:
    return _PREFIX + hmac.new(secret, body, sha256).hexdigest().encode("ascii")
