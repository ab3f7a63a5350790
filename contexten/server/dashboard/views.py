"""The pages: each collects what it shows and renders it."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from contexten.server.dashboard.collect import (
    collect_dashboard,
    collect_event,
    collect_run,
    parse_result,
)
from contexten.server.dashboard.format import short_id
from contexten.server.dashboard.rendering import PageRoute, render, static_file
from contexten.server.dependencies import Reading, SettingsOf
from contexten_core.db import utc_now
from contexten_core.events.history import resolve_id, run_history
from contexten_core.events.models import EventModel, RunModel

router = APIRouter(tags=["pages"], route_class=PageRoute, include_in_schema=False)


@router.get("/")
async def show_dashboard(
    request: Request, session: Reading, settings: SettingsOf, result: str | None = None
) -> Response:
    """Show what needs attention, the newest runs, and what recurs."""
    page = await collect_dashboard(session, parse_result(result))
    base = (settings.public_url or f"http://localhost:{settings.api_port}").rstrip("/")
    return render(
        request,
        "dashboard.html",
        live=page.is_live,
        page=page,
        webhook_url=f"{base}/github/events",
        is_public=settings.public_url is not None,
        has_secret=bool(settings.github_webhook_secrets),
    )


@router.get("/runs/{run_id}")
async def show_run(request: Request, session: Reading, settings: SettingsOf, run_id: str) -> Response:
    """Show one run: what was done, why, and what came of it."""
    page = await collect_run(session, settings, await resolve_id(session, RunModel, run_id), now=utc_now())
    return render(request, "run.html", live=page.is_live, page=page)


@router.get("/runs/{run_id}/log")
async def show_log(session: Reading, run_id: str) -> Response:
    """Return the whole log of a run's newest execution as it was captured."""
    history = await run_history(session, await resolve_id(session, RunModel, run_id))
    name = f"contexten-{short_id(history.run.id)}.log"
    return PlainTextResponse(history.log, headers={"Content-Disposition": f'inline; filename="{name}"'})


@router.get("/events/{event_id}")
async def show_event(request: Request, session: Reading, event_id: str) -> Response:
    """Show one event: what arrived, and what became of it."""
    page = await collect_event(session, await resolve_id(session, EventModel, event_id))
    return render(request, "event.html", live=page.is_live, page=page, outcome=page.history.outcome)


@router.get("/static/{name}")
async def show_static_file(name: str) -> Response:
    """Return the stylesheet or the icon."""
    return static_file(name)
