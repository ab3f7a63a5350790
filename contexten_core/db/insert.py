"""Insert a row unless one with the same unique key is there: the same on SQLite and PostgreSQL."""

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db.base import BaseModel


async def insert_once(
    session: AsyncSession, model: type[BaseModel], values: dict[str, Any], *, unique: Sequence[str]
) -> UUID | None:
    """Insert `values` and return the new row's id, or return None when a row with the same `unique` columns exists."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(model).values(**values).on_conflict_do_nothing(index_elements=list(unique))
    result = cast(CursorResult[Any], await session.execute(statement.returning(model.id)))
    return result.scalar_one_or_none()
