import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from contexten_core.events import store
from contexten_core.events.claim import RunRef, claim_events
from contexten_core.events.finish import complete_run, hand_back
from contexten_core.events.models import Conclusion, EventStatus
from contexten_core.projects.resolve import Target
from contexten_core.prompts.select import Choice
from contexten_core.tasks.outcome import Unavailable

if TYPE_CHECKING:
    from tests.component.conftest import OpenWorker, Push, Worker


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 - the database changes behind our back
            await asyncio.sleep(0.02)


async def _expiry(worker: "Worker", event_id: UUID) -> datetime:
    expires_at = (await worker.event(event_id)).lease_expires_at
    assert expires_at is not None
    return expires_at


async def _renewal(worker: "Worker", event_id: UUID) -> None:
    """Wait until a lease is renewed once more."""
    before = await _expiry(worker, event_id)

    async def renewed() -> bool:
        return await _expiry(worker, event_id) > before

    await _until(renewed)


async def test_a_lease_that_is_held_is_renewed_again_and_again(open_worker: "OpenWorker", push: "Push") -> None:
    async with open_worker(heartbeat_seconds=0.05, lease_seconds=30) as worker, open_worker() as other:
        run = await worker.take_on(push())
        for _ in range(3):
            await _renewal(worker, run.event_id)

        assert await claim_events(other.runtime, limit=10) == []


async def test_all_leases_are_renewed_together(open_worker: "OpenWorker", push: "Push") -> None:
    async with open_worker(heartbeat_seconds=0.05) as worker:
        for number in range(3):
            await worker.receive(push(branch=f"b{number}"))
        runs = await claim_events(worker.runtime, limit=3)
        before = max([await _expiry(worker, run.event_id) for run in runs])

        async def renewed() -> bool:
            async with worker.database.reading() as session:
                seen = {event.lease_expires_at for event in await store.newest(session, limit=3)}
            (expiry,) = seen
            return expiry is not None and expiry > before

        await _until(renewed)


async def test_a_lease_that_was_let_go_is_not_renewed(open_worker: "OpenWorker", push: "Push") -> None:
    async with open_worker(heartbeat_seconds=0.05) as worker:
        released, held = await worker.take_on(push(branch="released")), await worker.take_on(push(branch="held"))
        worker.runtime.leases.release(released.event_id)
        for _ in range(2):  # the first may have begun before
            await _renewal(worker, held.event_id)
        expiry = await _expiry(worker, released.event_id)
        await _renewal(worker, held.event_id)

        assert await _expiry(worker, released.event_id) == expiry


async def test_an_event_that_has_ended_is_not_leased_again(open_worker: "OpenWorker", push: "Push") -> None:
    async with open_worker(heartbeat_seconds=0.05) as worker:
        ended = await worker.take_on(push(branch="ended"))
        going_on = await worker.take_on(push(branch="going-on"))
        await complete_run(worker.runtime, ended, Conclusion.SUCCESS)
        await _renewal(worker, going_on.event_id)

        event = await worker.event(ended.event_id)
        assert (event.status, event.lease_owner, event.lease_expires_at) == (EventStatus.COMPLETED, None, None)


async def test_a_worker_that_ends_gives_back_what_it_holds(open_worker: "OpenWorker", push: "Push") -> None:
    async with open_worker() as other:
        async with open_worker() as leaving:
            run = await leaving.take_on(push())
            done = await leaving.take_on(push(branch="done"))
            await complete_run(leaving.runtime, done, Conclusion.SUCCESS)

        event = await other.event(run.event_id)
        assert (event.status, event.lease_owner, event.lease_expires_at) == (EventStatus.PENDING, None, None)
        continued = await other.claim()
        assert (continued.run_id, continued.epoch) == (run.run_id, run.epoch + 1)


async def test_a_run_that_was_made_to_stop_is_continued_at_once_by_another(
    open_worker: "OpenWorker", push: "Push"
) -> None:
    async with open_worker() as stopped, open_worker() as other:
        run = await stopped.take_on(push())
        await hand_back(stopped.runtime, run)

        assert (await other.claim()).run_id == run.run_id


async def test_only_the_owner_gives_back(open_worker: "OpenWorker", push: "Push") -> None:
    async with open_worker() as owner, open_worker() as other:
        run = await owner.take_on(push())
        await hand_back(other.runtime, run)

        event = await owner.event(run.event_id)
        assert (event.status, event.lease_owner) == (EventStatus.PROCESSING, owner.runtime.leases.owner)


async def test_steps_and_heartbeats_at_once_do_not_lock_each_other_out(
    open_worker: "OpenWorker", push: "Push", caplog: pytest.LogCaptureFixture
) -> None:
    async def handle(worker: "Worker", run: RunRef) -> None:
        event = await worker.ingest(run)
        target = await worker.resolve(run, event)
        assert isinstance(target, Target)
        choice = await worker.select(run, event, target)
        assert isinstance(choice, Choice)
        outcome = await worker.execute(run, event, target, choice, Unavailable("git", "not there"), lambda _: None)
        await worker.record(run, target, choice, outcome)
        await worker.mine(run, target, choice, outcome)

    async with open_worker(heartbeat_seconds=0.001) as worker:
        await worker.add_project("acme/cashbox")
        for number in range(24):
            await worker.receive(push(branch=f"b{number}"))
        await asyncio.gather(*(handle(worker, run) for run in await claim_events(worker.runtime, limit=24)))

    assert [record.message for record in caplog.records] == []


async def test_a_successor_takes_over_at_once_and_from_no_one_else(open_worker: "OpenWorker", push: "Push") -> None:
    async with (
        open_worker(name="ours") as killed,
        open_worker(name="ours") as heir,
        open_worker(name="theirs") as other,
        open_worker() as unnamed,
    ):
        left = await killed.take_on(push(branch="left"))
        held = [await worker.take_on(push(branch=branch)) for branch, worker in (("a", other), ("b", unnamed))]
        own = await heir.take_on(push(branch="own"))

        assert await heir.runtime.leases.succeed("ours") == (1, 0)
        (taken,) = await claim_events(heir.runtime, limit=10)
        assert await heir.runtime.leases.succeed("ours") == (0, 0)

        assert (taken.run_id, taken.epoch, taken.claims) == (left.run_id, left.epoch + 1, 2)
        for run, worker in (*zip(held, (other, unnamed), strict=True), (own, heir)):
            event = await heir.event(run.event_id)
            assert (event.lease_owner, event.lease_epoch) == (worker.runtime.leases.owner, run.epoch)
