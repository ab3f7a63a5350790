"""Events: what arrived and what became of it. An id in a path may be shortened to its first characters."""

from typing import Any
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel

from contexten.server.api.answers import Cursor, Limit, Text
from contexten.server.api.history import Event, EventHistory
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import list_of
from contexten.server.auth import CallerOf
from contexten.server.dependencies import OrchestratorOf, Reading, SettingsOf
from contexten_core.errors import NotFoundError
from contexten_core.events import store
from contexten_core.events.claim import replay_event as replay
from contexten_core.events.explain import Verdict, explain_event
from contexten_core.events.history import event_history, event_line, event_lines, resolve_id
from contexten_core.events.inputs import EventLog
from contexten_core.events.models import EventModel, EventProvider, EventStatus
from contexten_core.events.park import discard_event as discard
from contexten_core.security.encryption import open_vault

router = api_router("/api/events", "events")


class Gate(BaseModel):
    """One gate on an event's way, what it did with the event, and what it went by."""

    name: str
    verdict: Verdict
    reason: str
    evidence: dict[str, Any]


class EventExplanation(BaseModel):
    """Every gate on an event's way, in order, and in one sentence where that has led to."""

    event_id: UUID
    title: str
    outcome: str
    summary: str
    gates: list[Gate]


@router.get("", response_model=list_of(Event))
async def list_events(
    session: Reading,
    limit: Limit = 50,
    cursor: Cursor = None,
    status: EventStatus | None = None,
    provider: EventProvider | None = None,
    event_type: Text = None,
    parked: bool | None = None,
) -> Any:
    """List the newest events; with `parked`, those that wait for a person, or those that do not."""
    page = await store.page_events(
        session, limit=limit, cursor=cursor, status=status, provider=provider, event_type=event_type, parked=parked
    )
    return {"items": await event_lines(session, page.rows), "next_cursor": page.next_cursor}


@router.post("", response_model=Event, status_code=201)
async def log_event(orchestrator: OrchestratorOf, response: Response, data: EventLog) -> Any:
    """Store an event. One that is pending is handled like a delivery."""
    event = await orchestrator.log_event(data.given())
    response.headers["Location"] = f"/api/events/{event.id}"
    return event_line(event)


@router.get("/{event_id}", response_model=EventHistory)
async def get_event(session: Reading, event_id: str) -> Any:
    """Show one event: its payload, its runs, each step of the newest, and why its prompt was selected."""
    return (await event_history(session, await resolve_id(session, EventModel, event_id))).as_dict()


@router.get("/{event_id}/explanation", response_model=EventExplanation)
async def get_event_explanation(session: Reading, event_id: str) -> Any:
    """Explain what became of an event: each gate on its way, with its verdict and the reason."""
    return (await explain_event(session, await resolve_id(session, EventModel, event_id))).as_dict()


@router.get(
    "/{event_id}/payload",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def get_event_payload(session: Reading, settings: SettingsOf, event_id: str) -> Response:
    """Return the bytes of a delivery as they came, which its signature covers."""
    found = await resolve_id(session, EventModel, event_id)
    payload = await store.raw_payload(session, found, vault=open_vault(settings))
    if payload is None:
        raise NotFoundError(f"event {found} has no payload of its own", hint="it was not delivered by a webhook")
    headers = {
        "Content-Disposition": f'attachment; filename="contexten-{found}.bin"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return Response(payload, media_type="application/octet-stream", headers=headers)


@router.post("/{event_id}/replay", response_model=Event, status_code=202)
async def replay_event(orchestrator: OrchestratorOf, event_id: str) -> Any:
    """Have an event that has ended or is parked handled again, as a new run."""
    async with orchestrator.database.reading() as session:
        found = await resolve_id(session, EventModel, event_id)
    await replay(orchestrator.database, found)
    async with orchestrator.database.reading() as session:
        return event_line(await session.get_one(EventModel, found))


@router.post("/{event_id}/discard", response_model=Event)
async def discard_event(orchestrator: OrchestratorOf, caller: CallerOf, event_id: str) -> Any:
    """Give a parked event up: it stays to be seen, and waits for nobody any longer."""
    async with orchestrator.database.reading() as session:
        found = await resolve_id(session, EventModel, event_id)
    await discard(orchestrator.database, found, by=caller.name)
    async with orchestrator.database.reading() as session:
        return event_line(await session.get_one(EventModel, found))
