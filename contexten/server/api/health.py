"""Whether this process lives, whether it can do its work, and how the system is."""

from functools import cache
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from contexten.server.dependencies import DatabaseOf, OrchestratorOf
from contexten.server.leaving import is_leaving
from contexten_core.db import Database, migrate

router = APIRouter(tags=["health"])


class Alive(BaseModel):
    status: str


class Readiness(BaseModel):
    """`checks` says `ok` for each, or what is wrong."""

    status: str
    checks: dict[str, str]


class Health(BaseModel):
    """`healthy`, or `degraded` with the part that is not."""

    model_config = ConfigDict(extra="allow")

    status: str
    timestamp: str
    components: dict[str, str]
    performance: dict[str, Any]


@router.get("/livez", response_model=Alive)
async def livez() -> Any:
    """Answer as long as the process does, whatever else is wrong."""
    return {"status": "alive"}


@router.get(
    "/readyz", response_model=Readiness, responses={503: {"model": Readiness, "description": "A check failed."}}
)
async def readyz(request: Request, database: DatabaseOf) -> JSONResponse:
    """Answer 200 when deliveries can be stored, 503 with the failing check when not, or when this process ends."""
    if is_leaving(request.app):
        return JSONResponse({"status": "not ready", "checks": {"process": "ending"}}, status_code=503)
    checks = await _checks(database)
    ready = all(found == "ok" for found in checks.values())
    body = {"status": "ready" if ready else "not ready", "checks": checks}
    return JSONResponse(body, status_code=200 if ready else 503)


@router.get("/health", response_model=Health)
async def health(orchestrator: OrchestratorOf) -> Any:
    """Summarise the state of the system."""
    return await orchestrator.get_system_health()


async def _checks(database: Database) -> dict[str, str]:
    if not database.is_open:
        return {"database": "not open", "migrations": "unknown"}
    try:
        await database.ping()
    except SQLAlchemyError as error:
        return {"database": type(error).__name__, "migrations": "unknown"}
    return {"database": "ok", "migrations": await _migrations(database)}


async def _migrations(database: Database) -> str:
    try:
        async with database.reading() as session:
            at = (await session.execute(text("SELECT version_num FROM alembic_version"))).scalar_one_or_none()
    except SQLAlchemyError:
        return "not migrated yet"
    newest = _newest_revision()
    return "ok" if at == newest else f"at {at}, not at {newest}"


@cache
def _newest_revision() -> str | None:
    return migrate.newest_revision()
