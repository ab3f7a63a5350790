from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from sqlalchemy.exc import IntegrityError

from contexten_core.db import utc_now
from contexten_core.errors import GitError, LeaseLostError
from contexten_core.errors.breaker import BREAKERS, BreakerOpenError, BreakerState, DependencyKind
from contexten_core.events import run_store
from contexten_core.events.claim import RunRef, claim_events
from contexten_core.events.finish import Ignored
from contexten_core.events.models import Conclusion, EventHandlerModel, EventModel, HandlerStatus
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.steps import Step, StepRecord, run_step
from contexten_core.learning.failure import Failure, FailureKind
from contexten_core.projects import store as project_store
from contexten_core.projects.models import ProjectModel
from contexten_core.projects.resolve import Target
from contexten_core.tasks.outcome import Outcome

if TYPE_CHECKING:
    from tests.component.conftest import OpenWorker, Push, Worker

STEP = Step.RESOLVE_PROJECT


@dataclass
class Work:
    """A step's work that counts how often it was done, and writes a project with its result."""

    result: object = field(default_factory=lambda: Ignored("nothing to do"))
    error: Exception | None = None
    done: int = 0

    async def __call__(self, record: StepRecord) -> object:
        self.done += 1
        async with record.runtime.database.transaction() as session:
            session.add(ProjectModel(name="written by the step", slug=f"slug-{self.done}"))
            if self.error is not None:
                raise self.error
            return await record.complete(session, self.result)


async def _row(worker: "Worker", run: RunRef) -> EventHandlerModel:
    async with worker.database.reading() as session:
        row = await run_store.step(session, run_id=run.run_id, name=STEP)
    assert row is not None
    return row


async def _projects(worker: "Worker") -> int:
    async with worker.database.reading() as session:
        return len(await project_store.newest(session, limit=10))


async def _take_over(other: "Worker", run: RunRef) -> RunRef:
    await other.change_event(run.event_id, lease_expires_at=utc_now())
    (continued,) = await claim_events(other.runtime, limit=1)
    return continued


@pytest.fixture
async def run(worker: "Worker", push: "Push") -> RunRef:
    return await worker.take_on(push())


async def test_a_step_leaves_a_record(worker: "Worker", run: RunRef) -> None:
    work = Work()
    assert await run_step(worker.runtime, run, STEP, Ignored, work) == Ignored("nothing to do")
    row = await _row(worker, run)

    assert (row.handler_name, row.status, row.retry_count) == ("resolve-project", HandlerStatus.COMPLETED, 0)
    assert (row.event_id, row.input_data) == (run.event_id, {"epoch": 1})
    assert row.output_data == {"reason": "nothing to do", "refused": False}
    assert row.duration_ms is not None
    assert 0 <= row.duration_ms < 60_000
    assert row.completed_at is not None
    assert row.completed_at >= row.started_at


OUTCOME = Outcome(
    task_id=UUID(int=1),
    execution_id=UUID(int=2),
    conclusion=Conclusion.FAILURE,
    headline="1 test failed: tests/test_a.py::test_b ♥",
    exit_code=1,
    duration_seconds=0.1 + 0.2,
    memory_mb=None,
    failure=Failure(
        headline="…", excerpt="E  assert 1 == 2\n", failed_tests=("a::b", "a::c"), kind=FailureKind.TEST, line=7
    ),
    details={"ended": "exited", "hint": None},
)
EVENT = NormalisedEvent(type="push", name="acme/cashbox main push", number=12, deleted=True)


@pytest.mark.parametrize(
    ("result", "kind"),
    [(OUTCOME, Outcome), (EVENT, NormalisedEvent), (Ignored("no project"), Target | Ignored)],
    ids=["outcome", "event", "one of two kinds"],
)
async def test_a_completed_step_is_not_done_again_and_gives_an_equal_value(
    worker: "Worker", run: RunRef, result: object, kind: type
) -> None:
    work = Work(result)
    first = await run_step(worker.runtime, run, STEP, kind, work)
    again = await run_step(worker.runtime, run, STEP, kind, work)

    assert first is result
    assert again == result
    assert type(again) is type(result)
    assert work.done == 1
    assert await _projects(worker) == 1


