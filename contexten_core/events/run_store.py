"""All SQL about runs and their step records."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult, func, select, update
from sqlalchemy.exc import NoResultFound
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db.paging import Page, page
from contexten_core.db.shared import UNKNOWN, ask, is_shared, load, recalled, remember
from contexten_core.events.models import Conclusion, EventHandlerModel, EventModel, RunModel, RunStatus


async def get(session: AsyncSession, run_id: UUID) -> RunModel | None:
    return await load(session, RunModel, run_id)


async def recall_all(session: AsyncSession, run_ids: Collection[UUID], *, step: str | None) -> None:
    """Read runs, and their records of one step, at once for the rest of this transaction, which has locked them."""
    for run in (await session.execute(select(RunModel).where(RunModel.id.in_(run_ids)))).scalars():
        remember(session, RunModel, run.id, value=run)
    if step is None:
        return
    statement = select(EventHandlerModel).where(
        EventHandlerModel.run_id.in_(run_ids), EventHandlerModel.handler_name == step
    )
    found = {row.run_id: row for row in (await session.execute(statement)).scalars()}
    for run_id in run_ids:
        remember(session, EventHandlerModel, run_id, step, value=found.get(run_id))


async def latest_of(session: AsyncSession, event_id: UUID) -> RunModel | None:
    statement = select(RunModel).where(RunModel.event_id == event_id).order_by(RunModel.attempt.desc()).limit(1)
    return (await session.execute(statement)).scalar_one_or_none()


async def latest_of_all(session: AsyncSession, event_ids: Collection[UUID]) -> dict[UUID, RunModel]:
    """Return the newest run of each of these events that has one."""
    statement = select(RunModel).where(RunModel.event_id.in_(event_ids)).order_by(RunModel.attempt)
    return {run.event_id: run for run in (await session.execute(statement)).scalars()}


async def by_flow_run(session: AsyncSession, flow_run_id: UUID) -> RunModel | None:
    statement = select(RunModel).where(RunModel.flow_run_id == flow_run_id).limit(1)
    return (await session.execute(statement)).scalar_one_or_none()


async def set_flow_run(session: AsyncSession, run_ids: Collection[UUID], *, flow_run_id: UUID) -> None:
    statement = update(RunModel).where(RunModel.id.in_(run_ids)).values(flow_run_id=flow_run_id)
    await session.execute(statement.execution_options(synchronize_session=False))


async def count_of_flow_run(session: AsyncSession, flow_run_id: UUID) -> dict[RunStatus, int]:
    """Return how many runs a Prefect flow run carried out, by status."""
    statement = select(RunModel.status, func.count()).where(RunModel.flow_run_id == flow_run_id)
    return dict((await session.execute(statement.group_by(RunModel.status))).tuples().all())


async def to_be_cancelled(session: AsyncSession, run_ids: Collection[UUID]) -> list[UUID]:
    """Return those of these runs in progress that somebody wants cancelled."""
    statement = select(RunModel.id).where(
        RunModel.id.in_(run_ids), RunModel.cancel_requested_at.is_not(None), RunModel.status == RunStatus.RUNNING
    )
    return list((await session.execute(statement)).scalars())


async def of_event(session: AsyncSession, event_id: UUID) -> Sequence[RunModel]:
    statement = select(RunModel).where(RunModel.event_id == event_id).order_by(RunModel.attempt)
    return (await session.execute(statement)).scalars().all()


async def newest(
    session: AsyncSession, *, limit: int, status: RunStatus | None = None, conclusion: Conclusion | None = None
) -> Sequence[RunModel]:
    statement = select(RunModel).order_by(RunModel.created_at.desc(), RunModel.id).limit(limit)
    if status is not None:
        statement = statement.where(RunModel.status == status)
    if conclusion is not None:
        statement = statement.where(RunModel.conclusion == conclusion)
    return (await session.execute(statement)).scalars().all()


async def newest_failing(session: AsyncSession, *, limit: int) -> Sequence[RunModel]:
    """Return the newest runs that found a failure, could not find out, or broke."""
    statement = select(RunModel).where(RunModel.conclusion.in_((Conclusion.FAILURE, Conclusion.ERROR)))
    statement = statement.order_by(RunModel.created_at.desc(), RunModel.id).limit(limit)
    return (await session.execute(statement)).scalars().all()


async def commits_concluded(session: AsyncSession, conclusion: Conclusion, *, limit: int) -> set[str]:
    """Return the commits of the newest runs that found this; a commit's id tells of which repository it is."""
    statement = select(RunModel.commit_sha).where(RunModel.conclusion == conclusion)
    statement = statement.order_by(RunModel.created_at.desc(), RunModel.id).limit(limit)
    return {commit for commit in (await session.execute(statement)).scalars() if commit is not None}


