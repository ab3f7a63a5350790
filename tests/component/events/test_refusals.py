"""What is refused is counted in memory and seen a second later, however much of it there is."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as sql_event
from sqlalchemy import select

from contexten_core.db import Database, utc_now
from contexten_core.events import intake as intake_module
from contexten_core.events import refusal_store, refusals
from contexten_core.events.intake import Intake
from contexten_core.events.models import RefusalModel
from contexten_core.events.refusals import OTHER, RefusalBuffer
from contexten_core.events.retention import REFUSALS_KEPT, prune_refusals
from contexten_core.settings import DatabaseConfig, Settings
from tests.component.events.outages import cuttable

GIVEN: dict[str, Any] = {
    "provider": "github",
    "code": "signature",
    "reason": "the delivery's signature is not valid: mismatch",
    "address": "192.0.2.1",
    "headers": {"User-Agent": "curl/8", "X-Hub-Signature-256": "sha256=abc", "Authorization": "Bearer abc"},
}


async def rows(database: Database) -> Sequence[RefusalModel]:
    async with database.reading() as session:
        return (await session.execute(select(RefusalModel).order_by(RefusalModel.address))).scalars().all()


async def store(database: Database, buffer: RefusalBuffer) -> None:
    async with database.transaction() as session:
        await refusal_store.add(session, buffer.take())


class TestBuffer:
    def test_refusals_of_one_kind_are_one_that_says_how_often(self) -> None:
        buffer = RefusalBuffer()
        for number in range(1_000):
            buffer.add(**(GIVEN | {"reason": f"attempt {number}"}))
        (refusal,) = buffer.take()

        assert (refusal.count, refusal.reason) == (1_000, "attempt 999")
        assert refusal.headers == {"user-agent": "curl/8"}
        assert refusal.hour <= refusal.last_seen_at < refusal.hour + timedelta(hours=1)
        assert (len(buffer), buffer.take()) == (0, [])

    def test_too_many_addresses_at_once_are_counted_together(self) -> None:
        buffer = RefusalBuffer()
        for number in range(5_000):
            buffer.add(**(GIVEN | {"address": f"2001:db8::{number:x}", "code": "signature" if number % 2 else "limit"}))
        found = buffer.take()

        assert len(found) == 302
        assert sum(refusal.count for refusal in found) == 5_000
        assert {refusal.code for refusal in found if refusal.address == OTHER} == {"signature", "limit"}

    def test_so_are_too_many_in_one_hour(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(refusals, "_MOST_AN_HOUR", 5)
        buffer, found = RefusalBuffer(), []
        moment = utc_now().replace(minute=10)
        monkeypatch.setattr(refusals, "utc_now", lambda: moment)
        for number in range(10):
            buffer.add(**(GIVEN | {"address": f"192.0.2.{number}"}))
            buffer.add(**(GIVEN | {"address": "192.0.2.0"}))
            found += buffer.take()
        assert {refusal.address for refusal in found} == {OTHER, *(f"192.0.2.{number}" for number in range(5))}
        monkeypatch.setattr(refusals, "utc_now", lambda: moment + timedelta(hours=1))
        buffer.add(**(GIVEN | {"address": "192.0.2.9"}))
        assert buffer.take()[0].address == "192.0.2.9"

    def test_what_could_not_be_stored_is_counted_again(self) -> None:
        buffer = RefusalBuffer()
        buffer.add(**GIVEN)
        buffer.add(**GIVEN)
        taken = buffer.take()
        buffer.add(**(GIVEN | {"reason": "newer"}))
        buffer.give_back(taken)

        (refusal,) = buffer.take()
        assert (refusal.count, refusal.reason) == (3, "newer")

    def test_whatever_a_stranger_sends_is_bounded_and_one_line(self) -> None:
        buffer = RefusalBuffer()
        strange = "a\n\0\x1b[31m\ud800" + "x" * 10_000
        buffer.add(
            provider=strange,
            code=strange,
            reason=f"{strange[:20]} Bearer abcdefghij",
            address=strange,
            headers={"User-Agent": strange, **{f"x-{number}": "1" for number in range(1_000)}},
        )
        (refusal,) = buffer.take()
        texts = [refusal.provider, refusal.code, refusal.address, refusal.reason, *refusal.headers.values()]
        assert all(len(text) <= 500 and text.isprintable() for text in texts)
        assert set(refusal.headers) == {"user-agent"}
        assert "abcdefghij" not in refusal.reason


class TestStore:
    async def test_rows_of_one_hour_are_added_to(self, database: Database) -> None:
        buffer = RefusalBuffer()
        for times in (2, 3):
            for _ in range(times):
                buffer.add(**(GIVEN | {"reason": f"{times} times"}))
            buffer.add(**(GIVEN | {"address": "192.0.2.2"}))
            await store(database, buffer)

        one, two = await rows(database)
        assert (one.count, one.reason, one.address) == (5, "3 times", "192.0.2.1")
        assert (two.count, two.headers, two.provider) == (2, {"user-agent": "curl/8"}, "github")

    async def test_those_of_a_day_are_counted(self, database: Database) -> None:
        buffer = RefusalBuffer()
        for _ in range(4):
            buffer.add(**GIVEN)
        await store(database, buffer)
        async with database.reading() as session:
            assert await refusal_store.count_since(session, utc_now() - timedelta(hours=24)) == 4
            assert await refusal_store.count_since(session, utc_now() + timedelta(hours=1)) == 0
            assert [row.count for row in await refusal_store.newest(session, limit=5)] == [4]

    async def test_old_ones_are_removed(self, database: Database) -> None:
        buffer = RefusalBuffer()
        buffer.add(**GIVEN)
        await store(database, buffer)

        assert await prune_refusals(database, now=utc_now() + REFUSALS_KEPT - timedelta(minutes=1)) == 0
        assert await prune_refusals(database, now=utc_now() + REFUSALS_KEPT + timedelta(minutes=1)) == 1
        assert await rows(database) == []


class TestIntake:
    async def test_refusals_are_stored_together_and_not_one_by_one(
        self, database: Database, database_config: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(intake_module, "_REFUSAL_SECONDS", 0.02)
        commits: list[object] = []
        sql_event.listen(database.engine.sync_engine, "commit", commits.append)
        intake = Intake(database, settings=Settings(db=database_config, home=tmp_path / "home"))
        await intake.start()
        for number in range(2_000):
            intake.refuse(**(GIVEN | {"address": f"192.0.2.{number % 7}"}))
        async with asyncio.timeout(10):
            while len(await rows(database)) < 7:  # noqa: ASYNC110 - the row is written by another task
                await asyncio.sleep(0.01)
        await intake.close()

        assert sum(row.count for row in await rows(database)) == 2_000
        assert len(commits) == 1

    async def test_they_wait_for_a_database_that_is_away(
        self, database_config: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(intake_module, "_REFUSAL_SECONDS", 0.02)
        monkeypatch.setattr(intake_module, "_DRAIN_SECONDS", 0.1)
        async with cuttable(database_config) as outage:
            database = Database(outage.config)
            intake = Intake(database, settings=Settings(db=outage.config, home=tmp_path / "home"))
            await intake.start()
            await outage.begin()
            intake.refuse(**GIVEN)
            await asyncio.sleep(0.1)
            intake.refuse(**GIVEN)
            await outage.end()
            monkeypatch.setattr(intake_module, "_REFUSAL_SECONDS", 10)
            await intake.close()
            assert [row.count for row in await rows(database)] == [2]
            await database.close()
