"""The database is down for a minute, and every delivery is answered and stored (`make soak` for the long form)."""

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from contexten_core.db import Database
from contexten_core.settings import DatabaseConfig
from tests.component.events.outages import cuttable
from tests.soak.web import IS_LONG, Sender, all_stored, running_web, stored_bodies

DOWN_SECONDS = 60.0 if IS_LONG else 1.5
A_SECOND = 50
SUBJECTS = 10


@pytest.mark.parametrize("database_config", ["postgresql"], indirect=True)
async def test_all_are_answered_and_stored_in_order(database_config: DatabaseConfig, tmp_path: Path) -> None:
    async with cuttable(database_config) as way, running_web(way.config, tmp_path) as web:
        sender = Sender(web)
        await sender.send(0, 0)
        failures = sender.failures
        await way.begin()
        senders = [asyncio.create_task(send(sender, subject)) for subject in range(SUBJECTS)]
        await asyncio.sleep(DOWN_SECONDS)
        assert list((tmp_path / "home" / "spool").glob("*.spool"))
        await way.end()
        await asyncio.gather(*senders)
        await sender.close()

        database = Database(way.config)
        events = await all_stored(database, len(sender.acknowledged))
        bodies = await stored_bodies(database)
        await database.close()
    assert sender.failures == failures
    assert sorted(bodies) == sorted(sender.acknowledged.values())
    for subject in range(SUBJECTS):
        numbers = [event.payload["number"] for event in events if event.payload["subject"] == subject]
        assert all(one < two for one, two in pairwise(numbers))


async def send(sender: Sender, subject: int) -> None:
    """Send the deliveries of one subject, each after the one before was answered, until some time after the outage."""
    for number in range(1, int((DOWN_SECONDS + 1) * A_SECOND / SUBJECTS)):
        await asyncio.gather(sender.send(subject, number), asyncio.sleep(SUBJECTS / A_SECOND))
