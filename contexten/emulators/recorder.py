"""What an emulator was asked, what it was told to do wrong, and what it holds, all bounded."""

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contexten_core.errors import ConfigurationError

MAX_HELD_BYTES = 64 * 1024 * 1024
MAX_QUEUED_FAULTS = 10_000


class CommitState(StrEnum):
    """The states that GitHub knows for a commit status."""

    ERROR = "error"
    FAILURE = "failure"
    PENDING = "pending"
    SUCCESS = "success"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRequest:
    """One request as it arrived. Headers are left out because they carry tokens."""

    method: str
    path: str
    query: str
    body: str
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedStatus:
    """One commit status that was created."""

    id: int
    repository: str
    sha: str
    state: CommitState
    description: str | None
    target_url: str | None
    context: str
    created_at: datetime


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


class Recorder:
    """Bounded memory of one emulator, used from one event loop.

    It keeps the newest `capacity` requests and statuses, and at most 64 MiB of request bodies; what it had to
    forget is counted in `forgotten_requests`.
    """

    def __init__(self, *, capacity: int) -> None:
        self._capacity = capacity
        self._requests: deque[RecordedRequest] = deque()
        self._held_bytes = 0
        self._statuses: deque[RecordedStatus] = deque(maxlen=capacity)
        self._faults: deque[Fault] = deque()
        self._last_id = 0
        self.forgotten_requests = 0

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests held, oldest first."""
        return list(self._requests)

    @property
    def statuses(self) -> list[RecordedStatus]:
        """The commit statuses held, oldest first."""
        return list(self._statuses)

    def record_request(self, *, method: str, path: str, query: str, body: bytes) -> None:
        text = body.decode("utf-8", "replace")
        request = RecordedRequest(method=method, path=path, query=query, body=text, received_at=datetime.now(UTC))
        self._requests.append(request)
        self._held_bytes += len(text)
        while len(self._requests) > self._capacity or self._held_bytes > MAX_HELD_BYTES:
            self._held_bytes -= len(self._requests.popleft().body)
            self.forgotten_requests += 1

    def record_status(
        self,
        *,
        repository: str,
        sha: str,
        state: CommitState,
        description: str | None,
        target_url: str | None,
        context: str,
    ) -> RecordedStatus:
        """Keep a status and give it an id; ids grow and are never used twice, even after a reset."""
        self._last_id += 1
        status = RecordedStatus(
            id=self._last_id,
            repository=repository,
            sha=sha,
            state=state,
            description=description,
            target_url=target_url,
            context=context,
            created_at=datetime.now(UTC),
        )
        self._statuses.append(status)
        return status

    def statuses_of(self, *, repository: str, sha: str) -> list[RecordedStatus]:
        """Give the statuses of a commit, newest first; repository names ignore case, as GitHub's do."""
        wanted = repository.lower()
        return [
            status for status in reversed(self._statuses) if status.sha == sha and status.repository.lower() == wanted
        ]

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
        """Forget all requests, statuses and waiting faults."""
        self._requests.clear()
        self._held_bytes = 0
        self._statuses.clear()
        self._faults.clear()
        self.forgotten_requests = 0
