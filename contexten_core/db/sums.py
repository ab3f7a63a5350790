"""Rows that many transactions add to, a project's counts say: each adds last, and so locks them for no longer."""

from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

_SUMS = "sums"

Add = Callable[[AsyncSession, Mapping[str, float]], Awaitable[object]]


def open_sums(session: AsyncSession) -> None:
    """Have `add_up` wait, from now on, for `write_sums`."""
    session.info[_SUMS] = {}


async def add_up(session: AsyncSession, *key: Hashable, amounts: Mapping[str, float], add: Add) -> None:
    """Add amounts to a row just before the transaction commits: once for all that it adds to that row.

    Until then whoever reads the row finds what was there before. A session that is none of a `Database.transaction`
    adds at once.

    Args:
        key: the table, first, and what names the row in it.
        add: adds the amounts; of several for a row it is the first that is called.
    """
    sums: dict[Any, tuple[Counter[str], Add]] | None = session.info.get(_SUMS)
    if sums is None:
        await add(session, amounts)
        return
    counted, _ = sums.setdefault(key, (Counter(), add))
    counted.update(amounts)


async def write_sums(session: AsyncSession) -> None:
    """Add what has been added up, in one order, so that no two transactions wait for each other."""
    sums: dict[Any, tuple[Counter[str], Add]] = session.info.pop(_SUMS)
    if sums:
        await session.flush()
    for _, (amounts, add) in sorted(sums.items(), key=lambda item: str(item[0])):
        await add(session, amounts)
