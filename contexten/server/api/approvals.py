"""Approvals: what waits for a person to say yes, and what they said. An id in a path may be shortened."""

from typing import Any
from uuid import UUID

from contexten.server.api.answers import Cursor, Limit
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import list_of, shape_of
from contexten.server.auth import CallerOf
from contexten.server.dependencies import OrchestratorOf, Reading
from contexten_core.db import utc_now
from contexten_core.events.history import resolve_id
from contexten_core.integrations.reports import voice_of
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.tasks.approval_store import page_approvals
from contexten_core.tasks.approve import approval_line, decide
from contexten_core.tasks.models import ApprovalModel, ApprovalStatus

router = api_router("/api/approvals", "approvals")
Approval = shape_of(ApprovalModel)


@router.get("", response_model=list_of(Approval))
async def list_approvals(
    session: Reading,
    limit: Limit = 50,
    cursor: Cursor = None,
    status: ApprovalStatus | None = None,
    project_id: UUID | None = None,
) -> Any:
    """List the newest approvals."""
    now = utc_now()
    page = await page_approvals(session, limit=limit, cursor=cursor, status=status, project_id=project_id, now=now)
    return {"items": [approval_line(row, now) for row in page.rows], "next_cursor": page.next_cursor}


@router.post("/{approval_id}/approve", response_model=Approval)
async def approve(orchestrator: OrchestratorOf, caller: CallerOf, approval_id: str) -> Any:
    """Say yes: its event is handled again, and the commit is worked on as planned."""
    return await _decide(orchestrator, caller.name, approval_id, approved=True)


@router.post("/{approval_id}/refuse", response_model=Approval)
async def refuse(orchestrator: OrchestratorOf, caller: CallerOf, approval_id: str) -> Any:
    """Say no: nothing is run."""
    return await _decide(orchestrator, caller.name, approval_id, approved=False)


async def _decide(orchestrator: SystemOrchestrator, by: str, approval_id: str, *, approved: bool) -> dict[str, Any]:
    now, voice = utc_now(), voice_of(orchestrator.settings, orchestrator.database)
    async with orchestrator.database.transaction() as session:
        found = await resolve_id(session, ApprovalModel, approval_id)
        row = await decide(session, voice, found, approved=approved, by=by, through="api", now=now)
        return approval_line(row, now)
