"""All SQL about deliveries that were never received, and about what the runs of their recovery found."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, CursorResult, delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.analytics.models import AnalyticsEventType, AnalyticsModel
from contexten_core.db.insert import insert_once
from contexten_core.events.models import EventModel, EventProvider, RedeliveryModel
from contexten_core.integrations.github_deliveries import Attempt

COMPONENT = "maintenance"
OPERATION = "recover_deliveries"


async def held(session: AsyncSession, guids: Collection[str]) -> set[str]:
    """Return those of GitHub's deliveries that are stored as events."""
    statement = select(EventModel.external_id).where(
        EventModel.provider == EventProvider.GITHUB, EventModel.external_id.in_(guids)
    )
    return {guid for guid in (await session.execute(statement)).scalars() if guid is not None}


async def note_missing(session: AsyncSession, *, hook: str, attempts: Collection[Attempt]) -> None:
    """Write down deliveries that failed, once each, with the newest attempt at each of them."""
    for attempt in attempts:
        values = {
            "id": uuid4(),
            "name": f"{attempt.event_type} {attempt.guid}",
            "hook": hook,
            "external_id": attempt.guid,
            "event_type": attempt.event_type,
            "delivered_at": attempt.delivered_at,
            "metadata_": {"attempt_id": attempt.id},
        }
        if await insert_once(session, RedeliveryModel, values, unique=("hook", "external_id")) is None:
            newer = RedeliveryModel.hook == hook, RedeliveryModel.external_id == attempt.guid
            await session.execute(update(RedeliveryModel).where(*newer).values(metadata_={"attempt_id": attempt.id}))


async def forget_delivered(session: AsyncSession, *, hook: str, guids: Collection[str]) -> None:
    """Remove what GitHub delivered after all though we do not hold it, such as a body that we had before."""
    statement = delete(RedeliveryModel).where(
        RedeliveryModel.hook == hook, RedeliveryModel.external_id.in_(guids), ~_is_held()
    )
    await session.execute(statement.execution_options(synchronize_session=False))


async def missing(session: AsyncSession, *, hook: str, since: datetime, limit: int) -> Sequence[RedeliveryModel]:
    """Return the deliveries of a hook that we still do not hold, oldest first."""
    statement = (
        select(RedeliveryModel)
        .where(RedeliveryModel.hook == hook, RedeliveryModel.delivered_at >= since, ~_is_held())
        .order_by(RedeliveryModel.delivered_at, RedeliveryModel.id)
        .limit(limit)
    )
    return (await session.execute(statement)).scalars().all()


async def claim(session: AsyncSession, row: RedeliveryModel, *, now: datetime) -> bool:
    """Count one more request for a delivery; False when somebody else did so, or when it has arrived meanwhile."""
    statement = update(RedeliveryModel).where(
        RedeliveryModel.id == row.id, RedeliveryModel.attempts == row.attempts, ~_is_held()
    )
    changed = statement.values(attempts=row.attempts + 1, requested_at=now, last_error=None)
    return await _changes(session, changed)


async def unclaim(session: AsyncSession, row: RedeliveryModel) -> None:
    """Take a claim back: the request was not made. `row` is as it was before the claim."""
    statement = update(RedeliveryModel).where(
        RedeliveryModel.id == row.id, RedeliveryModel.attempts == row.attempts + 1
    )
    await _changes(session, statement.values(attempts=row.attempts, requested_at=row.requested_at))


async def note_error(session: AsyncSession, row: RedeliveryModel, message: str) -> None:
    await _changes(session, update(RedeliveryModel).where(RedeliveryModel.id == row.id).values(last_error=message))


async def of_delivery(session: AsyncSession, external_id: str) -> Sequence[RedeliveryModel]:
    """Return whether, and through which hooks, GitHub was asked for a delivery."""
    statement = select(RedeliveryModel).where(RedeliveryModel.external_id == external_id, RedeliveryModel.attempts > 0)
    return (await session.execute(statement.order_by(RedeliveryModel.requested_at))).scalars().all()


async def add_result(
    session: AsyncSession,
    *,
    flow_run_id: UUID,
    result: Mapping[str, Any],
    memory: Mapping[str, Any],
    duration_ms: float,
    succeeded: bool,
) -> None:
    """Keep what a run of the recovery found, and what the next one has to know."""
    session.add(
        AnalyticsModel(
            name="recovery of deliveries",
            session_id=str(flow_run_id),
            event_type=AnalyticsEventType.SYSTEM_OPTIMIZATION,
            component=COMPONENT,
            operation=OPERATION,
            event_data=dict(result),
            context=dict(memory),
            duration_ms=duration_ms,
            success=succeeded,
        )
    )


async def newest_memory(session: AsyncSession) -> Mapping[str, Any]:
    """Return what the newest run left for the next."""
    statement = select(AnalyticsModel.context).where(*_IS_OURS).order_by(AnalyticsModel.created_at.desc()).limit(1)
    return (await session.execute(statement)).scalar_one_or_none() or {}


async def recovery_result(session: AsyncSession, flow_run_id: UUID) -> dict[str, Any] | None:
    """Return what the maintenance flow run of that id found."""
    statement = select(AnalyticsModel.event_data).where(AnalyticsModel.session_id == str(flow_run_id), *_IS_OURS)
    return (await session.execute(statement.limit(1))).scalar_one_or_none()


async def prune(session: AsyncSession, *, before: datetime) -> None:
    """Remove results and redeliveries that are older."""
    for statement in (
        delete(AnalyticsModel).where(*_IS_OURS, AnalyticsModel.created_at < before),
        delete(RedeliveryModel).where(RedeliveryModel.created_at < before),
    ):
        await session.execute(statement.execution_options(synchronize_session=False))


_IS_OURS: tuple[ColumnElement[bool], ...] = (
    AnalyticsModel.event_type == AnalyticsEventType.SYSTEM_OPTIMIZATION,
    AnalyticsModel.component == COMPONENT,
    AnalyticsModel.operation == OPERATION,
)


def _is_held() -> ColumnElement[bool]:
    return exists().where(
        EventModel.provider == EventProvider.GITHUB, EventModel.external_id == RedeliveryModel.external_id
    )


async def _changes(session: AsyncSession, statement: Any) -> bool:
    result = await session.execute(statement.execution_options(synchronize_session=False))
    return cast(CursorResult[Any], result).rowcount == 1
