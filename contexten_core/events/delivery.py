"""What becomes of a request that is a sender's own: a delivery to be stored, and what the sender is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

from contexten_core.db import utc_now
from contexten_core.events.models import EventProvider


class ReceiptStatus(StrEnum):
    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the sender is told once its delivery is durable."""

    status: ReceiptStatus
    event_id: UUID
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Challenge:
    """What Slack wants to hear back when somebody gives it our address. Nothing is stored."""

    text: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A verified delivery on its way to the store.

    Attributes:
        payload: what the body says; empty when it could not be read.
        headers: those worth keeping, cut to a bounded length.
        body: the bytes as they came.
        key: what makes the delivery itself: nothing in it is unsigned. Mostly the body.
        parked: why the body could not be read; its event waits for a person.
    """

    provider: EventProvider
    event_type: str
    payload: dict[str, Any]
    headers: Mapping[str, str]
    content_type: str
    body: bytes
    key: bytes
    external_id: str | None = None
    parked: str | None = None
    event_id: UUID = field(default_factory=uuid4)
    received_at: datetime = field(default_factory=utc_now)

    @property
    def digest(self) -> str:
        return sha256(self.key).hexdigest()
