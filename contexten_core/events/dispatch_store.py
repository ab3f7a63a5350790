"""All SQL about which event is handled next, and by whom."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, String, and_, cast, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased, defer

from contexten_core.events.models import SIMULATED, EventModel, EventProvider, EventStatus
from contexten_core.projects.models import RepositoryModel, RepositoryProvider

MOST_CLAIMS = 3
"""How often an event is claimed without a step of it being finished, before it is taken for what kills its workers."""

_MOST_CONSIDERED = 5_000
_ADMISSION = 0x636E7478


async def unadmitted(session: AsyncSession, *, limit: int) -> Sequence[EventModel]:
    """Return the oldest events from outside that have no place among the waiting yet, locked against others."""
    statement = (
        select(EventModel)
        .where(EventModel.status == EventStatus.PENDING, EventModel.rank_at.is_(None), _is_for_a_flow())
        .order_by(EventModel.created_at, EventModel.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return (await session.execute(statement)).scalars().all()


async def take_turn_to_admit(session: AsyncSession) -> bool:
    """Keep others from admitting until this transaction ends; False when somebody does already."""
    if session.get_bind().dialect.name != "postgresql":
        return True
    return bool((await session.execute(select(func.pg_try_advisory_xact_lock(_ADMISSION)))).scalar_one())


async def open_in_lanes(session: AsyncSession, lanes: Collection[str]) -> Sequence[EventModel]:
    """Return the superseding events of these lanes that have not ended, oldest first, locked, without payloads."""
    statement = (
        select(EventModel)
        .options(defer(EventModel.payload, raiseload=True))
        .where(
            EventModel.lane.in_(lanes),
            EventModel.supersedes.is_(True),
            EventModel.status.in_((EventStatus.PENDING, EventStatus.RETRYING, EventStatus.PROCESSING)),
        )
        .order_by(EventModel.created_at, EventModel.id)
        .with_for_update(of=EventModel)
    )
    return (await session.execute(statement)).scalars().all()


async def projects_of(session: AsyncSession, repositories: Collection[str]) -> dict[str, UUID]:
    """Return the projects of GitHub repositories, by the lower case of `owner/name`."""
    name = func.lower(RepositoryModel.full_name)
    statement = select(name, RepositoryModel.project_id).where(
        RepositoryModel.provider == RepositoryProvider.GITHUB, name.in_([each.lower() for each in repositories])
    )
    return {found: project_id for found, project_id in await session.execute(statement)}  # noqa: C416 - rows are not pairs


async def abandoned(
    session: AsyncSession, *, now: datetime, limit: int, suspects: bool, held: Collection[UUID]
) -> Sequence[EventModel]:
    """Return events whose worker has fallen silent, locked, without payloads.

    Args:
        held: those that are being handled in this very process, however late it is with renewing their leases.
        suspects: those that have been claimed so often without getting on that they may be what kills their workers;
            otherwise only the others.
    """
    is_suspect = EventModel.claims >= MOST_CLAIMS
    is_silent = and_(
        EventModel.status == EventStatus.PROCESSING,
        EventModel.lease_expires_at < now,
        _is_for_a_flow(),
        is_suspect if suspects else ~is_suspect,
    )
    # There is hardly ever one, and to name all that are held takes long when they are many.
    silent = (await session.execute(select(EventModel.id).where(is_silent).limit(len(held) + limit))).scalars()
    left = set(silent).difference(held)
    if not left:
        return []
    statement = (
        select(EventModel)
        .options(defer(EventModel.payload, raiseload=True))
        .where(is_silent, EventModel.id.in_(left))
        .order_by(EventModel.rank_at, EventModel.id)
        .limit(limit)
        .with_for_update(skip_locked=True, of=EventModel)
    )
    return (await session.execute(statement)).scalars().all()


async def claimable(
    session: AsyncSession,
    *,
    now: datetime,
    limit: int,
    per_project: int | None = None,
    per_provider: int | None = None,
) -> Sequence[EventModel]:
    """Return the events that are next, locked against others, without payloads.

    Of each lane the first one, while no other of it is being handled. Projects take turns: the one of which least is
    being handled is next, and within a project the event that counts as having come first.

    Args:
        per_project: how many of one project may be handled at once.
        per_provider: the same for one provider.
    """
    live = aliased(EventModel)
    waiting = (
        select(
            EventModel.id,
            EventModel.lane,
            EventModel.project_id,
            EventModel.provider,
            EventModel.rank_at,
            EventModel.created_at,
        )
        .where(
            EventModel.status.in_((EventStatus.PENDING, EventStatus.RETRYING)),
            EventModel.rank_at.is_not(None),
            EventModel.available_at <= now,
            ~exists().where(live.lane == EventModel.lane, live.status == EventStatus.PROCESSING),
        )
        .order_by(EventModel.rank_at, EventModel.id)
        .limit(_MOST_CONSIDERED)
        .cte("waiting")
    )
    in_lane = func.row_number().over(
        partition_by=func.coalesce(waiting.c.lane, cast(waiting.c.id, String)),
        order_by=(waiting.c.created_at, waiting.c.id),
    )
    first = select(waiting, in_lane.label("turn")).cte("first_of_lane")
    handled = (
        select(EventModel.project_id, EventModel.provider, func.count().label("count"))
        .where(EventModel.status == EventStatus.PROCESSING)
        .group_by(EventModel.project_id, EventModel.provider)
        .cte("handled")
    )
    count = func.coalesce(func.sum(handled.c.count), 0)
    of_project = select(count).where(handled.c.project_id.is_not_distinct_from(first.c.project_id)).scalar_subquery()
    of_provider = select(count).where(handled.c.provider == first.c.provider).scalar_subquery()
    order = (first.c.rank_at, first.c.id)
    share = func.row_number().over(partition_by=first.c.project_id, order_by=order) + of_project
    crowd = func.row_number().over(partition_by=first.c.provider, order_by=order) + of_provider
    ranked = (
        select(first.c.id, first.c.rank_at, share.label("share"), crowd.label("crowd"))
        .where(first.c.turn == 1)
        .cte("ranked")
    )
    chosen = select(ranked.c.id).order_by(ranked.c.share, ranked.c.rank_at).limit(limit)
    if per_project is not None:
        chosen = chosen.where(ranked.c.share <= per_project)
    if per_provider is not None:
        chosen = chosen.where(ranked.c.crowd <= per_provider)
    statement = (
        select(EventModel)
        .options(defer(EventModel.payload, raiseload=True))
        .where(EventModel.id.in_(chosen), EventModel.status.in_((EventStatus.PENDING, EventStatus.RETRYING)))
        .order_by(EventModel.rank_at, EventModel.id)
        .with_for_update(skip_locked=True, of=EventModel)
    )
    return (await session.execute(statement)).scalars().all()


async def is_lane_taken(session: AsyncSession, event: EventModel) -> bool:
    """Tell whether another event of this one's lane is being handled."""
    if event.lane is None:
        return False
    taken = exists().where(
        EventModel.lane == event.lane, EventModel.status == EventStatus.PROCESSING, EventModel.id != event.id
    )
    return bool((await session.execute(select(taken))).scalar_one())


async def backlog(session: AsyncSession, *, now: datetime, most: int) -> int:
    """Count the events that wait to be handled, whose time has come; no further than to `most`."""
    waiting = (
        select(EventModel.id)
        .where(
            EventModel.status.in_((EventStatus.PENDING, EventStatus.RETRYING)),
            EventModel.rank_at.is_not(None),
            EventModel.available_at <= now,
        )
        .limit(most)
        .subquery()
    )
    return (await session.execute(select(func.count()).select_from(waiting))).scalar_one()


async def got_on(session: AsyncSession, event_id: UUID) -> None:
    """Forget how often an event was claimed: a step of it has been finished."""
    statement = update(EventModel).where(EventModel.id == event_id).values(claims=0)
    await session.execute(statement.execution_options(synchronize_session=False))


def _is_for_a_flow() -> ColumnElement[bool]:
    return and_(
        EventModel.provider != EventProvider.SYSTEM,
        or_(EventModel.external_id.is_(None), ~EventModel.external_id.startswith(SIMULATED, autoescape=True)),
    )
