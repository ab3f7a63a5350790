"""Errors that were handled, by whatever process."""

from typing import Any

from pydantic import BaseModel

from contexten.server.api.answers import Cursor, Limit, listed
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import Error, list_of
from contexten.server.dependencies import OrchestratorOf, Reading
from contexten_core.errors import store
from contexten_core.errors.kinds import ErrorCategory

router = api_router("/api/errors", "errors")


class ErrorStatistics(BaseModel):
    """Figures of every error that was ever handled; only `total_errors` is there while there was none.

    `error_patterns` counts by `category:Type`; `recent_errors` are the last ten, the newest last.
    """

    total_errors: int
    categories: dict[str, int] | None = None
    severities: dict[str, int] | None = None
    recoverable_percentage: float | None = None
    error_patterns: dict[str, int] | None = None
    recent_errors: list[dict[str, Any]] | None = None


@router.get("", response_model=list_of(Error))
async def list_errors(
    session: Reading, limit: Limit = 50, cursor: Cursor = None, category: ErrorCategory | None = None
) -> Any:
    """List the newest errors that are still kept one by one."""
    return listed(await store.page_errors(session, limit=limit, cursor=cursor, category=category))


@router.get("/statistics", response_model=ErrorStatistics, response_model_exclude_unset=True)
async def get_error_statistics(orchestrator: OrchestratorOf) -> Any:
    """Count errors by category, severity and pattern."""
    return await orchestrator.error_handler.read_statistics()
