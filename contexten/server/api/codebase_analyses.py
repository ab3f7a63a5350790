"""The passes of analysers over a commit. They are not changed afterwards."""

from typing import Any
from uuid import UUID

from fastapi import Response

from contexten.server.api.answers import Cursor, Limit, created, found, listed
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import CodebaseAnalysis, list_of
from contexten.server.dependencies import OrchestratorOf, Reading
from contexten_core.codebase import change, store
from contexten_core.codebase.inputs import CodebaseAnalysisCreate

router = api_router("/api/codebase-analyses", "codebases")


@router.get("", response_model=list_of(CodebaseAnalysis))
async def list_codebase_analyses(
    session: Reading,
    codebase_id: UUID,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Any:
    """List the newest analyses of a codebase."""
    return listed(await store.page_analyses(session, limit=limit, cursor=cursor, codebase_id=codebase_id))


@router.post("", response_model=CodebaseAnalysis, status_code=201)
async def create_codebase_analysis(
    orchestrator: OrchestratorOf, response: Response, data: CodebaseAnalysisCreate
) -> Any:
    """Store what an analyser found."""
    async with orchestrator.database.transaction() as session:
        row = await change.create_codebase_analysis(session, data)
    return created(response, row, "/api/codebase-analyses")


@router.get("/{codebase_analysis_id}", response_model=CodebaseAnalysis)
async def get_codebase_analysis(session: Reading, codebase_analysis_id: UUID) -> Any:
    """Show one analysis."""
    return found(
        await store.get_codebase_analysis(session, codebase_analysis_id), "analysis", codebase_analysis_id
    ).to_dict()
