"""Feedback: what people say about what was learned."""

from typing import Any
from uuid import UUID

from fastapi import Response

from contexten.server.api.answers import Cursor, Limit, created, found, listed
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import LearningFeedback, list_of
from contexten.server.dependencies import OrchestratorOf, Reading
from contexten_core.learning import change, store
from contexten_core.learning.inputs import LearningFeedbackCreate, LearningFeedbackUpdate

router = api_router("/api/feedback", "feedback")


@router.get("", response_model=list_of(LearningFeedback))
async def list_learning_feedback(
    session: Reading,
    limit: Limit = 50,
    cursor: Cursor = None,
    learning_id: UUID | None = None,
    is_processed: bool | None = None,
) -> Any:
    """List the newest pieces of feedback."""
    return listed(
        await store.page_feedback(
            session, limit=limit, cursor=cursor, learning_id=learning_id, is_processed=is_processed
        )
    )


@router.post("", response_model=LearningFeedback, status_code=201)
async def create_learning_feedback(
    orchestrator: OrchestratorOf, response: Response, data: LearningFeedbackCreate
) -> Any:
    """Say something about what was learned."""
    async with orchestrator.database.transaction() as session:
        row = await change.create_learning_feedback(session, data)
    return created(response, row, "/api/feedback")


@router.get("/{feedback_id}", response_model=LearningFeedback)
async def get_learning_feedback(session: Reading, feedback_id: UUID) -> Any:
    """Show one piece of feedback."""
    return found(await store.get_learning_feedback(session, feedback_id), "feedback", feedback_id).to_dict()


@router.patch("/{feedback_id}", response_model=LearningFeedback)
async def update_learning_feedback(
    orchestrator: OrchestratorOf, feedback_id: UUID, data: LearningFeedbackUpdate
) -> Any:
    """Change the given fields of one piece of feedback."""
    async with orchestrator.database.transaction() as session:
        row = found(await change.update_learning_feedback(session, feedback_id, data), "feedback", feedback_id)
    return row.to_dict()
