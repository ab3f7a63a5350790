"""Runs are cancelled where somebody asks for it, and say so."""

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from contexten_core.db import utc_now
from contexten_core.errors import ConflictError, NotFoundError
from contexten_core.events.cancel import cancel_run, end_or_hand_back, request_cancel, requested_cancels
from contexten_core.events.claim import claim_events
from contexten_core.events.finish import complete_run, hand_back
from contexten_core.events.models import Conclusion, EventStatus, RunStatus
from contexten_core.lifecycle import Steps, handling, live

if TYPE_CHECKING:
    from tests.component.conftest import OpenWorker, Push, Worker


async def test_a_run_ends_as_cancelled_with_who_asked_for_it(worker: "Worker", push: "Push") -> None:
    run = await worker.take_on(push())
    async with worker.database.transaction() as session:
        await cancel_run(session, run.run_id, by="mona")
    async with worker.database.reading() as session:
        assert await requested_cancels(session, [run.run_id, uuid4()]) == [run.run_id]

    assert await end_or_hand_back(worker.runtime, run) is RunStatus.CANCELLED
    history = await worker.history(run)
    assert (history.run.status, history.run.reason) == (RunStatus.CANCELLED, "cancelled by mona")
    assert (history.event.status, history.event.lease_owner) == (EventStatus.SKIPPED, None)
    assert await claim_events(worker.runtime, limit=1) == []


async def test_a_run_that_nobody_wants_cancelled_is_handed_back(worker: "Worker", push: "Push") -> None:
    run = await worker.take_on(push())

    assert await end_or_hand_back(worker.runtime, run) is None
    (again,) = await claim_events(worker.runtime, limit=1)
    assert (again.run_id, again.claims) == (run.run_id, 1)


async def test_a_run_that_waits_for_a_worker_is_ended_by_the_next(worker: "Worker", push: "Push") -> None:
    run = await worker.take_on(push())
    await hand_back(worker.runtime, run)
    await worker.change_event(run.event_id, status=EventStatus.RETRYING, available_at=utc_now() + timedelta(hours=1))
    async with worker.database.transaction() as session:
        assert await request_cancel(session, run.run_id, by="mona", reason="not needed")

    (again,) = await claim_events(worker.runtime, limit=1)
    assert again.is_cancelled
    async with handling(worker.runtime, again):
        result = await live(worker.runtime, again, Steps.plain(worker.runtime))
    assert result.status is RunStatus.CANCELLED
    history = await worker.history(again)
    assert (history.run.status, history.steps) == (RunStatus.CANCELLED, [])


async def test_a_run_that_another_worker_has_is_not_ended(open_worker: "OpenWorker", push: "Push") -> None:
    async with open_worker() as worker, open_worker() as other:
        run = await worker.take_on(push())
        await worker.change_event(run.event_id, lease_expires_at=utc_now() - timedelta(seconds=1))
        (taken,) = await claim_events(other.runtime, limit=1)
        async with worker.database.transaction() as session:
            await cancel_run(session, run.run_id, by="mona")

        assert await end_or_hand_back(worker.runtime, run) is None
        assert await end_or_hand_back(other.runtime, taken) is RunStatus.CANCELLED


async def test_what_has_ended_is_not_cancelled(worker: "Worker", push: "Push") -> None:
    run = await worker.take_on(push())
    await complete_run(worker.runtime, run, Conclusion.SUCCESS)
    async with worker.database.transaction() as session:
        with pytest.raises(ConflictError, match="has ended: completed"):
            await cancel_run(session, run.run_id, by="mona")
        with pytest.raises(NotFoundError):
            await cancel_run(session, uuid4(), by="mona")
