"""Runs: how events were handled."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from contexten.server.dependencies import Reading
from contexten_core.events import run_store
from contexten_core.events.history import resolve_id, run_history, run_line
from contexten_core.events.models import RunModel, RunStatus

router = APIRouter(prefix="/runs", tags=["runs"])


@router.get("")
async def list_runs(
    session: Reading, limit: Annotated[int, Query(ge=1, le=500)] = 50, status: RunStatus | None = None
) -> dict[str, Any]:
    """List the newest runs."""
    rows = await run_store.newest(session, limit=limit, status=status)
    return {"runs": [run_line(row) for row in rows]}


@router.get("/{run_id}")
async def show_run(session: Reading, run_id: str) -> dict[str, Any]:
    """Show one run: its steps, its task with the log, what was reported, and why its prompt was selected."""
    return (await run_history(session, await resolve_id(session, RunModel, run_id))).as_dict()
