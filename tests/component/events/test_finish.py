from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from sqlalchemy import select

from contexten_core.db import utc_now
from contexten_core.errors import ConfigurationError, GitError
from contexten_core.events import outbox_store
from contexten_core.events.claim import RunRef, claim_events
from contexten_core.events.finish import Ignored, complete_run, fail_run, ignore_run
from contexten_core.events.models import Conclusion, EffectStatus, EventModel, EventStatus, RunModel, RunStatus
from contexten_core.projects.resolve import Target
from contexten_core.tasks.change import create_task
from contexten_core.tasks.inputs import TaskCreate
from contexten_core.tasks.models import TaskModel, TaskStatus, TaskType

if TYPE_CHECKING:
    from tests.component.conftest import OpenWorker, Push, Worker

PASSING = GitError("the network is away", transient=True)


@pytest.fixture
async def run(worker: "Worker", push: "Push") -> RunRef:
    return await worker.take_on(push())


async def _announced(worker: "Worker", run: RunRef) -> None:
    """Take a run past the step that puts its pending status in the outbox."""
    await worker.add_project("acme/cashbox")
    event = await worker.ingest(run)
    target = await worker.resolve(run, event)
    assert isinstance(target, Target)
    await worker.select(run, event, target)


@pytest.mark.parametrize("conclusion", Conclusion)
async def test_a_completed_run(worker: "Worker", run: RunRef, conclusion: Conclusion) -> None:
    result = await complete_run(worker.runtime, run, conclusion)
    history = await worker.history(run)

    assert (result.run_id, result.event_id) == (run.run_id, run.event_id)
    assert (result.status, result.conclusion, result.reason) == (RunStatus.COMPLETED, conclusion, None)
    assert (history.run.status, history.run.conclusion) == (RunStatus.COMPLETED, conclusion)
    assert history.run.finished_at is not None
    assert (history.event.status, history.event.processed_at) == (EventStatus.COMPLETED, history.run.finished_at)
    assert (history.event.lease_owner, history.event.lease_expires_at) == (None, None)
    assert history.event.processing_duration_ms is not None
    assert 0 <= history.event.processing_duration_ms < 60_000


async def test_an_ignored_run_says_why(worker: "Worker", run: RunRef) -> None:
    result = await ignore_run(worker.runtime, run, Ignored("no project has the repository acme/cashbox"))
    history = await worker.history(run)

    assert (result.status, result.conclusion) == (RunStatus.IGNORED, None)
    assert result.reason == history.run.reason == history.event.reason == "no project has the repository acme/cashbox"
    assert (history.run.status, history.event.status) == (RunStatus.IGNORED, EventStatus.SKIPPED)


async def _delay(worker: "Worker", event_id: UUID) -> float:
    """Return the seconds that lie between the newest failure and the next try."""
    event = await worker.event(event_id)
    return (event.available_at - event.updated_at).total_seconds()


async def test_what_may_pass_is_tried_again_with_growing_delays_and_then_given_up(
    worker: "Worker", run: RunRef
) -> None:
    delays = []
    for attempt in (1, 2, 3):
        await fail_run(worker.runtime, run, PASSING)
        history = await worker.history(run)
        assert (history.event.status, history.event.retry_count) == (EventStatus.RETRYING, attempt)
        assert (history.event.error_message, history.run.status) == ("the network is away", RunStatus.RUNNING)
        assert history.event.lease_owner is None
        assert await claim_events(worker.runtime, limit=1) == []

        delays.append(await _delay(worker, run.event_id))
        await worker.change_event(run.event_id, available_at=utc_now())
        again = await worker.claim()
        assert (again.run_id, again.attempt, again.epoch) == (run.run_id, 1, run.epoch + 1)
        run = again
    assert delays == [pytest.approx(seconds, abs=1) for seconds in (2, 4, 8)]

    await fail_run(worker.runtime, run, PASSING)
    history = await worker.history(run)
    assert (history.event.status, history.run.status) == (EventStatus.FAILED, RunStatus.FAILED)
    assert (history.run.conclusion, history.run.reason) == (Conclusion.ERROR, "the network is away")


async def test_no_delay_is_longer_than_five_minutes(worker: "Worker", run: RunRef) -> None:
    await worker.change_event(run.event_id, max_retries=100, retry_count=20)
    await fail_run(worker.runtime, run, PASSING)

    assert await _delay(worker, run.event_id) <= 300


