"""Insert a row unless one with the same unique key is there: the same on SQLite and PostgreSQL."""

from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult, Table
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


async def insert_many_once(
    session: AsyncSession, model: type[BaseModel], rows: Sequence[Mapping[str, Any]], *, unique: Sequence[str]
) -> set[UUID]:
    """Do the same with many rows, in as few statements as they take; return the ids of those that were new.

    Each row has an `id`, and all have the same keys, which are names of columns.
    """
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    table = cast(Table, model.__table__)
    statement = dialect.insert(table).on_conflict_do_nothing(index_elements=list(unique)).returning(table.c.id)
    return set((await session.execute(statement, list(rows))).scalars())
