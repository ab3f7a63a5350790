from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import Database, utc_now
from contexten_core.events.cancel import request_cancel
from contexten_core.events.models import EventModel, EventProvider, EventStatus, RunModel, RunStatus
from deployments.cancellations import end_of, message_of
from deployments.flow_run_store import carried_by, to_be_cancelled


async def add_run(session: AsyncSession, flow_run_id: UUID, *, status: RunStatus = RunStatus.RUNNING) -> RunModel:
    """Store a run that a flow run carries out, and its event, which a worker holds while the run is in progress."""
    is_live = status is RunStatus.RUNNING
    event = EventModel(
        id=uuid4(),
        name="a push",
        title="a push",
        provider=EventProvider.GITHUB,
        event_type="push",
        digest=str(uuid4()),
        payload={},
        available_at=utc_now(),
        status=EventStatus.PROCESSING if is_live else EventStatus.COMPLETED,
        lease_owner="a worker" if is_live else None,
        lease_expires_at=utc_now() + timedelta(minutes=1) if is_live else None,
    )
    session.add(event)
    await session.flush()
    run = RunModel(
        id=uuid4(),
        name="a push",
        event_id=event.id,
        attempt=1,
        status=status,
        flow_run_id=flow_run_id,
        reason="no prompt is for it" if status is RunStatus.IGNORED else None,
        started_at=utc_now(),
    )
    session.add(run)
    await session.flush()
    return run


async def test_a_flow_run_carries_out_one_run_or_many(database: Database) -> None:
    one, many, nothing = uuid4(), uuid4(), uuid4()
    async with database.transaction() as session:
        first = await add_run(session, one)
        others = {(await add_run(session, many)).id for _ in range(3)}
    async with database.reading() as session:
        found = await carried_by(session, [one, many, nothing])
    assert [run.run_id for run in found[one]] == [first.id]
    assert {run.run_id for run in found[many]} == others
    assert nothing not in found
    assert found[one][0].is_live
    assert found[one][0].is_held(utc_now())
    assert not found[one][0].is_held(utc_now() + timedelta(minutes=2))


async def test_only_runs_in_progress_that_somebody_wants_cancelled_are_to_be_cancelled(database: Database) -> None:
    async with database.transaction() as session:
        wanted = await add_run(session, uuid4())
        superseded = await add_run(session, uuid4())
        await add_run(session, uuid4())
        ended = await add_run(session, uuid4(), status=RunStatus.COMPLETED)
        newer = superseded.event_id
        assert await request_cancel(session, wanted.id, by="mona", reason="not needed")
        assert await request_cancel(session, superseded.id, by="us", reason="superseded by a push", superseded_by=newer)
        assert not await request_cancel(session, ended.id, by="mona", reason="too late")
    async with database.reading() as session:
        found = {run.run_id: run for run in await to_be_cancelled(session, limit=10)}
    assert set(found) == {wanted.id, superseded.id}
    assert message_of(found[wanted.id]) == "not needed"
    assert message_of(found[superseded.id]) == "superseded by a push"


async def test_prefect_is_told_how_runs_ended(database: Database) -> None:
    flow_runs = {status: uuid4() for status in RunStatus}
    async with database.transaction() as session:
        for status, flow_run_id in flow_runs.items():
            await add_run(session, flow_run_id, status=status)
    async with database.reading() as session:
        carried = await carried_by(session, list(flow_runs.values()))
    ends = {status: end_of(carried[flow_run_id]) for status, flow_run_id in flow_runs.items()}
    assert {status: None if end is None else end.name for status, end in ends.items()} == {
        RunStatus.RUNNING: None,
        RunStatus.COMPLETED: "Completed",
        RunStatus.IGNORED: "Completed",
        RunStatus.FAILED: "Failed",
        RunStatus.SUPERSEDED: "Cancelled",
        RunStatus.CANCELLED: "Cancelled",
    }
    ignored = ends[RunStatus.IGNORED]
    assert ignored is not None
    assert ignored.message == "no prompt is for it"
    assert end_of([]) is None
