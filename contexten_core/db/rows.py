"""What every module does with its rows."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import flag_modified

from contexten_core.db.base import BaseModel
from contexten_core.errors import ConflictError


def set_values(row: BaseModel, values: Mapping[str, Any]) -> None:
    """Set attributes of a row by their names."""
    for name, value in values.items():
        setattr(row, name, value)
        # To Python 1 and true are equal, so that inside JSON the session would not write the one over the other.
        flag_modified(row, name)


async def delete_row(session: AsyncSession, row: BaseModel | None) -> bool:
    """Delete a row; returns whether there was one."""
    if row is None:
        return False
    await session.delete(row)
    await session.flush()
    return True


@asynccontextmanager
async def taken_as(session: AsyncSession, conflict: ConflictError) -> AsyncIterator[None]:
    """Write what the block changes; when somebody else has taken its unique key meanwhile, raise `conflict`.

    The rest of the transaction stays as it was.
    """
    try:
        async with session.begin_nested():
            yield
    except IntegrityError as error:
        raise conflict from error
