"""All SQL about analytics."""

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.analytics.models import (
    AnalyticsEventModel,
    AnalyticsEventType,
    AnalyticsMetricModel,
    AnalyticsModel,
)
from contexten_core.db.paging import Page, page


async def add(session: AsyncSession, **values: Any) -> None:
    session.add(AnalyticsModel(**values))


async def get_analytics(session: AsyncSession, analytics_id: UUID) -> AnalyticsModel | None:
    return await session.get(AnalyticsModel, analytics_id)


async def hold_analytics(session: AsyncSession, analytics_id: UUID) -> bool:
    """Tell whether there is such a row, and keep it from being removed before this transaction ends."""
    statement = select(AnalyticsModel.id).where(AnalyticsModel.id == analytics_id)
    statement = statement.with_for_update(read=True, key_share=True)
    return (await session.execute(statement)).scalar_one_or_none() is not None


async def page_analytics(
    session: AsyncSession,
    *,
    limit: int,
    cursor: str | None = None,
    event_type: AnalyticsEventType | None = None,
    task_id: UUID | None = None,
    project_id: UUID | None = None,
    session_id: str | None = None,
) -> Page[AnalyticsModel]:
    wanted = {"event_type": event_type, "task_id": task_id, "project_id": project_id, "session_id": session_id}
    filters = {column: value for column, value in wanted.items() if value is not None}
    statement = select(AnalyticsModel).filter_by(**filters)
    return await page(session, AnalyticsModel, statement, limit=limit, cursor=cursor)


async def get_analytics_event(session: AsyncSession, event_id: UUID) -> AnalyticsEventModel | None:
    return await session.get(AnalyticsEventModel, event_id)


async def page_analytics_events(
    session: AsyncSession, *, limit: int, cursor: str | None = None, analytics_id: UUID | None = None
) -> Page[AnalyticsEventModel]:
    statement = select(AnalyticsEventModel)
    if analytics_id is not None:
        statement = statement.where(AnalyticsEventModel.analytics_id == analytics_id)
    return await page(session, AnalyticsEventModel, statement, limit=limit, cursor=cursor)


async def get_analytics_metric(session: AsyncSession, metric_id: UUID) -> AnalyticsMetricModel | None:
    return await session.get(AnalyticsMetricModel, metric_id)


async def page_metrics(
    session: AsyncSession,
    *,
    limit: int,
    cursor: str | None = None,
    analytics_id: UUID | None = None,
    metric_name: str | None = None,
    collection_interval_seconds: int | None = None,
) -> Page[AnalyticsMetricModel]:
    wanted = {
        "analytics_id": analytics_id,
        "metric_name": metric_name,
        "collection_interval_seconds": collection_interval_seconds,
    }
    filters = {column: value for column, value in wanted.items() if value is not None}
    statement = select(AnalyticsMetricModel).filter_by(**filters)
    return await page(session, AnalyticsMetricModel, statement, limit=limit, cursor=cursor)
