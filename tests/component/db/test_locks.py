"""Locks by name: who comes second waits for the first one's transaction, and for no other name's."""

import asyncio

from contexten_core.db import Database
from contexten_core.db.locks import hold

SOON = 30.0


async def test_a_name_is_held_until_the_transaction_ends(database: Database) -> None:
    order: list[str] = []
    has_it = asyncio.Event()

    async def first() -> None:
        async with database.transaction() as session:
            await hold(session, "reports of a pull request")
            await hold(session, "reports of a pull request")
            has_it.set()
            await asyncio.sleep(0.2)
            order.append("first")

    async def second() -> None:
        await has_it.wait()
        async with database.transaction() as session:
            await hold(session, "reports of a pull request")
            order.append("second")

    async with asyncio.timeout(SOON):
        await asyncio.gather(first(), second())

    assert order == ["first", "second"]


async def test_other_names_wait_for_nothing(database: Database) -> None:
    if database.is_sqlite:
        return  # One writer at a time, whatever they hold.
    async with asyncio.timeout(SOON), database.transaction() as one, database.transaction() as another:
        await hold(one, "reports of a pull request")
        await hold(another, "reports of another")
