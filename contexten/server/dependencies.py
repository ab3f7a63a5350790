"""What routes are given."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import Database
from contexten_core.settings import Settings


def settings_of(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def database_of(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


async def reading_session(database: Annotated[Database, Depends(database_of)]) -> AsyncIterator[AsyncSession]:
    async with database.reading() as session:
        yield session


SettingsOf = Annotated[Settings, Depends(settings_of)]
DatabaseOf = Annotated[Database, Depends(database_of)]
Reading = Annotated[AsyncSession, Depends(reading_session)]
