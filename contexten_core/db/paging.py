"""Lists in pages: newest first, continued after a cursor that stays right while rows are added."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import Select, and_, or_
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db.base import BaseModel
from contexten_core.errors import InvalidInputError

M = TypeVar("M", bound=BaseModel)
LARGEST_PAGE = 500


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """Some rows of a list, and where the next page begins; None after the last."""

    rows: Sequence[M]
    next_cursor: str | None


async def page(
    session: AsyncSession, model: type[M], statement: Select[tuple[M]], *, limit: int, cursor: str | None
) -> Page[M]:
    """Run a query of one model, which has no order of its own, as one page of it: newest first.

    The order is by `created_at` and `id`; the query needs an index that ends in `created_at`.

    Raises:
        InvalidInputError: the cursor is not one that an earlier page gave.
    """
    limit = max(1, min(limit, LARGEST_PAGE))
    if cursor is not None:
        created_at, row_id = _read(cursor)
        statement = statement.where(
            or_(model.created_at < created_at, and_(model.created_at == created_at, model.id < row_id))
        )
    statement = statement.order_by(model.created_at.desc(), model.id.desc()).limit(limit + 1)
    rows: Sequence[Any] = (await session.execute(statement)).scalars().all()
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(rows[:limit], None if last is None else _write(last.created_at, last.id))


def _write(created_at: datetime, row_id: UUID) -> str:
    return base64.urlsafe_b64encode(f"{created_at.isoformat()}|{row_id}".encode()).decode().rstrip("=")


def _read(cursor: str) -> tuple[datetime, UUID]:
    try:
        text = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)).decode()
        moment, _, row_id = text.partition("|")
        place = datetime.fromisoformat(moment).astimezone(UTC), UUID(row_id)
    except (ValueError, OverflowError, binascii.Error):
        place = None
    if place is None or _write(*place) != cursor:
        problem = "not a cursor of this list"
        raise InvalidInputError(f"cursor: {problem}", fields={"cursor": problem})
    return place
