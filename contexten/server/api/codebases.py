"""Codebases: what is known of commits."""

from typing import Any
from uuid import UUID

from fastapi import Response

from contexten.server.api.answers import Cursor, Limit, created, found, listed, removed
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import Codebase, list_of
from contexten.server.dependencies import OrchestratorOf, Reading
from contexten_core.codebase import change, store
from contexten_core.codebase.inputs import CodebaseCreate, CodebaseUpdate
from contexten_core.codebase.models import CodebaseStatus

router = api_router("/api/codebases", "codebases")


@router.get("", response_model=list_of(Codebase))
async def list_codebases(
    session: Reading,
    limit: Limit = 50,
    cursor: Cursor = None,
    project_id: UUID | None = None,
    status: CodebaseStatus | None = None,
) -> Any:
    """List the newest codebases."""
    return listed(await store.page_codebases(session, limit=limit, cursor=cursor, project_id=project_id, status=status))


@router.post("", response_model=Codebase, status_code=201)
async def create_codebase(orchestrator: OrchestratorOf, response: Response, data: CodebaseCreate) -> Any:
    """Store a codebase: one commit of a repository."""
    async with orchestrator.database.transaction() as session:
        row = await change.create_codebase(session, data)
    return created(response, row, "/api/codebases")


@router.get("/{codebase_id}", response_model=Codebase)
async def get_codebase(session: Reading, codebase_id: UUID) -> Any:
    """Show one codebase."""
    return found(await store.get_codebase(session, codebase_id), "codebase", codebase_id).to_dict()


@router.patch("/{codebase_id}", response_model=Codebase)
async def update_codebase(orchestrator: OrchestratorOf, codebase_id: UUID, data: CodebaseUpdate) -> Any:
    """Change the given fields of one codebase."""
    async with orchestrator.database.transaction() as session:
        row = found(await change.update_codebase(session, codebase_id, data), "codebase", codebase_id)
    return row.to_dict()


@router.delete("/{codebase_id}", status_code=204)
async def delete_codebase(orchestrator: OrchestratorOf, codebase_id: UUID) -> None:
    """Delete a codebase with its analyses and the elements of its code."""
    async with orchestrator.database.transaction() as session:
        removed(await change.delete_codebase(session, codebase_id), "codebase", codebase_id)
