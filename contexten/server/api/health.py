"""Whether this process lives, and whether it can do its work."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError

from contexten.server.dependencies import DatabaseOf
from contexten_core.db import utc_now

router = APIRouter(tags=["health"])


@router.get("/livez")
async def livez() -> dict[str, str]:
    """Answer as long as the process does, whatever else is wrong."""
    return {"status": "alive"}


@router.get("/readyz")
async def readyz(database: DatabaseOf) -> JSONResponse:
    """Answer 200 when deliveries can be stored, 503 with the failing check when not."""
    failure = await _check(database)
    body = {"status": "ready" if failure is None else "not ready", "checks": {"database": failure or "ok"}}
    return JSONResponse(body, status_code=200 if failure is None else 503)


@router.get("/health")
async def health(database: DatabaseOf) -> dict[str, object]:
    """Summarise the state of the system."""
    failure = await _check(database)
    return {
        "status": "healthy" if failure is None else "degraded",
        "timestamp": utc_now().isoformat(),
        "components": {"database": "healthy" if failure is None else f"unhealthy: {failure}"},
    }


async def _check(database: DatabaseOf) -> str | None:
    try:
        await database.ping()
    except SQLAlchemyError as error:
        return type(error).__name__
    return None
