"""One delivery of each sender: its bytes, its headers, and by which rules it is sent again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Protocol
from uuid import uuid4

from contexten.emulators.signing import sign_github, sign_github_sha1

HOOK_ID = 486_915_307
MINUTE, HOUR = 60.0, 3600.0
SUCCESSFUL = range(200, 300)


class Outcome(StrEnum):
    """What became of one attempt, as its sender sees it."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    UNREACHABLE = "unreachable"
    CUT = "cut"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long a sender waits for an answer, and after how many seconds it tries again each time."""

    limit_seconds: float
    retries: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One attempt: its number (0 is the first), when it is made by the receiver's clock, and how the last one ended."""

    number: int
    at: datetime
    last: Outcome | None = None


class Delivery(Protocol):
    """What the sender needs to know of a delivery. Its body is the same each time; its headers may not be."""

    @property
    def event(self) -> str: ...
    @property
    def delivery_id(self) -> str: ...
    @property
    def schedule(self) -> Schedule: ...
    @property
    def body(self) -> bytes: ...

    def headers_of(self, attempt: Try, secret: bytes | str | None, /) -> dict[str, str]:
        """Give the headers of one attempt, signed unless there is no secret."""
        ...

    def accepts(self, status: int, answer: bytes, /) -> bool:
        """Tell whether that answer ends the sending."""
        ...


def compact(payload: Any) -> bytes:
    """Give the bytes of a payload: compact JSON in UTF-8."""
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubDelivery:
    """One webhook as GitHub sends it: once, within 10 s; whoever wants it again must ask for it.

    Attributes:
        event: name of the event, such as `push`.
        payload: the JSON object to send.
        delivery_id: GitHub's name for this delivery; a redelivery has the same one.
        raw: the bytes to send in place of the payload's compact JSON.
        hook_id: the hook that it is sent for.
        app_id: the App that the hook belongs to; None when it is the repository's.
    """

    event: str
    payload: Mapping[str, Any]
    delivery_id: str = field(default_factory=lambda: str(uuid4()))
    raw: bytes | None = None
    hook_id: int = HOOK_ID
    app_id: int | None = None

    schedule: ClassVar[Schedule] = Schedule(limit_seconds=10)

    @property
    def body(self) -> bytes:
        """The bytes that are sent and signed: compact JSON in UTF-8."""
        return compact(self.payload) if self.raw is None else self.raw

    def headers(self, secret: bytes | str | None) -> dict[str, str]:
        """Give GitHub's headers; a hook without a secret (None) has no signatures."""
        headers = {
            "User-Agent": "GitHub-Hookshot/5f3c2a1",
            "Accept": "*/*",
            "Content-Type": "application/json",
            "X-GitHub-Delivery": self.delivery_id,
            "X-GitHub-Event": self.event,
            "X-GitHub-Hook-ID": str(self.hook_id),
        }
        repository = self.payload.get("repository")
        if self.app_id is not None:
            headers["X-GitHub-Hook-Installation-Target-ID"] = str(self.app_id)
            headers["X-GitHub-Hook-Installation-Target-Type"] = "integration"
        elif isinstance(repository, Mapping):
            headers["X-GitHub-Hook-Installation-Target-ID"] = str(repository.get("id"))
            headers["X-GitHub-Hook-Installation-Target-Type"] = "repository"
        if secret is not None:
            body = self.body
            headers["X-Hub-Signature"] = sign_github_sha1(secret, body)
            headers["X-Hub-Signature-256"] = sign_github(secret, body)
        return headers

    def headers_of(self, _attempt: Try, secret: bytes | str | None, /) -> dict[str, str]:
        return self.headers(secret)

    def accepts(self, status: int, _answer: bytes, /) -> bool:
        return status in SUCCESSFUL
