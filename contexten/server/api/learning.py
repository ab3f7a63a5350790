"""Learning: what was learned, and what became of it."""

from typing import Any
from uuid import UUID

from fastapi import Response

from contexten.server.api.answers import Cursor, Limit, created, found, listed
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import Learning, list_of
from contexten.server.dependencies import OrchestratorOf, Reading
from contexten_core.learning import change, store
from contexten_core.learning.inputs import LearningCreate, LearningUpdate
from contexten_core.learning.models import LearningStatus, LearningType

router = api_router("/api/learning", "learning")


@router.get("", response_model=list_of(Learning))
async def list_learning(
    session: Reading,
    limit: Limit = 50,
    cursor: Cursor = None,
    learning_type: LearningType | None = None,
    status: LearningStatus | None = None,
    project_id: UUID | None = None,
) -> Any:
    """List the newest learning rows."""
    return listed(
        await store.page_learning(
            session, limit=limit, cursor=cursor, learning_type=learning_type, status=status, project_id=project_id
        )
    )


@router.post("", response_model=Learning, status_code=201)
async def create_learning(orchestrator: OrchestratorOf, response: Response, data: LearningCreate) -> Any:
    """Store something that was learned."""
    async with orchestrator.database.transaction() as session:
        row = await change.create_learning(session, data)
    return created(response, row, "/api/learning")


@router.get("/{learning_id}", response_model=Learning)
async def get_learning(session: Reading, learning_id: UUID) -> Any:
    """Show one learning row."""
    return found(await store.get_learning(session, learning_id), "learning row", learning_id).to_dict()


@router.patch("/{learning_id}", response_model=Learning)
async def update_learning(orchestrator: OrchestratorOf, learning_id: UUID, data: LearningUpdate) -> Any:
    """Change the given fields of one learning row."""
    async with orchestrator.database.transaction() as session:
        row = found(await change.update_learning(session, learning_id, data), "learning row", learning_id)
    return row.to_dict()
