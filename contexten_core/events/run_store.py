"""All SQL about runs and their step records."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db.paging import Page, page
from contexten_core.events.models import Conclusion, EventHandlerModel, EventModel, RunModel, RunStatus


async def get(session: AsyncSession, run_id: UUID) -> RunModel | None:
    return await session.get(RunModel, run_id)


async def latest_of(session: AsyncSession, event_id: UUID) -> RunModel | None:
    statement = select(RunModel).where(RunModel.event_id == event_id).order_by(RunModel.attempt.desc()).limit(1)
    return (await session.execute(statement)).scalar_one_or_none()


async def by_flow_run(session: AsyncSession, flow_run_id: UUID) -> RunModel | None:
    statement = select(RunModel).where(RunModel.flow_run_id == flow_run_id).limit(1)
    return (await session.execute(statement)).scalar_one_or_none()


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
    statement = select(EventHandlerModel).where(
        EventHandlerModel.run_id == run_id, EventHandlerModel.handler_name == name
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def steps(session: AsyncSession, run_id: UUID) -> Sequence[EventHandlerModel]:
    statement = (
        select(EventHandlerModel)
        .where(EventHandlerModel.run_id == run_id)
        .order_by(EventHandlerModel.created_at, EventHandlerModel.id)
    )
    return (await session.execute(statement)).scalars().all()


async def event_of(session: AsyncSession, run_id: UUID) -> EventModel:
    statement = select(EventModel).join(RunModel, RunModel.event_id == EventModel.id).where(RunModel.id == run_id)
    return (await session.execute(statement)).scalar_one()


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
