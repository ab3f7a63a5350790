"""What routes are given."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import Database
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.settings import Settings


# None of these is without `async`: FastAPI would send each request to a thread and back for it.
async def orchestrator_of(request: Request) -> SystemOrchestrator:
    orchestrator: SystemOrchestrator = request.app.state.orchestrator
    return orchestrator


async def settings_of(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def database_of(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


async def reading_session(database: Annotated[Database, Depends(database_of)]) -> AsyncIterator[AsyncSession]:
    async with database.reading() as session:
        yield session


OrchestratorOf = Annotated[SystemOrchestrator, Depends(orchestrator_of)]
SettingsOf = Annotated[Settings, Depends(settings_of)]
DatabaseOf = Annotated[Database, Depends(database_of)]
# Its connection goes back before the answer is sent: a slow reader keeps none.
Reading = Annotated[AsyncSession, Depends(reading_session, scope="function")]
