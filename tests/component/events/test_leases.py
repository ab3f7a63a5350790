import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from contexten_core.events.claim import claim_events
from contexten_core.events.finish import complete_run, hand_back
from contexten_core.events.models import Conclusion, EventStatus

if TYPE_CHECKING:
    from tests.component.conftest import OpenWorker, Push, Worker


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0.02)


async def _expiry(worker: "Worker", event_id: UUID) -> datetime:
    expires_at = (await worker.event(event_id)).lease_expires_at
    assert expires_at is not None
    return expires_at


async def test_a_lease_that_is_held_is_renewed_again_and_again(open_worker: "OpenWorker", push: "Push") -> None:
    async with open_worker(heartbeat_seconds=0.05, lease_seconds=30) as worker, open_worker() as other:
        run = await worker.take_on(push())
        for _ in range(3):
            before = await _expiry(worker, run.event_id)

            async def renewed(before: datetime = before) -> bool:
                return await _expiry(worker, run.event_id) > before

            await _until(renewed)
        assert await claim_events(other.runtime, limit=10) == []


async def test_all_leases_are_renewed_together(open_worker: "OpenWorker", push: "Push") -> None:
    async with open_worker(heartbeat_seconds=0.05) as worker:
        ids = [await worker.receive(push(branch=f"b{number}")) for number in range(3)]
        await claim_events(worker.runtime, limit=3)
        before = {event_id: await _expiry(worker, event_id) for event_id in ids}

        async def renewed() -> bool:
            return all([await _expiry(worker, event_id) > before[event_id] for event_id in ids])

        await _until(renewed)
        assert len({await _expiry(worker, event_id) for event_id in ids}) == 1


async def test_a_lease_that_was_let_go_is_not_renewed(open_worker: "OpenWorker", push: "Push") -> None:
    async with open_worker(heartbeat_seconds=0.05) as worker:
        released, held = [await worker.receive(push(branch=name)) for name in ("released", "held")]
        await claim_events(worker.runtime, limit=2)
        worker.runtime.leases.release(released)
        expiry, other_expiry = await _expiry(worker, released), await _expiry(worker, held)

        async def renewed_twice() -> bool:
            return (await _expiry(worker, held) - other_expiry).total_seconds() > 0.05

        await _until(renewed_twice)
        assert (await _expiry(worker, released) - expiry).total_seconds() <= 0.05


async def test_an_event_that_has_ended_is_not_leased_again(open_worker: "OpenWorker", push: "Push") -> None:
    async with open_worker(heartbeat_seconds=0.05) as worker:
        ended = await worker.take_on(push(branch="ended"))
        going_on = await worker.take_on(push(branch="going-on"))
        await complete_run(worker.runtime, ended, Conclusion.SUCCESS)
        before = await _expiry(worker, going_on.event_id)

        async def renewed() -> bool:
            return await _expiry(worker, going_on.event_id) > before

        await _until(renewed)
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
