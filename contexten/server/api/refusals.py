"""Refusals: deliveries that were not taken, counted by hour, provider, reason and address."""

from typing import Any

from contexten.server.api.answers import Cursor, Limit, Text, listed
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import list_of, shape_of
from contexten.server.dependencies import Reading
from contexten_core.events import refusal_store
from contexten_core.events.models import RefusalModel

Refusal = shape_of(RefusalModel)
router = api_router("/api/refusals", "refusals")


@router.get("", response_model=list_of(Refusal))
async def list_refusals(
    session: Reading, limit: Limit = 50, cursor: Cursor = None, provider: Text = None, code: Text = None
) -> Any:
    """List what was refused, and why. A row says how often that was within one hour, and what the last one was like."""
    return listed(await refusal_store.page_refusals(session, limit=limit, cursor=cursor, provider=provider, code=code))
