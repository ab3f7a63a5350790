"""The elements of a commit's code: functions, classes, files, imports. They are not changed afterwards."""

from typing import Any
from uuid import UUID

from fastapi import Response

from contexten.server.api.answers import Cursor, Limit, Text, created, found, listed
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import CodebaseMetadata, list_of
from contexten.server.dependencies import OrchestratorOf, Reading
from contexten_core.codebase import change, store
from contexten_core.codebase.inputs import CodebaseMetadataCreate

router = api_router("/api/codebase-metadata", "codebases")


@router.get("", response_model=list_of(CodebaseMetadata))
async def list_codebase_metadata(
    session: Reading,
    codebase_id: UUID,
    limit: Limit = 50,
    cursor: Cursor = None,
    file_path: Text = None,
    element_name: Text = None,
) -> Any:
    """List the newest elements of a codebase."""
    return listed(
        await store.page_metadata(
            session, limit=limit, cursor=cursor, codebase_id=codebase_id, file_path=file_path, element_name=element_name
        )
    )


@router.post("", response_model=CodebaseMetadata, status_code=201)
async def create_codebase_metadata(
    orchestrator: OrchestratorOf, response: Response, data: CodebaseMetadataCreate
) -> Any:
    """Store one element of a commit's code."""
    async with orchestrator.database.transaction() as session:
        row = await change.create_codebase_metadata(session, data)
    return created(response, row, "/api/codebase-metadata")


@router.get("/{codebase_metadata_id}", response_model=CodebaseMetadata)
async def get_codebase_metadata(session: Reading, codebase_metadata_id: UUID) -> Any:
    """Show one element."""
    return found(
        await store.get_codebase_metadata(session, codebase_metadata_id), "element", codebase_metadata_id
    ).to_dict()
