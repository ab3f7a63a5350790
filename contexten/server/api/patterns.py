"""Patterns: failures that were recognised."""

from typing import Any
from uuid import UUID

from contexten.server.api.answers import Cursor, Limit, found, listed
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import LearningPattern, list_of
from contexten.server.dependencies import Reading
from contexten_core.learning import store
from contexten_core.learning.models import PatternType

router = api_router("/api/patterns", "patterns")


@router.get("", response_model=list_of(LearningPattern))
async def list_patterns(
    session: Reading, limit: Limit = 50, cursor: Cursor = None, pattern_type: PatternType | None = None
) -> Any:
    """List the newest patterns, with how often each has been seen."""
    return listed(await store.page_patterns(session, limit=limit, cursor=cursor, pattern_type=pattern_type))


@router.get("/{pattern_id}", response_model=LearningPattern)
async def get_pattern(session: Reading, pattern_id: UUID) -> Any:
    """Show one pattern."""
    return found(await store.get_learning_pattern(session, pattern_id), "pattern", pattern_id).to_dict()
