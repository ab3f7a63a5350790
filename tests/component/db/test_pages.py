"""Pages of a list, on both databases, while rows come and go."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, select

from contexten_core.db import Database
from contexten_core.db.paging import LARGEST_PAGE, Page, page
from contexten_core.errors import InvalidInputError
from contexten_core.projects.models import ProjectModel, ProjectStatus

NOON = datetime(2026, 3, 29, 12, 0, tzinfo=UTC)


async def _add(database: Database, times: Iterable[datetime], *, status: ProjectStatus = ProjectStatus.ACTIVE) -> None:
    async with database.transaction() as session:
        session.add_all(
            ProjectModel(name="cashbox", slug=uuid4().hex, status=status, created_at=moment) for moment in times
        )


async def _page(
    database: Database, *, limit: int, cursor: str | None = None, status: ProjectStatus = ProjectStatus.ACTIVE
) -> Page[ProjectModel]:
    async with database.reading() as session:
        statement = select(ProjectModel).where(ProjectModel.status == status)
        return await page(session, ProjectModel, statement, limit=limit, cursor=cursor)


async def _ids(database: Database) -> list[UUID]:
    """Return all ids in the order of a list."""
    async with database.reading() as session:
        rows = (await session.execute(select(ProjectModel))).scalars().all()
    return [row.id for row in sorted(rows, key=lambda row: (row.created_at, row.id), reverse=True)]


@pytest.mark.parametrize("limit", [1, 3, 7, 10, 100])
async def test_pages_together_are_the_list_newest_first(database: Database, limit: int) -> None:
    """Some rows were made at the same moment, and some a microsecond apart."""
    await _add(database, [NOON + timedelta(microseconds=number // 3) for number in range(10)])
    seen: list[UUID] = []
    cursor = None
    while True:
        found = await _page(database, limit=limit, cursor=cursor)
        assert 0 < len(found.rows) <= limit
        seen += [row.id for row in found.rows]
        cursor = found.next_cursor
        if cursor is None:
            break

    assert seen == await _ids(database)


async def test_pages_neither_repeat_nor_skip_while_rows_are_added_and_removed(database: Database) -> None:
    await _add(database, [NOON + timedelta(seconds=number // 2) for number in range(20)])
    there = await _ids(database)
    seen: list[UUID] = []
    cursor = None
    for number in range(1, 100):
        found = await _page(database, limit=3, cursor=cursor)
        seen += [row.id for row in found.rows]
        cursor = found.next_cursor
        if cursor is None:
            break
        await _add(database, [NOON + timedelta(minutes=number), NOON + timedelta(minutes=number)])
        async with database.transaction() as session:
            # The row that the cursor points at may be gone when it is used.
            await session.execute(delete(ProjectModel).where(ProjectModel.id == seen[-1]))

    assert seen == there


async def test_a_cursor_goes_on_in_the_list_that_it_is_used_in(database: Database) -> None:
    await _add(database, [NOON + timedelta(seconds=number) for number in range(4)])
    await _add(database, [NOON + timedelta(seconds=number) for number in range(4)], status=ProjectStatus.ARCHIVED)
    first = await _page(database, limit=2)
    second = await _page(database, limit=2, cursor=first.next_cursor)

    assert [row.created_at for row in (*first.rows, *second.rows)] == [
        NOON + timedelta(seconds=number) for number in (3, 2, 1, 0)
    ]
    assert second.next_cursor is None


async def test_an_empty_list_is_one_page(database: Database) -> None:
    found = await _page(database, limit=10)

    assert (found.rows, found.next_cursor) == ([], None)


@pytest.mark.parametrize(("limit", "size"), [(0, 1), (-5, 1), (10**9, 3)])
async def test_a_page_has_at_least_one_row_and_never_too_many(database: Database, limit: int, size: int) -> None:
    await _add(database, [NOON] * 3)

    assert len((await _page(database, limit=limit)).rows) == size
    assert size <= LARGEST_PAGE


async def test_no_page_is_larger_than_the_largest(database: Database) -> None:
    await _add(database, [NOON] * (LARGEST_PAGE + 1))
    first = await _page(database, limit=10**9)

    assert len(first.rows) == LARGEST_PAGE
    assert len((await _page(database, limit=10, cursor=first.next_cursor)).rows) == 1


async def test_junk_is_refused_before_the_database_sees_it(database: Database) -> None:
    with pytest.raises(InvalidInputError):
        await _page(database, limit=10, cursor="' OR 1=1 --")
