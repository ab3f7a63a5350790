"""Analytics: what happened, how long it took and what it used. It is not changed afterwards."""

from typing import Any
from uuid import UUID

from fastapi import Response

from contexten.server.api.answers import Cursor, Limit, Text, created, found, listed
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import Analytics, list_of
from contexten.server.dependencies import OrchestratorOf, Reading
from contexten_core.analytics import change, store
from contexten_core.analytics.inputs import AnalyticsCreate
from contexten_core.analytics.models import AnalyticsEventType

router = api_router("/api/analytics", "analytics")


@router.get("", response_model=list_of(Analytics))
async def list_analytics(
    session: Reading,
    limit: Limit = 50,
    cursor: Cursor = None,
    event_type: AnalyticsEventType | None = None,
    task_id: UUID | None = None,
    project_id: UUID | None = None,
    session_id: Text = None,
) -> Any:
    """List the newest analytics rows."""
    return listed(
        await store.page_analytics(
            session,
            limit=limit,
            cursor=cursor,
            event_type=event_type,
            task_id=task_id,
            project_id=project_id,
            session_id=session_id,
        )
    )


@router.post("", response_model=Analytics, status_code=201)
async def create_analytics(orchestrator: OrchestratorOf, response: Response, data: AnalyticsCreate) -> Any:
    """Record one thing that happened."""
    async with orchestrator.database.transaction() as session:
        row = await change.create_analytics(session, data)
    return created(response, row, "/api/analytics")


@router.get("/{analytics_id}", response_model=Analytics)
async def get_analytics(session: Reading, analytics_id: UUID) -> Any:
    """Show one analytics row."""
    return found(await store.get_analytics(session, analytics_id), "analytics row", analytics_id).to_dict()
