"""What was measured, as part of analytics rows. It is not changed afterwards."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response

from contexten.server.api.answers import Cursor, Limit, Text, created, found, listed
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import AnalyticsMetric, list_of
from contexten.server.dependencies import OrchestratorOf, Reading
from contexten_core.analytics import change, store
from contexten_core.analytics.inputs import AnalyticsMetricCreate
from contexten_core.inputs import LARGEST_COUNT

router = api_router("/api/analytics-metrics", "analytics")


@router.get("", response_model=list_of(AnalyticsMetric))
async def list_analytics_metrics(
    session: Reading,
    limit: Limit = 50,
    cursor: Cursor = None,
    analytics_id: UUID | None = None,
    metric_name: Text = None,
    collection_interval_seconds: Annotated[int | None, Query(ge=1, le=LARGEST_COUNT)] = None,
) -> Any:
    """List the newest analytics metrics."""
    return listed(
        await store.page_metrics(
            session,
            limit=limit,
            cursor=cursor,
            analytics_id=analytics_id,
            metric_name=metric_name,
            collection_interval_seconds=collection_interval_seconds,
        )
    )


@router.post("", response_model=AnalyticsMetric, status_code=201)
async def create_analytics_metric(orchestrator: OrchestratorOf, response: Response, data: AnalyticsMetricCreate) -> Any:
    """Record what was measured."""
    async with orchestrator.database.transaction() as session:
        row = await change.create_analytics_metric(session, data)
    return created(response, row, "/api/analytics-metrics")


@router.get("/{analytics_metric_id}", response_model=AnalyticsMetric)
async def get_analytics_metric(session: Reading, analytics_metric_id: UUID) -> Any:
    """Show one analytics metric."""
    return found(
        await store.get_analytics_metric(session, analytics_metric_id), "analytics metric", analytics_metric_id
    ).to_dict()
