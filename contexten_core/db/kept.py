"""Rows that somebody speaks of, and that may be gone by now."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

Keep = Callable[[AsyncSession, UUID], Awaitable[object]]
"""Tells, by anything that is true, whether there is a row, and has it stay until the transaction ends."""


async def kept(session: AsyncSession, keep: Keep, said_id: Any) -> UUID | None:
    """Return the id of a row that is there, and stays; None of one that is not, or for what is no id."""
    try:
        row_id = None if said_id is None else UUID(str(said_id))
    except ValueError:
        return None
    return row_id if row_id is not None and await keep(session, row_id) else None