async def test_a_failure_is_recorded_with_its_message_and_raised(worker: "Worker", run: RunRef) -> None:
    work = Work(error=GitError("the commit is gone", hint="push it again"))
    with pytest.raises(GitError, match="the commit is gone"):
        await run_step(worker.runtime, run, STEP, Ignored, work)
    row = await _row(worker, run)

    assert (row.status, row.error_message) == (HandlerStatus.FAILED, "the commit is gone")
    assert row.error_stack_trace is not None
    assert "in __call__" in row.error_stack_trace
    assert row.output_data is None
    assert await _projects(worker) == 0


async def test_an_error_that_nobody_expected_is_recorded_by_its_kind(worker: "Worker", run: RunRef) -> None:
    work = Work(error=ValueError("x\0" + "y" * 10_000))
    with pytest.raises(ValueError, match="yyy"):
        await run_step(worker.runtime, run, STEP, Ignored, work)
    row = await _row(worker, run)

    assert row.error_message is not None
    assert row.error_message.startswith("ValueError: x�yyy")
    assert len(row.error_message) == 2_000
    assert len(row.error_stack_trace or "") <= 8_000


async def test_a_step_that_failed_is_tried_again(worker: "Worker", run: RunRef) -> None:
    work = Work(error=GitError("the network is away", transient=True))
    with pytest.raises(GitError):
        await run_step(worker.runtime, run, STEP, Ignored, work)
    work.error = None
    await run_step(worker.runtime, run, STEP, Ignored, work)
    row = await _row(worker, run)

    assert (row.status, row.retry_count, work.done) == (HandlerStatus.COMPLETED, 1, 2)
    assert (row.error_message, row.error_stack_trace) == (None, None)


async def test_what_each_attempt_failed_of_stays_on_the_record(
    worker: "Worker", run: RunRef, open_worker: "OpenWorker"
) -> None:
    work = Work()
    for number in range(1, 7):
        work.error = GitError(f"failed for the {number}. time " + "x" * 1_000, transient=True)
        with pytest.raises(GitError):
            await run_step(worker.runtime, run, STEP, Ignored, work)
    work.error = None
    async with open_worker() as other:
        continued = await _take_over(other, run)
        await run_step(other.runtime, continued, STEP, Ignored, work)
    (step,) = (await worker.history(run)).as_dict()["steps"]

    assert (step["status"], step["retries"], step["error"]) == ("completed", 5, None)
    kept = [(failure["claim"], failure["attempt"], failure["error"][:24]) for failure in step["failures"]]
    assert kept == [(1, number, f"failed for the {number}. time xxx"[:24]) for number in range(2, 7)]
    assert all(len(failure["error"]) <= 300 for failure in step["failures"])


async def test_what_a_breaker_refuses_is_waited_for_and_is_no_attempt(worker: "Worker", run: RunRef) -> None:
    work = Work(error=GitError("not called", transient=True))
    assert work.error is not None
    work.error.__cause__ = BreakerOpenError("left alone", transient=True, retry_after=0.01)

    async def until_it_answers(record: StepRecord) -> object:
        if work.done == 3:
            work.error = None
        return await work(record)

    await run_step(worker.runtime, run, STEP, Ignored, until_it_answers)
    row = await _row(worker, run)

    assert (row.status, row.retry_count, row.input_data, work.done) == (HandlerStatus.COMPLETED, 0, {"epoch": 1}, 4)


async def test_a_breaker_that_refuses_for_longer_than_the_step_may_take_fails_it(worker: "Worker", run: RunRef) -> None:
    work = Work(error=BreakerOpenError("left alone", transient=True, retry_after=3_600))
    with pytest.raises(BreakerOpenError):
        await run_step(worker.runtime, run, STEP, Ignored, work)

    assert ((await _row(worker, run)).status, work.done) == (HandlerStatus.FAILED, 1)


async def test_while_the_database_does_not_answer_no_step_begins_until_it_does(worker: "Worker", run: RunRef) -> None:
    breaker = BREAKERS.of(DependencyKind.DATABASE, worker.runtime.settings.db.kind)
    breaker.hold(0.05)
    work = Work()
    await run_step(worker.runtime, run, STEP, Ignored, work)

    assert (breaker.state, work.done) == (BreakerState.CLOSED, 1)


