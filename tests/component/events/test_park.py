"""An event that seems to kill its workers is set aside, with the evidence."""

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from contexten_core.db import utc_now
from contexten_core.errors import ConflictError, LeaseLostError
from contexten_core.events.claim import RunRef, claim_events, replay_event
from contexten_core.events.finish import complete_run
from contexten_core.events.models import Conclusion, EventStatus, RunStatus
from contexten_core.events.park import discard_event, park_suspects
from contexten_core.events.steps import Step, StepRecord, run_step

if TYPE_CHECKING:
    from tests.component.conftest import Push, Worker


async def _fall_silent(worker: "Worker", event_id: UUID) -> None:
    await worker.change_event(event_id, lease_expires_at=utc_now() - timedelta(seconds=1))


async def _die(worker: "Worker", run: RunRef) -> None:
    """Begin a step, and fall silent in it."""

    async def work(_: StepRecord) -> int:
        raise LeaseLostError("the worker is gone")

    with pytest.raises(LeaseLostError):
        await run_step(worker.runtime, run, Step.EXECUTE_TASK, int, work)
    await _fall_silent(worker, run.event_id)


async def _killed_three_times(worker: "Worker", push: "Push") -> RunRef:
    run = await worker.take_on(push())
    await _die(worker, run)
    for _ in range(2):
        (run,) = await claim_events(worker.runtime, limit=1)
        await _die(worker, run)
    return run


async def test_after_three_claims_it_is_parked_with_its_evidence(worker: "Worker", push: "Push") -> None:
    run = await _killed_three_times(worker, push)
    assert await claim_events(worker.runtime, limit=1) == []
    assert await park_suspects(worker.runtime, limit=5) == [run.event_id]

    history = await worker.history(run)
    details = history.event.error_details or {}
    assert (history.event.status, history.run.status) == (EventStatus.FAILED, RunStatus.FAILED)
    assert history.event.parked_at is not None
    assert "went away 3 times during execute-task" in str(history.event.reason)
    assert (details["code"], details["step"], len(details["claims"])) == ("kills_its_worker", "execute-task", 3)


async def test_whoever_turns_out_to_live_writes_nothing_more(worker: "Worker", push: "Push") -> None:
    run = await _killed_three_times(worker, push)
    await park_suspects(worker.runtime, limit=5)

    with pytest.raises(LeaseLostError):
        await complete_run(worker.runtime, run, Conclusion.SUCCESS)


async def test_a_run_that_gets_on_is_never_parked(worker: "Worker", push: "Push") -> None:
    run = await worker.take_on(push())
    for step in (Step.INGEST_EVENT, Step.RESOLVE_PROJECT, Step.SELECT_PROMPT, Step.ANALYSE_CODEBASE):

        async def work(record: StepRecord) -> int:
            async with record.runtime.database.transaction() as session:
                return await record.complete(session, 1)

        await run_step(worker.runtime, run, step, int, work)
        await _fall_silent(worker, run.event_id)
        (run,) = await claim_events(worker.runtime, limit=1)

    assert run.claims <= 2
    assert await park_suspects(worker.runtime, limit=5) == []


async def test_a_parked_event_is_requeued_or_discarded_by_a_person(worker: "Worker", push: "Push") -> None:
    run = await _killed_three_times(worker, push)
    await park_suspects(worker.runtime, limit=5)
    await replay_event(worker.database, run.event_id)
    (again,) = await claim_events(worker.runtime, limit=1)
    assert (again.attempt, again.claims) == (2, 1)

    with pytest.raises(ConflictError, match="is not parked"):
        await discard_event(worker.database, run.event_id, by="mona")
    await worker.change_event(run.event_id, parked_at=utc_now(), status=EventStatus.FAILED, reason="no use")
    await discard_event(worker.database, run.event_id, by="mona")
    event = await worker.event(run.event_id)
    assert (event.status, event.reason, event.parked_at) == (EventStatus.SKIPPED, "discarded by mona: no use", None)
