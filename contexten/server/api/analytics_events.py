"""What was done in detail, as part of analytics rows. It is not changed afterwards."""

from typing import Any
from uuid import UUID

from fastapi import Response

from contexten.server.api.answers import Cursor, Limit, created, found, listed
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import AnalyticsEvent, list_of
from contexten.server.dependencies import OrchestratorOf, Reading
from contexten_core.analytics import change, store
from contexten_core.analytics.inputs import AnalyticsEventCreate

router = api_router("/api/analytics-events", "analytics")


@router.get("", response_model=list_of(AnalyticsEvent))
async def list_analytics_events(
    session: Reading,
    limit: Limit = 50,
    cursor: Cursor = None,
    analytics_id: UUID | None = None,
) -> Any:
    """List the newest analytics events."""
    return listed(await store.page_analytics_events(session, limit=limit, cursor=cursor, analytics_id=analytics_id))


@router.post("", response_model=AnalyticsEvent, status_code=201)
async def create_analytics_event(orchestrator: OrchestratorOf, response: Response, data: AnalyticsEventCreate) -> Any:
    """Record something that was done."""
    async with orchestrator.database.transaction() as session:
        row = await change.create_analytics_event(session, data)
    return created(response, row, "/api/analytics-events")


@router.get("/{analytics_event_id}", response_model=AnalyticsEvent)
async def get_analytics_event(session: Reading, analytics_event_id: UUID) -> Any:
    """Show one analytics event."""
    return found(
        await store.get_analytics_event(session, analytics_event_id), "analytics event", analytics_event_id
    ).to_dict()
