"""Record what happened and what was measured."""

from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.analytics import store
from contexten_core.analytics.inputs import AnalyticsCreate, AnalyticsEventCreate, AnalyticsMetricCreate
from contexten_core.analytics.models import AnalyticsEventModel, AnalyticsMetricModel, AnalyticsModel
from contexten_core.db import utc_now
from contexten_core.db.insert import insert_once
from contexten_core.errors import ConflictError
from contexten_core.inputs import missing
from contexten_core.projects import store as project_store
from contexten_core.tasks import store as task_store

_METRIC_KEY = ("collection_interval_seconds", "timestamp", "metric_name", "operation", "source")


async def create_analytics(session: AsyncSession, data: AnalyticsCreate) -> AnalyticsModel:
    """Store one thing that happened.

    Raises:
        InvalidInputError: its task or project does not exist.
    """
    if data.task_id is not None and await task_store.keep(session, data.task_id) is None:
        raise missing("task_id", data.task_id)
    if data.project_id is not None and not await project_store.hold_project(session, data.project_id):
        raise missing("project_id", data.project_id)
    chosen = {
        "name": data.name or data.operation,
        "session_id": data.session_id or uuid4().hex,
        "event_data": data.event_data,
    }
    row = AnalyticsModel(id=uuid4(), **data.columns() | chosen)
    session.add(row)
    await session.flush()
    return row


async def create_analytics_event(session: AsyncSession, data: AnalyticsEventCreate) -> AnalyticsEventModel:
    """Store something that was done, as part of an analytics row.

    Raises:
        InvalidInputError: there is no such row.
    """
    await _must_be_analytics(session, data.analytics_id)
    chosen = {
        "name": data.name or data.event_name,
        "properties": data.properties,
        "timestamp": data.timestamp or utc_now(),
    }
    row = AnalyticsEventModel(id=uuid4(), **data.columns() | chosen)
    session.add(row)
    await session.flush()
    return row


async def create_analytics_metric(session: AsyncSession, data: AnalyticsMetricCreate) -> AnalyticsMetricModel:
    """Store a measurement, as part of an analytics row.

    Raises:
        ConflictError: this was measured already in this interval, by the same source.
        InvalidInputError: there is no such analytics row.
    """
    await _must_be_analytics(session, data.analytics_id)
    chosen = {"id": uuid4(), "name": data.name or data.metric_name, "timestamp": data.timestamp or utc_now()}
    row_id = await insert_once(session, AnalyticsMetricModel, data.columns() | chosen, unique=_METRIC_KEY)
    if row_id is None:
        raise ConflictError(
            f"{', '.join(_METRIC_KEY)}: {data.metric_name!r} was measured already in this interval",
            hint="Give another timestamp, operation or source.",
        )
    return await session.get_one(AnalyticsMetricModel, row_id)


async def _must_be_analytics(session: AsyncSession, analytics_id: UUID) -> None:
    if not await store.hold_analytics(session, analytics_id):
        raise missing("analytics_id", analytics_id)
