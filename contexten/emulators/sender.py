"""Sign and send webhooks as GitHub does."""

import asyncio
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from contexten.emulators.github_payloads import NO_COMMIT, pull_request_payload, push_payload
from contexten_core.errors import OutboundError

__all__ = ["NO_COMMIT", "GitHubDelivery", "pull_request_payload", "push_payload", "send", "sign_github"]

HOOK_ID = 486_915_307


def sign_github(secret: bytes | str, body: bytes) -> str:
    """Give the value of `X-Hub-Signature-256` for these bytes."""
    return f"sha256={_digest(secret, body, algorithm='sha256')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubDelivery:
    """One webhook as GitHub sends it.

    Attributes:
        event: name of the event, such as `push`.
        payload: the JSON object to send.
        delivery_id: GitHub's name for this delivery; a redelivery has the same one.
    """

    event: str
    payload: Mapping[str, Any]
    delivery_id: str = field(default_factory=lambda: str(uuid4()))

    @property
    def body(self) -> bytes:
        """The bytes that are sent and signed: compact JSON in UTF-8."""
        return json.dumps(self.payload, separators=(",", ":"), ensure_ascii=False).encode()

    def headers(self, secret: bytes | str | None) -> dict[str, str]:
        """Give GitHub's headers; a hook without a secret (None) has no signatures."""
        headers = {
            "User-Agent": "GitHub-Hookshot/5f3c2a1",
            "Accept": "*/*",
            "Content-Type": "application/json",
            "X-GitHub-Delivery": self.delivery_id,
            "X-GitHub-Event": self.event,
            "X-GitHub-Hook-ID": str(HOOK_ID),
        }
        target = self.payload.get("repository")
        if isinstance(target, Mapping):
            headers["X-GitHub-Hook-Installation-Target-ID"] = str(target.get("id"))
            headers["X-GitHub-Hook-Installation-Target-Type"] = "repository"
        if secret is not None:
            body = self.body
            headers["X-Hub-Signature"] = f"sha1={_digest(secret, body, algorithm='sha1')}"
            headers["X-Hub-Signature-256"] = sign_github(secret, body)
        return headers


async def send(
    client: httpx.AsyncClient,
    url: str,
    delivery: GitHubDelivery,
    secret: bytes | str | None,
    timeout: float = 10.0,  # noqa: ASYNC109 - GitHub's own limit on a delivery
) -> httpx.Response:
    """Send the delivery once, and give whatever was answered, within `timeout` seconds (GitHub waits 10).

    Raises:
        OutboundError: nothing was answered; `ambiguous` unless no connection came about.
    """
    try:
        async with asyncio.timeout(timeout):
            return await client.post(
                url, content=delivery.body, headers=delivery.headers(secret), timeout=timeout, follow_redirects=False
            )
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        unsendable = isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol)
        raise OutboundError(
            f"The {delivery.event} delivery {delivery.delivery_id} got no answer from {url}: {error!r}.",
            hint="Check the address." if unsendable else "Check that the receiver is running, then send it again.",
            transient=not unsendable,
            ambiguous=not (unsent or unsendable),
        ) from error


def _digest(secret: bytes | str, body: bytes, *, algorithm: str) -> str:
    key = secret.encode() if isinstance(secret, str) else secret
    return hmac.new(key, body, algorithm).hexdigest()
