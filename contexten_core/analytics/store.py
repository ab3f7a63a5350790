"""All SQL about analytics."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.analytics.models import AnalyticsModel


async def add(session: AsyncSession, **values: Any) -> None:
    session.add(AnalyticsModel(**values))