async def count_by_outcome(session: AsyncSession) -> list[tuple[RunStatus, Conclusion | None, int]]:
    statement = select(RunModel.status, RunModel.conclusion, func.count())
    rows = await session.execute(statement.group_by(RunModel.status, RunModel.conclusion))
    return [(status, conclusion, count) for status, conclusion, count in rows]


async def step(session: AsyncSession, *, run_id: UUID, name: str) -> EventHandlerModel | None:
    known: EventHandlerModel | object | None = recalled(session, EventHandlerModel, run_id, name)
    if known is None or isinstance(known, EventHandlerModel):
        return known
    return await ask(session, _steps_named, (run_id, name))


async def _steps_named(
    session: AsyncSession, keys: Sequence[tuple[UUID, str]]
) -> dict[tuple[UUID, str], EventHandlerModel]:
    statement = select(EventHandlerModel).where(
        EventHandlerModel.run_id.in_({run_id for run_id, _ in keys}),
        EventHandlerModel.handler_name.in_({name for _, name in keys}),
    )
    rows = (await session.execute(statement)).scalars()
    return {(row.run_id, row.handler_name): row for row in rows if row.run_id is not None}


async def add_step(session: AsyncSession, row: EventHandlerModel) -> None:
    session.add(row)
    remember(session, EventHandlerModel, row.run_id, row.handler_name, value=row)


async def set_step(
    session: AsyncSession, row: EventHandlerModel | None, *, run_id: UUID, name: str, values: Mapping[str, Any]
) -> bool:
    """Write on the record of a step, `row` where it was read before; False when there is none."""
    is_here = row is not None and row in session
    if row is None or is_here or is_shared(session):
        found = row if is_here else await step(session, run_id=run_id, name=name)
        if found is None:
            return False
        for column, value in values.items():
            setattr(found, column, value)
        return True
    statement = update(EventHandlerModel).where(EventHandlerModel.id == row.id).values(**values)
    done = await session.execute(statement.execution_options(synchronize_session=False))
    return cast(CursorResult[Any], done).rowcount == 1


async def steps(session: AsyncSession, run_id: UUID) -> Sequence[EventHandlerModel]:
    statement = (
        select(EventHandlerModel)
        .where(EventHandlerModel.run_id == run_id)
        .order_by(EventHandlerModel.created_at, EventHandlerModel.id)
    )
    return (await session.execute(statement)).scalars().all()


async def event_of(session: AsyncSession, run_id: UUID) -> EventModel:
    run = recalled(session, RunModel, run_id)
    event = UNKNOWN if run is UNKNOWN else recalled(session, EventModel, run.event_id)
    if isinstance(event, EventModel):
        return event
    found = await ask(session, _events_of, run_id)
    if found is None:
        raise NoResultFound(f"there is no run {run_id}")
    return found


async def _events_of(session: AsyncSession, run_ids: Sequence[UUID]) -> dict[UUID, EventModel]:
    statement = select(RunModel.id, EventModel).join(EventModel, RunModel.event_id == EventModel.id)
    return dict((await session.execute(statement.where(RunModel.id.in_(run_ids)))).tuples().all())


async def page_runs(
    session: AsyncSession,
    *,
    limit: int,
    cursor: str | None,
    status: RunStatus | None = None,
    conclusion: Conclusion | None = None,
    event_id: UUID | None = None,
) -> Page[RunModel]:
    wanted = {"status": status, "conclusion": conclusion, "event_id": event_id}
    filters = {column: value for column, value in wanted.items() if value is not None}
    return await page(session, RunModel, select(RunModel).filter_by(**filters), limit=limit, cursor=cursor)
