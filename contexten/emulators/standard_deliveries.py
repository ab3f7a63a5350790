"""Deliveries signed by Standard Webhooks, as many services send them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import uuid4

from contexten.emulators.deliveries import HOUR, MINUTE, SUCCESSFUL, Schedule, Try, compact
from contexten.emulators.signing import sign_standard


@dataclass(frozen=True, slots=True, kw_only=True)
class StandardDelivery:
    """One delivery: 15 s for an answer, and again by the schedule that the specification proposes, up to 10 h.

    Attributes:
        payload: the JSON object to send, by custom with a `type`.
        delivery_id: `webhook-id`, the same for each attempt; the time that is signed is not.
    """

    payload: Mapping[str, Any]
    delivery_id: str = field(default_factory=lambda: f"msg_{uuid4().hex}")

    schedule: ClassVar[Schedule] = Schedule(
        limit_seconds=15, retries=(5.0, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR)
    )

    @property
    def event(self) -> str:
        return str(self.payload.get("type", ""))

    @property
    def body(self) -> bytes:
        return compact(self.payload)

    def headers_of(self, attempt: Try, secret: bytes | str | None, /) -> dict[str, str]:
        timestamp = int(attempt.at.timestamp())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": self.delivery_id,
            "webhook-timestamp": str(timestamp),
        }
        if secret is not None:
            signature = sign_standard(secret, self.body, message_id=self.delivery_id, timestamp=timestamp)
            headers["webhook-signature"] = signature
        return headers

    def accepts(self, status: int, _answer: bytes, /) -> bool:
        return status in SUCCESSFUL