@pytest.mark.parametrize(
    ("error", "message"),
    [(ConfigurationError("the prompt has no command"), "the prompt has no command"), (KeyError("x"), "KeyError: 'x'")],
)
async def test_what_will_not_pass_fails_at_once(worker: "Worker", run: RunRef, error: Exception, message: str) -> None:
    await fail_run(worker.runtime, run, error)
    history = await worker.history(run)

    assert (history.event.status, history.run.status) == (EventStatus.FAILED, RunStatus.FAILED)
    assert history.event.error_message == history.event.reason == history.run.reason == message
    assert history.event.error_details == {"type": type(error).__name__, "transient": False}
    assert history.run.finished_at is not None


async def test_an_error_that_passed_is_not_on_the_event_that_completed(worker: "Worker", run: RunRef) -> None:
    await fail_run(worker.runtime, run, PASSING)
    await worker.change_event(run.event_id, available_at=utc_now())
    await complete_run(worker.runtime, await worker.claim(), Conclusion.SUCCESS)
    event = await worker.event(run.event_id)

    assert (event.status, event.retry_count) == (EventStatus.COMPLETED, 1)
    assert (event.error_message, event.error_details) == (None, None)


async def test_a_commit_that_was_told_pending_is_told_error_when_the_run_breaks(worker: "Worker", run: RunRef) -> None:
    await _announced(worker, run)
    await fail_run(worker.runtime, run, ConfigurationError("the disk is\nfull\x1b[0m"))
    pending, final = (await worker.history(run)).effects

    assert [effect.content["state"] for effect in (pending, final)] == ["pending", "error"]
    assert final.content["description"] == "Contexten: the disk is full [0m"
    assert final.status is EffectStatus.PENDING
    assert (final.stream, final.effect_key) == (pending.stream, f"{run.run_id}:commit_status:final")
    for key in ("repository", "sha", "context", "target_url", "api_url"):
        assert final.content[key] == pending.content[key]


async def test_what_an_unexpected_error_says_stays_with_us(worker: "Worker", run: RunRef) -> None:
    await _announced(worker, run)
    await fail_run(worker.runtime, run, ValueError("cannot connect to postgresql://contexten:hunter2@db/ci"))
    final = (await worker.history(run)).effects[-1]

    assert final.content["state"] == "error"
    assert "hunter2" not in final.content["description"]
    assert len(final.content["description"]) <= 140


async def test_while_it_will_be_tried_again_the_commit_stays_pending(worker: "Worker", run: RunRef) -> None:
    await _announced(worker, run)
    await fail_run(worker.runtime, run, PASSING)

    assert [effect.content["state"] for effect in (await worker.history(run)).effects] == ["pending"]


async def test_a_report_that_was_written_already_is_not_contradicted(worker: "Worker", run: RunRef) -> None:
    await _announced(worker, run)
    (pending,) = (await worker.history(run)).effects
    async with worker.database.transaction() as session:
        await outbox_store.enqueue(
            session,
            kind=pending.kind,
            effect_key=f"{run.run_id}:commit_status:final",
            stream=pending.stream,
            position=1,
            run_id=run.run_id,
            content={**pending.content, "state": "success"},
        )
    await fail_run(worker.runtime, run, KeyError("too late"))

    assert [effect.content["state"] for effect in (await worker.history(run)).effects] == ["pending", "success"]


async def test_a_run_that_never_spoke_does_not_begin_when_it_breaks(worker: "Worker", run: RunRef) -> None:
    await fail_run(worker.runtime, run, KeyError("x"))

    assert (await worker.history(run)).effects == []


async def test_who_has_lost_the_run_does_not_end_it(worker: "Worker", run: RunRef, open_worker: "OpenWorker") -> None:
    async with open_worker() as other:
        await other.change_event(run.event_id, lease_expires_at=utc_now() - timedelta(seconds=1))
        (continued,) = await claim_events(other.runtime, limit=1)
        await fail_run(worker.runtime, run, KeyError("too late"))
        history = await worker.history(run)

        assert (history.event.status, history.run.status) == (EventStatus.PROCESSING, RunStatus.RUNNING)
        assert (history.event.error_message, history.event.lease_epoch) == (None, continued.epoch)


async def test_a_run_that_breaks_fails_the_task_that_it_left_in_progress(worker: "Worker", run: RunRef) -> None:
    async with worker.database.transaction() as session:
        task, _ = await create_task(
            session, TaskCreate(name="check", task_type=TaskType.TESTING, status=TaskStatus.IN_PROGRESS)
        )
        (await session.get_one(RunModel, run.run_id)).task_id = task.id

    await fail_run(worker.runtime, run, RuntimeError("the disk is full"))

    async with worker.database.reading() as session:
        found = await session.get_one(TaskModel, task.id)
        told = (await session.execute(select(EventModel).where(EventModel.event_type == "task_failed"))).scalar_one()
    assert found.status is TaskStatus.FAILED
    assert found.error_message is not None
    assert "the disk is full" in found.error_message
    assert told.payload["run_id"] == str(run.run_id)
