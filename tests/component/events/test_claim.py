import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from contexten_core.db import utc_now
from contexten_core.errors import ConflictError, LeaseLostError, NotFoundError, UnavailableError
from contexten_core.events.claim import begin_run, claim_events, replay_event
from contexten_core.events.finish import Ignored, complete_run, fail_run, ignore_run
from contexten_core.events.models import Conclusion, EventStatus, RunStatus

if TYPE_CHECKING:
    from tests.component.conftest import OpenWorker, Push, Worker


async def _fall_silent(worker: "Worker", run_event_id: object) -> None:
    """Let the lease of an event run out, as when its worker is dead."""
    await worker.change_event(run_event_id, lease_expires_at=utc_now() - timedelta(seconds=1))  # type: ignore[arg-type]


async def test_an_event_that_waits_is_claimed_once(worker: "Worker", push: "Push") -> None:
    event_id = await worker.receive(push())
    (run,) = await claim_events(worker.runtime, limit=10)
    event = await worker.event(event_id)

    assert (run.event_id, run.epoch, run.attempt) == (event_id, 1, 1)
    assert run.name == "acme/cashbox main push"
    assert run.tags == ("github", "push", "acme/cashbox")
    assert (event.status, event.lease_owner) == (EventStatus.PROCESSING, worker.runtime.leases.owner)
    assert event.lease_expires_at is not None
    assert timedelta(seconds=50) < event.lease_expires_at - utc_now() <= timedelta(seconds=60)
    assert await claim_events(worker.runtime, limit=10) == []


async def test_the_oldest_come_first_and_no_more_than_asked_for(worker: "Worker", push: "Push") -> None:
    ids = [await worker.receive(push(branch=f"b{number}")) for number in range(5)]
    first = await claim_events(worker.runtime, limit=3)
    rest = await claim_events(worker.runtime, limit=3)

    assert [run.event_id for run in first] == ids[:3]
    assert [run.event_id for run in rest] == ids[3:]


async def test_an_event_whose_time_has_not_come_waits(worker: "Worker", push: "Push") -> None:
    event_id = await worker.receive(push())
    await worker.change_event(event_id, status=EventStatus.RETRYING, available_at=utc_now() + timedelta(seconds=30))
    assert await claim_events(worker.runtime, limit=10) == []

    await worker.change_event(event_id, available_at=utc_now())
    assert len(await claim_events(worker.runtime, limit=10)) == 1


async def test_workers_that_claim_at_once_share_the_events(open_worker: "OpenWorker", push: "Push") -> None:
    async with open_worker() as one, open_worker() as other:
        ids = {await one.receive(push(branch=f"b{number}")) for number in range(12)}
        claims = await asyncio.gather(
            *(claim_events(worker.runtime, limit=2) for worker in (one, other) for _ in range(6))
        )

    taken = [run.event_id for runs in claims for run in runs]
    assert len(taken) == len(set(taken))
    assert set(taken) <= ids


async def test_when_a_worker_falls_silent_another_continues_the_same_run(
    open_worker: "OpenWorker", push: "Push"
) -> None:
    async with open_worker() as silent, open_worker() as other:
        run = await silent.take_on(push())
        assert await claim_events(other.runtime, limit=10) == []
        await _fall_silent(silent, run.event_id)
        (continued,) = await claim_events(other.runtime, limit=10)

        assert continued.run_id == run.run_id
        assert (continued.epoch, continued.attempt) == (run.epoch + 1, 1)
        assert (await other.event(run.event_id)).lease_owner == other.runtime.leases.owner
        with pytest.raises(LeaseLostError):
            await complete_run(silent.runtime, run, Conclusion.SUCCESS)
        assert (await complete_run(other.runtime, continued, Conclusion.SUCCESS)).status is RunStatus.COMPLETED


async def test_a_lease_of_a_worker_that_forgot_to_renew_runs_out_by_itself(
    open_worker: "OpenWorker", push: "Push"
) -> None:
    async with open_worker(lease_seconds=0.1) as silent, open_worker() as other:
        await silent.take_on(push())
        async with asyncio.timeout(30):
            while not await claim_events(other.runtime, limit=1):  # noqa: ASYNC110 - the database's clock decides
                await asyncio.sleep(0.02)


async def test_a_flow_run_that_a_person_started_claims_the_event(worker: "Worker", push: "Push") -> None:
    event_id, flow_run_id = await worker.receive(push()), uuid4()
    run = await begin_run(worker.runtime, event_id=event_id, flow_run_id=flow_run_id)

    assert (run.event_id, run.epoch, run.attempt) == (event_id, 1, 1)
    assert (await worker.history(run)).run.flow_run_id == flow_run_id
    assert await claim_events(worker.runtime, limit=10) == []


