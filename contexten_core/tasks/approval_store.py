"""All SQL about approvals."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db.insert import insert_once
from contexten_core.db.paging import Page, page
from contexten_core.db.shared import ask
from contexten_core.tasks.models import ApprovalModel, ApprovalStatus

MOST_AT_ONCE = 50
"""How many approvals of one subject are looked at; it has one for each of its commits and prompts that waits."""

_NEWEST = (ApprovalModel.created_at.desc(), ApprovalModel.id)


async def get(session: AsyncSession, approval_id: UUID, *, lock: bool = False) -> ApprovalModel | None:
    return await session.get(ApprovalModel, approval_id, with_for_update=lock, populate_existing=lock)


async def insert(session: AsyncSession, values: Mapping[str, Any]) -> None:
    """Insert an approval, unless the event has one for this commit and plan."""
    await insert_once(session, ApprovalModel, dict(values), unique=("event_id", "commit_sha", "plan_digest"))


async def of_plan(
    session: AsyncSession, *, event_id: UUID, commit: str, plan_digest: str, lock: bool = False
) -> ApprovalModel | None:
    """Return the approval of exactly this event, commit and plan."""
    statement = select(ApprovalModel).where(
        ApprovalModel.event_id == event_id,
        ApprovalModel.commit_sha == commit,
        ApprovalModel.plan_digest == plan_digest,
    )
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    return (await session.execute(statement)).scalar_one_or_none()


async def waiting(
    session: AsyncSession, *, subject: str | None = None, repositories: Sequence[str] = ()
) -> Sequence[ApprovalModel]:
    """Return the newest approvals that are pending, of a subject or else of repositories."""
    if subject is not None:
        return await ask(session, _waiting_of, subject) or []
    statement = select(ApprovalModel).where(
        ApprovalModel.status == ApprovalStatus.PENDING, ApprovalModel.repository.in_(repositories)
    )
    return (await session.execute(statement.order_by(*_NEWEST).limit(MOST_AT_ONCE))).scalars().all()


async def _waiting_of(session: AsyncSession, subjects: Sequence[str]) -> dict[str, list[ApprovalModel]]:
    place = func.row_number().over(partition_by=ApprovalModel.subject, order_by=_NEWEST).label("place")
    numbered = (
        select(ApprovalModel.id, place)
        .where(ApprovalModel.status == ApprovalStatus.PENDING, ApprovalModel.subject.in_(subjects))
        .subquery()
    )
    statement = select(ApprovalModel).join(numbered, numbered.c.id == ApprovalModel.id)
    statement = statement.where(numbered.c.place <= MOST_AT_ONCE).order_by(*_NEWEST)
    found: dict[str, list[ApprovalModel]] = {}
    for approval in (await session.execute(statement)).scalars():
        found.setdefault(approval.subject, []).append(approval)
    return found


async def expired(session: AsyncSession, *, now: datetime, limit: int) -> Sequence[UUID]:
    """Return the ids of approvals that are pending though their time is over."""
    statement = select(ApprovalModel.id).where(
        ApprovalModel.status == ApprovalStatus.PENDING, ApprovalModel.expires_at <= now
    )
    return (await session.execute(statement.limit(limit))).scalars().all()


async def is_ambiguous(
    session: AsyncSession, prefix: str, *, subject: str | None = None, repositories: Sequence[str] = ()
) -> bool:
    """Tell whether more than one commit for which an approval was ever asked there begins like that."""
    statement = select(ApprovalModel.commit_sha).where(
        _within(subject, repositories), ApprovalModel.commit_sha.startswith(prefix, autoescape=True)
    )
    return len((await session.execute(statement.distinct().limit(2))).all()) > 1


def _within(subject: str | None, repositories: Sequence[str]) -> ColumnElement[bool]:
    return ApprovalModel.repository.in_(repositories) if subject is None else ApprovalModel.subject == subject


async def page_approvals(
    session: AsyncSession,
    *,
    limit: int,
    now: datetime,
    cursor: str | None = None,
    status: ApprovalStatus | None = None,
    project_id: UUID | None = None,
) -> Page[ApprovalModel]:
    """Return approvals, newest first; one whose time is over by `now` counts as expired."""
    statement = select(ApprovalModel)
    if project_id is not None:
        statement = statement.where(ApprovalModel.project_id == project_id)
    is_over = (ApprovalModel.status == ApprovalStatus.PENDING) & (ApprovalModel.expires_at <= now)
    if status is ApprovalStatus.EXPIRED:
        statement = statement.where((ApprovalModel.status == status) | is_over)
    elif status is not None:
        statement = statement.where(ApprovalModel.status == status, ~is_over)
    return await page(session, ApprovalModel, statement, limit=limit, cursor=cursor)
