"""No acknowledged delivery is lost or doubled, however often the web process is killed (`make soak` for the long form).

The database goes away now and then too, so that processes are killed that have deliveries in their spool.
"""

import asyncio
import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from contexten_core.db import Database
from contexten_core.settings import DatabaseConfig
from tests.component.events.outages import Proxy, cuttable
from tests.soak.web import IS_LONG, Sender, Web, all_stored, running_web, stored_bodies

KILLS = 300 if IS_LONG else 5
DELIVERIES = 20_000 if IS_LONG else 150
SENDERS = 20
SEED = 4_171_021


async def test_kill_9_at_any_time_loses_and_doubles_nothing(database_config: DatabaseConfig, tmp_path: Path) -> None:
    async with cuttable(database_config) as way, running_web(way.config, tmp_path) as web:
        sender = Sender(web)
        killing = asyncio.create_task(kill(web, sender, way if isinstance(way, Proxy) else None))
        numbers = count()
        await asyncio.gather(*(send(sender, number, numbers, killing) for number in range(SENDERS)))
        await killing
        await sender.close()

        database = Database(way.config)
        events = await all_stored(database, len(sender.acknowledged))
        bodies = await stored_bodies(database)
        await database.close()
    digests = [event.digest for event in events]
    assert len(sender.acknowledged) >= DELIVERIES
    assert sender.failures
    assert sorted(digests) == sorted(sender.acknowledged)
    assert sorted(bodies) == sorted(sender.acknowledged.values())


async def send(sender: Sender, subject: int, numbers: Iterator[int], killing: asyncio.Task[None]) -> None:
    while (number := next(numbers)) < DELIVERIES or not killing.done():
        await sender.send(subject, number)


async def kill(web: Web, sender: Sender, way: Proxy | None) -> None:
    """Kill each process a little after it has served, and some before they have."""
    chance = random.Random(SEED)
    for number in range(KILLS):
        sender.heard.clear()
        if number % 5:
            await asyncio.wait_for(sender.heard.wait(), 60)
        is_away = way is not None and number % 10 == 3
        if way is not None and is_away:
            await way.begin()
        await asyncio.sleep(chance.uniform(0, 0.3))
        web.kill()
        if way is not None and is_away:
            await way.end()
