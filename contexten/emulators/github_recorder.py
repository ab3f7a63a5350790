"""What a GitHub emulator holds besides requests: statuses, check runs, comments, pull requests, git's objects, ..."""

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from contexten.emulators.recorder import Recorder


class CommitState(StrEnum):
    """The states that GitHub knows for a commit status."""

    ERROR = "error"
    FAILURE = "failure"
    PENDING = "pending"
    SUCCESS = "success"


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


class GitHubRecorder(Recorder):
    """Bounded memory of a GitHub emulator: the newest `capacity` of each kind."""

    def __init__(self, *, capacity: int) -> None:
        super().__init__(capacity=capacity)
        self._statuses: deque[RecordedStatus] = deque(maxlen=capacity)
        self.check_runs = self.shelf()
        self.comments = self.shelf()
        self.reactions = self.shelf()
        self.reviews = self.shelf()
        self.line_comments = self.shelf()
        self.labels = self.shelf()
        self.pulls = self.shelf()
        self.refs = self.shelf()
        self.commits = self.shelf()
        self.trees = self.shelf()
        self.blobs = self.shelf()

    @property
    def statuses(self) -> list[RecordedStatus]:
        """The commit statuses held, oldest first."""
        return list(self._statuses)

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
        status = RecordedStatus(
            id=self.next_id(),
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

    def reset(self) -> None:
        super().reset()
        self._statuses.clear()