async def test_the_flow_run_of_a_claimed_event_finds_the_run_that_was_opened_for_it(
    worker: "Worker", push: "Push"
) -> None:
    event_id, flow_run_id = await worker.receive(push()), uuid4()
    opened = await begin_run(worker.runtime, event_id=event_id, flow_run_id=flow_run_id)

    assert await begin_run(worker.runtime, event_id=event_id, flow_run_id=flow_run_id) == opened


async def test_a_person_cannot_take_an_event_that_another_worker_is_handling(
    open_worker: "OpenWorker", push: "Push"
) -> None:
    async with open_worker() as busy, open_worker() as other:
        run = await busy.take_on(push())
        with pytest.raises(UnavailableError, match="is being handled by"):
            await begin_run(other.runtime, event_id=run.event_id, flow_run_id=uuid4())

        await _fall_silent(busy, run.event_id)
        continued = await begin_run(other.runtime, event_id=run.event_id, flow_run_id=uuid4())
    assert (continued.run_id, continued.epoch) == (run.run_id, run.epoch + 1)


async def test_a_flow_run_whose_event_was_taken_over_is_told_so(open_worker: "OpenWorker", push: "Push") -> None:
    async with open_worker() as late, open_worker() as other:
        event_id, flow_run_id = await late.receive(push()), uuid4()
        run = await begin_run(late.runtime, event_id=event_id, flow_run_id=flow_run_id)
        await _fall_silent(late, event_id)
        await claim_events(other.runtime, limit=1)

        with pytest.raises(UnavailableError, match=f"run {run.run_id} is no longer this worker's"):
            await begin_run(late.runtime, event_id=event_id, flow_run_id=flow_run_id)


async def test_the_flow_run_of_a_run_that_has_ended_does_not_get_into_its_replay(
    worker: "Worker", push: "Push"
) -> None:
    event_id, flow_run_id = await worker.receive(push()), uuid4()
    ended = await begin_run(worker.runtime, event_id=event_id, flow_run_id=flow_run_id)
    await complete_run(worker.runtime, ended, Conclusion.SUCCESS)
    await replay_event(worker.database, event_id)
    await worker.claim()

    with pytest.raises(UnavailableError):
        await begin_run(worker.runtime, event_id=event_id, flow_run_id=flow_run_id)


async def test_an_event_that_nobody_sent_cannot_be_handled_or_replayed(worker: "Worker") -> None:
    with pytest.raises(NotFoundError, match="there is no event"):
        await begin_run(worker.runtime, event_id=uuid4(), flow_run_id=uuid4())
    with pytest.raises(NotFoundError, match="there is no event"):
        await replay_event(worker.database, uuid4())


@pytest.mark.parametrize("end", ["completed", "ignored", "failed"])
async def test_a_replay_is_a_second_run_of_the_same_event(worker: "Worker", push: "Push", end: str) -> None:
    run = await worker.take_on(push())
    if end == "completed":
        await complete_run(worker.runtime, run, Conclusion.FAILURE)
    elif end == "ignored":
        await ignore_run(worker.runtime, run, Ignored("nothing to do"))
    else:
        await fail_run(worker.runtime, run, ValueError("broken"))

    await replay_event(worker.database, run.event_id)
    waiting = await worker.event(run.event_id)
    assert (waiting.status, waiting.retry_count, waiting.reason) == (EventStatus.PENDING, 0, None)
    assert (waiting.error_message, waiting.error_details) == (None, None)

    again = await worker.claim()
    assert again.run_id != run.run_id
    assert (again.event_id, again.attempt, again.epoch) == (run.event_id, 2, 2)
    assert (await worker.history(run)).run.status is not RunStatus.RUNNING


async def test_an_event_that_has_not_ended_is_not_replayed(worker: "Worker", push: "Push") -> None:
    event_id = await worker.receive(push())
    with pytest.raises(ConflictError, match="is pending"):
        await replay_event(worker.database, event_id)

    await worker.claim()
    with pytest.raises(ConflictError, match="is processing"):
        await replay_event(worker.database, event_id)


async def test_what_a_person_starts_again_has_all_its_tries_again(worker: "Worker", push: "Push") -> None:
    run = await worker.take_on(push())
    await worker.change_event(run.event_id, retry_count=3)
    await fail_run(worker.runtime, run, TimeoutError("the network is away"))
    assert (await worker.event(run.event_id)).status is EventStatus.FAILED

    again = await begin_run(worker.runtime, event_id=run.event_id, flow_run_id=uuid4())
    await fail_run(worker.runtime, again, TimeoutError("the network is away"))
    event = await worker.event(run.event_id)

    assert again.attempt == 2
    assert (event.status, event.retry_count) == (EventStatus.RETRYING, 1)
