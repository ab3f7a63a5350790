"""All SQL about errors."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, cast
from uuid import uuid4

from sqlalchemy import CursorResult, Delete, Select, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from contexten_core.db import utc_now
from contexten_core.db.insert import insert_once
from contexten_core.db.paging import Page, page
from contexten_core.errors.describe import ErrorRecord
from contexten_core.errors.kinds import ErrorCategory, ErrorSeverity
from contexten_core.errors.models import ErrorCountModel, ErrorModel

RECENT = 10
MOST_PATTERNS = 1_000
_BUCKET = ("day", "category", "severity", "error_type", "recoverable")

_Bucket = tuple[date, str, str, str, bool]


@dataclass(frozen=True, slots=True)
class ErrorFigures:
    """What statistics are made of.

    Attributes:
        kinds: how many errors of each category and severity there were, recoverable or not.
        patterns: how many of each category and type, the most frequent first; at most `MOST_PATTERNS`.
        recent: the last ones, the newest first.
    """

    kinds: Sequence[tuple[ErrorCategory, ErrorSeverity, bool, int]]
    patterns: Sequence[tuple[ErrorCategory, str, int]]
    recent: Sequence[dict[str, Any]]


async def add(session: AsyncSession, records: Sequence[ErrorRecord]) -> None:
    """Add errors and count them; one that is there already, by its `error_id`, is neither added nor counted again."""
    buckets: Counter[_Bucket] = Counter()
    for record in records:
        if await insert_once(session, ErrorModel, _row(record), unique=("error_id",)) is not None:
            buckets[
                record.occurred_at.date(),
                record.category.value,
                record.severity.value,
                record.error_type,
                record.recoverable,
            ] += 1
    # In one order, so that two transactions that count several kinds never wait for each other.
    for bucket, number in sorted(buckets.items()):
        await _count(session, bucket, number)


async def _count(session: AsyncSession, bucket: _Bucket, number: int) -> None:
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(ErrorCountModel).values(
        id=uuid4(), name=f"{bucket[1]}:{bucket[3]}", count=number, **dict(zip(_BUCKET, bucket, strict=True))
    )
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=_BUCKET,
            set_={"count": ErrorCountModel.count + statement.excluded.count, "updated_at": utc_now()},
        )
    )


def _row(record: ErrorRecord) -> dict[str, Any]:
    return {
        "id": uuid4(),
        "name": record.error_type,
        "error_id": record.error_id,
        "category": record.category,
        "severity": record.severity,
        "error_type": record.error_type,
        "message": record.message,
        "code": record.code,
        "traceback": record.traceback,
        "context": record.context,
        "component": record.component,
        "recoverable": record.recoverable,
        "recovery_attempted": record.recovery_attempted,
        "recovery_successful": record.recovery_successful,
        "recovery_details": record.recovery_details,
        "occurred_at": record.occurred_at,
        # Lists go by it, and an error may have waited for the database.
        "created_at": record.occurred_at,
    }


async def get(session: AsyncSession, error_id: str) -> ErrorModel | None:
    return (await session.execute(select(ErrorModel).where(ErrorModel.error_id == error_id))).scalar_one_or_none()


def figures(session: Session) -> ErrorFigures:
    """Read what statistics are made of: the counts, and the last errors by their index."""
    return ErrorFigures(
        kinds=session.execute(kinds_statement()).tuples().all(),
        patterns=session.execute(patterns_statement()).tuples().all(),
        recent=[dict(row) for row in session.execute(recent_statement()).mappings()],
    )


def kinds_statement() -> Select[tuple[ErrorCategory, ErrorSeverity, bool, int]]:
    kind = (ErrorCountModel.category, ErrorCountModel.severity, ErrorCountModel.recoverable)
    return select(*kind, func.sum(ErrorCountModel.count)).group_by(*kind)


def patterns_statement() -> Select[tuple[ErrorCategory, str, int]]:
    total = func.sum(ErrorCountModel.count)
    pattern = (ErrorCountModel.category, ErrorCountModel.error_type)
    return select(*pattern, total).group_by(*pattern).order_by(total.desc(), *pattern).limit(MOST_PATTERNS)


def recent_statement() -> Select[Any]:
    return (
        select(
            ErrorModel.error_id,
            ErrorModel.category,
            ErrorModel.severity,
            ErrorModel.error_type,
            ErrorModel.message,
            ErrorModel.component,
            ErrorModel.recoverable,
            ErrorModel.recovery_attempted,
            ErrorModel.recovery_successful,
            ErrorModel.recovery_details,
            ErrorModel.occurred_at,
        )
        .order_by(ErrorModel.created_at.desc(), ErrorModel.id.desc())
        .limit(RECENT)
    )


async def delete_older(session: AsyncSession, *, before: datetime, limit: int) -> int:
    """Delete up to `limit` errors from before that time, the oldest first, and return how many; their counts stay."""
    statement = older_statement(before=before, limit=limit).execution_options(synchronize_session=False)
    return cast(CursorResult[Any], await session.execute(statement)).rowcount


def older_statement(*, before: datetime, limit: int) -> Delete:
    oldest = select(ErrorModel.id).where(ErrorModel.created_at < before).order_by(ErrorModel.created_at).limit(limit)
    return delete(ErrorModel).where(ErrorModel.id.in_(oldest))


async def page_errors(
    session: AsyncSession, *, limit: int, cursor: str | None, category: ErrorCategory | None = None
) -> Page[ErrorModel]:
    statement = select(ErrorModel)
    if category is not None:
        statement = statement.where(ErrorModel.category == category)
    return await page(session, ErrorModel, statement, limit=limit, cursor=cursor)


async def count_by_category(session: AsyncSession) -> dict[ErrorCategory, int]:
    """Return how many errors of each category were ever handled."""
    statement = select(ErrorCountModel.category, func.sum(ErrorCountModel.count)).group_by(ErrorCountModel.category)
    return {category: int(count) for category, count in await session.execute(statement)}
