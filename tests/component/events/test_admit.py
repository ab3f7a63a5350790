"""New events find their place: one run per subject, newer pushes before older ones, no project before all others."""

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from contexten.emulators.sender import GitHubDelivery
from contexten_core.db import utc_now
from contexten_core.errors import UnavailableError
from contexten_core.events import run_store
from contexten_core.events.claim import RunRef, begin_run, claim_events
from contexten_core.events.finish import complete_run
from contexten_core.events.models import Conclusion, EventStatus, RunModel, RunStatus

if TYPE_CHECKING:
    from tests.component.conftest import OpenWorker, Push, Worker

EARLY, LATE = "2026-11-20T10:00:00Z", "2026-11-20T10:00:05Z"


def _pull_request(
    commit: str, *, action: str = "synchronize", at: str | None = None, repository: str = "acme/cashbox"
) -> GitHubDelivery:
    pull = {"number": 7, "head": {"sha": commit * 5, "ref": "fix"}, "updated_at": at}
    payload = {"action": action, "number": 7, "pull_request": pull, "repository": {"full_name": repository}}
    return GitHubDelivery(event="pull_request", payload=payload)


def _comment(text: str) -> GitHubDelivery:
    payload = {
        "action": "created",
        "issue": {"number": 7, "pull_request": {}},
        "comment": {"body": text},
        "repository": {"full_name": "acme/cashbox"},
        "sender": {"login": "mona", "type": "User"},
    }
    return GitHubDelivery(event="issue_comment", payload=payload)


async def _claim(worker: "Worker") -> list[RunRef]:
    return await claim_events(worker.runtime, limit=10)


async def _events(worker: "Worker") -> list[UUID]:
    return [run.event_id for run in await _claim(worker)]


async def _end(worker: "Worker", run: RunRef) -> None:
    await complete_run(worker.runtime, run, Conclusion.SUCCESS)


async def _run_of(worker: "Worker", event_id: UUID) -> RunModel:
    async with worker.database.reading() as session:
        run = await run_store.latest_of(session, event_id)
    assert run is not None
    return run


async def test_comments_are_handled_one_after_another(worker: "Worker") -> None:
    first, second = [await worker.receive(_comment(text)) for text in ("one", "two")]
    (run,) = await _claim(worker)
    assert (run.event_id, await _claim(worker)) == (first, [])

    await _end(worker, run)
    assert await _events(worker) == [second]


async def test_what_is_asked_of_us_does_not_wait(worker: "Worker") -> None:
    await worker.take_on(_pull_request("4d1c2b3a"))
    await worker.receive(_comment("a comment"))
    asked = await worker.receive(_comment("/contexten cancel"))

    assert await _events(worker) == [asked]


async def test_of_pushes_that_wait_only_the_newest_is_handled(worker: "Worker") -> None:
    ids = [await worker.receive(_pull_request(commit)) for commit in ("11111111", "22222222", "33333333")]
    (run,) = await _claim(worker)
    assert run.event_id == ids[-1]

    for event_id in ids[:-1]:
        event, superseded = await worker.event(event_id), await _run_of(worker, event_id)
        assert (event.status, event.superseded_by is not None) == (EventStatus.SKIPPED, True)
        assert superseded.status is RunStatus.SUPERSEDED
        assert str(superseded.reason).startswith("superseded by acme/cashbox#7 synchronize, event ")
    causes = (await _run_of(worker, ids[-1])).causes
    assert [cause["event_id"] for cause in causes or []] == [str(event_id) for event_id in ids[:-1]]


async def test_a_push_that_arrives_late_is_the_older_one_all_the_same(worker: "Worker") -> None:
    newest = await worker.receive(_pull_request("22222222", at=LATE))
    late = await worker.receive(_pull_request("11111111", at=EARLY))

    assert await _events(worker) == [newest]
    assert (await worker.event(late)).superseded_by == newest


