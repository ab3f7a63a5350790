"""Linear's webhooks: signed over the body, which says when it was sent, and sent again with the same bytes."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import uuid4

from contexten.emulators.deliveries import HOUR, MINUTE, Schedule, Try, compact
from contexten.emulators.signing import sign_linear

OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearDelivery:
    """One webhook as Linear sends it: 5 s for an answer, then again after a minute, an hour and six hours.

    Only 200 is an answer that Linear takes for a success, not the other 2xx.

    Attributes:
        payload: the JSON object to send; it gets a `webhookTimestamp` and a `webhookId` unless it has them.
        delivery_id: the same for each attempt.
        sent_at: the first attempt, in milliseconds since 1970; now when left out.
        webhook_id: the webhook that it is sent for.
        raw: the bytes to send in place of all that.
    """

    payload: Mapping[str, Any]
    delivery_id: str = field(default_factory=lambda: str(uuid4()))
    sent_at: int = field(default_factory=lambda: int(time.time() * 1000))
    webhook_id: str = "198b0d2a-4a02-4fa3-a337-bb469514378c"
    raw: bytes | None = None

    schedule: ClassVar[Schedule] = Schedule(limit_seconds=5, retries=(MINUTE, HOUR, 6 * HOUR))

    @property
    def event(self) -> str:
        return str(self.payload.get("type", ""))

    @property
    def body(self) -> bytes:
        if self.raw is not None:
            return self.raw
        return compact({"webhookTimestamp": self.sent_at, "webhookId": self.webhook_id, **self.payload})

    def headers(self, secret: bytes | str | None) -> dict[str, str]:
        """Give Linear's headers, unsigned without a secret."""
        headers = {
            "User-Agent": "Linear-Webhook",
            "Accept-Charset": "utf-8",
            "Content-Type": "application/json; charset=utf-8",
            "Linear-Delivery": self.delivery_id,
            "Linear-Event": self.event,
        }
        return headers if secret is None else {**headers, "Linear-Signature": sign_linear(secret, self.body)}

    def headers_of(self, _attempt: Try, secret: bytes | str | None, /) -> dict[str, str]:
        return self.headers(secret)

    def accepts(self, status: int, _answer: bytes, /) -> bool:
        return status == OK
