"""The signatures that senders put on a delivery.

Written from the senders' own descriptions and apart from the verifiers, which would prove nothing by agreeing with
themselves.

GitHub: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
Linear: https://linear.app/developers/webhooks#securing-webhooks
Slack: https://docs.slack.dev/authentication/verifying-requests-from-slack
Standard Webhooks: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac

from contexten_core.errors import ConfigurationError

STANDARD_PREFIX = "whsec_"


def sign_github(secret: bytes | str, body: bytes) -> str:
    """Give the value of `X-Hub-Signature-256` for these bytes."""
    return f"sha256={_digest(secret, body).hex()}"


def sign_github_sha1(secret: bytes | str, body: bytes) -> str:
    """Give the value of the older `X-Hub-Signature`, which GitHub still sends beside the other."""
    return f"sha1={_digest(secret, body, algorithm='sha1').hex()}"


def sign_linear(secret: bytes | str, body: bytes) -> str:
    """Give the value of `Linear-Signature`."""
    return _digest(secret, body).hex()


def sign_slack(secret: bytes | str, body: bytes, *, timestamp: int) -> str:
    """Give the value of `X-Slack-Signature` beside that `X-Slack-Request-Timestamp` (seconds)."""
    return f"v0={_digest(secret, b'v0:%d:%b' % (timestamp, body)).hex()}"


def sign_standard(secret: bytes | str, body: bytes, *, message_id: str, timestamp: int) -> str:
    """Give the value of `webhook-signature` beside that `webhook-id` and `webhook-timestamp` (seconds).

    Raises:
        ConfigurationError: the secret is not `whsec_` and base64.
    """
    text = secret.decode("utf-8", "replace") if isinstance(secret, bytes) else secret
    try:
        key = base64.b64decode(text.removeprefix(STANDARD_PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigurationError(
            "That is not a secret of Standard Webhooks.", hint=f"It is {STANDARD_PREFIX} and base64 of 24 to 64 bytes."
        ) from error
    signature = _digest(key, b"%b.%d.%b" % (message_id.encode(), timestamp, body))
    return f"v1,{base64.b64encode(signature).decode()}"


def _digest(secret: bytes | str, signed: bytes, *, algorithm: str = "sha256") -> bytes:
    return hmac.digest(secret.encode() if isinstance(secret, str) else secret, signed, algorithm)