async def test_a_database_that_refuses_the_writes_fails_the_step(worker: "Worker", run: RunRef) -> None:
    async def clash(record: StepRecord) -> Ignored:
        async with record.runtime.database.transaction() as session:
            session.add_all([ProjectModel(name="one", slug="same"), ProjectModel(name="two", slug="same")])
            return await record.complete(session, Ignored("?"))

    with pytest.raises(IntegrityError):
        await run_step(worker.runtime, run, STEP, Ignored, clash)

    assert (await _row(worker, run)).status is HandlerStatus.FAILED
    assert await _projects(worker) == 0


async def test_a_step_that_does_not_store_its_result_is_not_done(worker: "Worker", run: RunRef) -> None:
    async def forget(_: StepRecord) -> Ignored:
        return Ignored("never stored")

    with pytest.raises(LeaseLostError, match="without storing its result"):
        await run_step(worker.runtime, run, STEP, Ignored, forget)


async def test_who_has_lost_the_lease_writes_nothing(worker: "Worker", run: RunRef, open_worker: "OpenWorker") -> None:
    async def overtaken(record: StepRecord, other: "Worker") -> Ignored:
        await _take_over(other, run)
        async with record.runtime.database.transaction() as session:
            session.add(ProjectModel(name="too late", slug="too-late"))
            return await record.complete(session, Ignored("too late"))

    async with open_worker() as other:
        with pytest.raises(LeaseLostError, match="taken over"):
            await run_step(worker.runtime, run, STEP, Ignored, partial(overtaken, other=other))

    assert await _projects(worker) == 0
    assert (await _row(worker, run)).status is not HandlerStatus.COMPLETED


async def test_who_has_lost_the_lease_does_not_call_the_new_owners_step_failed(
    worker: "Worker", run: RunRef, open_worker: "OpenWorker"
) -> None:
    async def other_work(record: StepRecord) -> Ignored:
        with pytest.raises(LeaseLostError):
            await run_step(worker.runtime, run, STEP, Ignored, Work())
        assert (await _row(worker, run)).status is HandlerStatus.RUNNING
        return await Work()(record)  # type: ignore[return-value]

    async with open_worker() as other:
        continued = await _take_over(other, run)
        await run_step(other.runtime, continued, STEP, Ignored, other_work)

    row = await _row(worker, run)
    assert (row.status, row.retry_count, row.input_data) == (HandlerStatus.COMPLETED, 0, {"epoch": 2})


async def test_who_has_lost_the_lease_does_not_begin_a_step(
    worker: "Worker", run: RunRef, open_worker: "OpenWorker"
) -> None:
    work = Work()
    async with open_worker() as other:
        await _take_over(other, run)
        with pytest.raises(LeaseLostError):
            await run_step(worker.runtime, run, STEP, Ignored, work)

    assert work.done == 0


async def test_the_new_owner_goes_on_at_the_first_unfinished_step(
    worker: "Worker", run: RunRef, open_worker: "OpenWorker"
) -> None:
    done, unfinished = Work(Ignored("done by the first")), Work(error=GitError("the worker died here"))
    await run_step(worker.runtime, run, Step.INGEST_EVENT, Ignored, done)
    with pytest.raises(GitError):
        await run_step(worker.runtime, run, STEP, Ignored, unfinished)

    unfinished.error = None
    async with open_worker() as other:
        continued = await _take_over(other, run)
        first = await run_step(other.runtime, continued, Step.INGEST_EVENT, Ignored, done)
        await run_step(other.runtime, continued, STEP, Ignored, unfinished)

    assert first == Ignored("done by the first")
    assert (done.done, unfinished.done) == (1, 2)


async def test_ingest_puts_on_the_event_what_its_payload_says(worker: "Worker", run: RunRef) -> None:
    said = await worker.ingest(run)
    event: EventModel = await worker.event(run.event_id)

    assert (event.title, event.subject) == ("Add tax to the total", "acme/cashbox@main")
    assert (event.source_user, event.source_repository) == ("jonas", "acme/cashbox")
    assert event.source_url == said.url
    assert said.commit == "4d1c2b3a" * 5
