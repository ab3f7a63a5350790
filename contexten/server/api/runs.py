"""Runs: how events were handled. An id in a path may be shortened to its first characters."""

from typing import Any
from uuid import UUID

from contexten.server.api.answers import Cursor, Limit
from contexten.server.api.history import Run, RunHistory
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import list_of
from contexten.server.auth import CallerOf
from contexten.server.dependencies import OrchestratorOf, Reading
from contexten_core.events import run_store
from contexten_core.events.cancel import cancel_run as cancel
from contexten_core.events.history import resolve_id, run_history, run_line
from contexten_core.events.models import Conclusion, RunModel, RunStatus

router = api_router("/api/runs", "runs")


@router.get("", response_model=list_of(Run))
async def list_runs(
    session: Reading,
    limit: Limit = 50,
    cursor: Cursor = None,
    status: RunStatus | None = None,
    conclusion: Conclusion | None = None,
    event_id: UUID | None = None,
) -> Any:
    """List the newest runs."""
    page = await run_store.page_runs(
        session, limit=limit, cursor=cursor, status=status, conclusion=conclusion, event_id=event_id
    )
    return {"items": [run_line(row) for row in page.rows], "next_cursor": page.next_cursor}


@router.get("/{run_id}", response_model=RunHistory)
async def get_run(session: Reading, run_id: str) -> Any:
    """Show one run: its steps, its task with the log, what was reported, and why its prompt was selected."""
    return (await run_history(session, await resolve_id(session, RunModel, run_id))).as_dict()


@router.post("/{run_id}/cancel", response_model=Run, status_code=202)
async def cancel_run(orchestrator: OrchestratorOf, caller: CallerOf, run_id: str) -> Any:
    """Have a run in progress cancelled: it ends within seconds, and so does every process that it started."""
    async with orchestrator.database.transaction() as session:
        found = await resolve_id(session, RunModel, run_id)
        return run_line(await cancel(session, found, by=caller.name))
