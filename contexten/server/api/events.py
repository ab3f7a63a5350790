"""Events: what arrived and what became of it."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from contexten.server.dependencies import Reading
from contexten_core.events import store
from contexten_core.events.history import event_history, event_line, resolve_id
from contexten_core.events.models import EventModel, EventStatus

router = APIRouter(prefix="/events", tags=["events"])


@router.get("")
async def list_events(
    session: Reading, limit: Annotated[int, Query(ge=1, le=500)] = 50, status: EventStatus | None = None
) -> dict[str, Any]:
    """List the newest events."""
    rows = await store.newest(session, limit=limit, status=status)
    return {"events": [event_line(row) for row in rows]}


@router.get("/{event_id}")
async def show_event(session: Reading, event_id: str) -> dict[str, Any]:
    """Show one event: its payload, its runs, each step of the newest, and why its prompt was selected."""
    return (await event_history(session, await resolve_id(session, EventModel, event_id))).as_dict()
