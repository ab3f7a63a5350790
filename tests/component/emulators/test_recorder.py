from datetime import UTC, timedelta

import pytest

from contexten.emulators.github_recorder import CommitState, GitHubRecorder
from contexten.emulators.recorder import Fault, Recorder
from contexten_core.errors import ConfigurationError


def record(recorder: Recorder, *, body: bytes = b"{}") -> None:
    recorder.record_request(method="POST", path="/", query="", body=body)


def test_only_the_newest_requests_are_kept() -> None:
    recorder = Recorder(capacity=3)
    for number in range(5):
        record(recorder, body=str(number).encode())
    assert [request.body for request in recorder.requests] == ["2", "3", "4"]
    assert recorder.forgotten_requests == 2
    assert recorder.requests[0].received_at.utcoffset() == timedelta(0)


def test_large_bodies_are_forgotten_before_they_fill_the_memory() -> None:
    recorder = Recorder(capacity=10_000)
    for _ in range(70):
        record(recorder, body=b"x" * 1024 * 1024)
    assert len(recorder.requests) == 64
    assert recorder.forgotten_requests == 6


def test_statuses_are_found_by_repository_and_commit_newest_first() -> None:
    recorder = GitHubRecorder(capacity=10)
    for repository, sha, state in [
        ("acme/cashbox", "a", CommitState.PENDING),
        ("acme/cashbox", "b", CommitState.ERROR),
    ]:
        recorder.record_status(
            repository=repository, sha=sha, state=state, description=None, target_url=None, context="default"
        )
    newest = recorder.record_status(
        repository="acme/cashbox",
        sha="a",
        state=CommitState.SUCCESS,
        description=None,
        target_url=None,
        context="default",
    )
    found = recorder.statuses_of(repository="Acme/Cashbox", sha="a")
    assert [status.state for status in found] == ["success", "pending"]
    assert newest.created_at.tzinfo is UTC


def test_faults_are_taken_in_order_each_as_often_as_asked() -> None:
    recorder = Recorder(capacity=10)
    recorder.queue_fault(Fault(status=500, times=2))
    recorder.queue_fault(Fault(status=503))
    taken = [recorder.take_fault(method="GET", path="/") for _ in range(4)]
    assert [fault and fault.status for fault in taken] == [500, 500, 503, None]


def test_the_queue_of_faults_is_bounded() -> None:
    recorder = Recorder(capacity=10)
    for _ in range(10):
        recorder.queue_fault(Fault(status=500, times=1000))
    with pytest.raises(ConfigurationError, match="10000 faults are waiting"):
        recorder.queue_fault(Fault(status=500))


def test_ids_are_not_used_again_after_a_reset() -> None:
    recorder = GitHubRecorder(capacity=10)
    ids = []
    for _ in range(2):
        status = recorder.record_status(
            repository="a/b", sha="c", state=CommitState.SUCCESS, description=None, target_url=None, context="default"
        )
        ids.append(status.id)
        recorder.reset()
    assert ids == [1, 2]