async def test_the_run_of_an_older_push_is_to_be_cancelled(worker: "Worker") -> None:
    run = await worker.take_on(_pull_request("11111111"))
    newest = await worker.receive(_pull_request("22222222"))
    older = await _run_of(worker, run.event_id)

    assert older.cancel_requested_at is not None
    assert (older.cancel_by, older.superseded_by) == ("Contexten", newest)
    # Not before the older one has really ended.
    assert await _claim(worker) == []


async def test_neither_a_comment_nor_a_mere_event_cancels_anything(worker: "Worker") -> None:
    run = await worker.take_on(_pull_request("11111111"))
    for delivery in (_comment("looks good"), _pull_request("11111111", action="labeled")):
        await worker.receive(delivery)

    assert (await _run_of(worker, run.event_id)).cancel_requested_at is None


async def test_a_push_does_not_cancel_what_a_comment_asked_for(worker: "Worker") -> None:
    run = await worker.take_on(_comment("what does this do?"))
    await worker.receive(_pull_request("11111111"))

    assert (await _run_of(worker, run.event_id)).cancel_requested_at is None


async def test_a_push_waits_for_another_one(open_worker: "OpenWorker") -> None:
    async with open_worker(debounce_seconds=2) as worker:
        first = await worker.receive(_pull_request("11111111"))
        event = await worker.event(first)
        assert event.available_at - event.created_at == timedelta(seconds=2)
        assert await _claim(worker) == []


async def test_pushes_that_never_end_are_not_put_off_for_ever(open_worker: "OpenWorker") -> None:
    async with open_worker(debounce_seconds=2) as worker:
        first = await worker.receive(_pull_request("11111111"))
        began = (await worker.event(first)).created_at - timedelta(seconds=9)
        await worker.change_event(first, created_at=began)
        newest = await worker.event(await worker.receive(_pull_request("22222222")))

        assert newest.available_at <= began + timedelta(seconds=10)


async def test_projects_take_turns(worker: "Worker", push: "Push") -> None:
    for name in ("acme/busy", "acme/quiet"):
        await worker.add_project(name)
    busy = [await worker.receive(push(repository="acme/busy", branch=f"b{number}")) for number in range(4)]
    quiet = await worker.receive(push(repository="acme/quiet"))

    assert {run.event_id for run in await claim_events(worker.runtime, limit=2)} == {busy[0], quiet}


async def test_no_more_of_one_project_than_it_may_have(open_worker: "OpenWorker", push: "Push") -> None:
    async with open_worker(max_concurrent_per_project=2) as worker:
        await worker.add_project("acme/cashbox")
        for number in range(4):
            await worker.receive(push(branch=f"b{number}"))
        runs = await _claim(worker)
        assert (len(runs), await _claim(worker)) == (2, [])

        await _end(worker, runs[0])
        assert len(await _claim(worker)) == 1


async def test_no_more_of_one_provider_than_it_may_have(open_worker: "OpenWorker", push: "Push") -> None:
    async with open_worker(max_concurrent_per_provider=3) as worker:
        for number in range(5):
            await worker.receive(push(branch=f"b{number}"))

        assert (len(await _claim(worker)), await _claim(worker)) == (3, [])


async def test_what_is_urgent_comes_first_until_something_has_waited_longer(worker: "Worker", push: "Push") -> None:
    waiting = await worker.receive(push(branch="old"))
    urgent = await worker.receive(_comment("please look"))
    (first,) = await claim_events(worker.runtime, limit=1)
    assert first.event_id == urgent
    await worker.change_event(urgent, status=EventStatus.PENDING, lease_owner=None)
    await worker.change_event(waiting, rank_at=utc_now() - timedelta(minutes=2))

    (first,) = await claim_events(worker.runtime, limit=1)
    assert first.event_id == waiting


async def test_nobody_starts_a_second_run_of_a_subject_by_hand(worker: "Worker") -> None:
    await worker.take_on(_comment("one"))
    other = await worker.receive(_comment("two"))

    with pytest.raises(UnavailableError, match="another event of acme/cashbox#7 is being handled"):
        await begin_run(worker.runtime, event_id=other, flow_run_id=uuid4())
