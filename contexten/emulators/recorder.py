"""What an emulator was asked, what it was told to do wrong, and what it holds, all bounded."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contexten_core.errors import ConfigurationError

MAX_HELD_BYTES = 64 * 1024 * 1024
MAX_QUEUED_FAULTS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRequest:
    """One request as it arrived. Headers are left out because they carry tokens."""

    method: str
    path: str
    query: str
    body: str
    received_at: datetime


class Fault(BaseModel):
    """What is to go wrong with the next matching requests.

    Attributes:
        method: HTTP method to match; None matches all.
        path_contains: text that the path must contain; None matches all.
        times: how many requests it spoils.
        delay_seconds: wait before anything else; ends early when the client leaves.
        status: answer this without carrying the request out.
        retry_after: seconds for the `Retry-After` header of that answer.
        drop_before: cut the connection without carrying the request out.
        drop_after: carry the request out, then cut the connection without an answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str | None = Field(default=None, max_length=16)
    path_contains: str | None = Field(default=None, max_length=1000)
    times: int = Field(default=1, ge=1, le=1000)
    delay_seconds: float = Field(default=0.0, ge=0, le=120)
    status: int | None = Field(default=None, ge=400, le=599)
    retry_after: int | None = Field(default=None, ge=0, le=86_400)
    drop_before: bool = False
    drop_after: bool = False

    @model_validator(mode="after")
    def _one_ending(self) -> Self:
        if (self.status is not None) + self.drop_before + self.drop_after > 1:
            raise ValueError("choose one of status, drop_before and drop_after")
        if self.retry_after is not None and self.status is None:
            raise ValueError("retry_after needs a status")
        return self

    def matches(self, *, method: str, path: str) -> bool:
        return (self.method is None or self.method.upper() == method) and (
            self.path_contains is None or self.path_contains in path
        )


class Shelf:
    """The newest `capacity` things of one kind, as the JSON that the service answers, by their id."""

    def __init__(self, *, capacity: int) -> None:
        self._capacity = capacity
        self._things: dict[int | str, dict[str, Any]] = {}

    def put(self, key: int | str, thing: dict[str, Any]) -> dict[str, Any]:
        """Keep a thing, and forget the oldest when there are too many."""
        self._things[key] = thing
        if len(self._things) > self._capacity:
            del self._things[next(iter(self._things))]
        return thing

    def get(self, key: int | str) -> dict[str, Any] | None:
        return self._things.get(key)

    def remove(self, key: int | str) -> None:
        self._things.pop(key, None)

    def clear(self) -> None:
        self._things.clear()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(list(self._things.values()))

    def __len__(self) -> int:
        return len(self._things)


class Recorder:
    """Bounded memory of one emulator, used from one event loop.

    It keeps the newest `capacity` requests, and at most 64 MiB of request bodies; what it had to
    forget is counted in `forgotten_requests`.
    """

    def __init__(self, *, capacity: int) -> None:
        self._capacity = capacity
        self._requests: deque[RecordedRequest] = deque()
        self._held_bytes = 0
        self._shelves: list[Shelf] = []
        self._faults: deque[Fault] = deque()
        self._last_id = 0
        self.forgotten_requests = 0

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests held, oldest first."""
        return list(self._requests)

    def next_id(self) -> int:
        """Give a number; they grow and are never used twice, even after a reset."""
        self._last_id += 1
        return self._last_id

    def shelf(self) -> "Shelf":
        """Give room for things of one kind; a reset clears it."""
        shelf = Shelf(capacity=self._capacity)
        self._shelves.append(shelf)
        return shelf

    def record_request(self, *, method: str, path: str, query: str, body: bytes) -> None:
        text = body.decode("utf-8", "replace")
        request = RecordedRequest(method=method, path=path, query=query, body=text, received_at=datetime.now(UTC))
        self._requests.append(request)
        self._held_bytes += len(text)
        while len(self._requests) > self._capacity or self._held_bytes > MAX_HELD_BYTES:
            self._held_bytes -= len(self._requests.popleft().body)
            self.forgotten_requests += 1

    def queue_fault(self, fault: Fault) -> None:
        """Arrange for the next matching requests to go wrong; faults queued earlier come first.

        Raises:
            ConfigurationError: more than 10,000 faults would be waiting.
        """
        if len(self._faults) + fault.times > MAX_QUEUED_FAULTS:
            raise ConfigurationError(
                f"{len(self._faults)} faults are waiting, {fault.times} more are too many.",
                hint=f"At most {MAX_QUEUED_FAULTS} can wait; DELETE /_emulator/requests forgets them.",
            )
        self._faults.extend([fault] * fault.times)

    def take_fault(self, *, method: str, path: str) -> Fault | None:
        """Take the first waiting fault that matches, if any."""
        for position, fault in enumerate(self._faults):
            if fault.matches(method=method, path=path):
                del self._faults[position]
                return fault
        return None

    def reset(self) -> None:
        """Forget all requests, waiting faults, and what was made."""
        self._requests.clear()
        self._held_bytes = 0
        for shelf in self._shelves:
            shelf.clear()
        self._faults.clear()
        self.forgotten_requests = 0
