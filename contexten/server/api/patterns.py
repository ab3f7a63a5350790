"""Patterns: failures that were recognised."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from contexten.server.dependencies import Reading
from contexten_core.learning import store

router = APIRouter(prefix="/patterns", tags=["patterns"])


@router.get("")
async def list_patterns(session: Reading, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> dict[str, Any]:
    """List the patterns seen last, with how often each has been."""
    return {"patterns": [row.to_dict() for row in await store.patterns(session, limit=limit)]}
