"""Deliveries become durable together, once each, whatever one of them is like, with and without the database."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import event as sql_event
from sqlalchemy import func, select

from contexten_core.db import Database
from contexten_core.errors import OverloadedError, UnavailableError
from contexten_core.events import intake as intake_module
from contexten_core.events import store
from contexten_core.events.claim import claim_events
from contexten_core.events.delivery import Delivery, Receipt, ReceiptStatus
from contexten_core.events.handlers import Handler, HandlerRegistry
from contexten_core.events.intake import Intake
from contexten_core.events.keep import SEEN_BEFORE
from contexten_core.events.models import (
    EventHandlerModel,
    EventModel,
    EventPayloadModel,
    EventProvider,
    EventStatus,
    HandlerStatus,
)
from contexten_core.runtime import open_runtime
from contexten_core.security.encryption import open_vault
from contexten_core.settings import DatabaseConfig, Settings
from tests.component.events.outages import Proxy, cuttable

AT = datetime(2026, 1, 7, 10, 0, tzinfo=UTC)
Open = Callable[..., AbstractAsyncContextManager[Intake]]


def delivery(number: int = 0, **changed: Any) -> Delivery:
    """Return a delivery; the same number is the same signed body."""
    payload = {"zen": "Design for failure.", "number": number}
    body = json.dumps(payload).encode()
    given: dict[str, Any] = {
        "provider": EventProvider.GITHUB,
        "event_type": "push",
        "payload": payload,
        "headers": {"x-github-event": "push"},
        "content_type": "application/json",
        "body": body,
        "key": body,
        "received_at": AT + timedelta(seconds=number),
    }
    return Delivery(**(given | changed))


async def events(database: Database) -> list[EventModel]:
    """Return what came from outside, in the order in which it is handled."""
    statement = select(EventModel).where(EventModel.provider != EventProvider.SYSTEM).order_by(EventModel.created_at)
    async with database.reading() as session:
        return list((await session.execute(statement)).scalars())


async def security_events(database: Database) -> list[EventModel]:
    statement = select(EventModel).where(EventModel.event_type == "security_event").order_by(EventModel.created_at)
    async with database.reading() as session:
        return list((await session.execute(statement)).scalars())


async def counted(database: Database, model: Any) -> int:
    async with database.reading() as session:
        return int((await session.execute(select(func.count()).select_from(model))).scalar_one())


async def keep_all(intake: Intake, deliveries: Sequence[Delivery]) -> list[Receipt]:
    return list(await asyncio.gather(*map(intake.keep, deliveries)))


async def drained(intake: Intake) -> None:
    async with asyncio.timeout(20):
        while intake.is_spooling:  # noqa: ASYNC110 - the end of the spool is no event that anybody else needs
            await asyncio.sleep(0.01)


def files(settings: Settings) -> list[Path]:
    return sorted(settings.spool.glob("*"))


@pytest.fixture
def settings(database_config: DatabaseConfig, tmp_path: Path) -> Settings:
    return Settings(db=database_config, home=tmp_path / "home", secret_key=SecretStr("a secret key of the tests"))


@pytest.fixture
def open_intake(database: Database, settings: Settings) -> Open:
    """Start an intake, as one more process would; settings can be given by name."""

    @asynccontextmanager
    async def opening(
        *, database: Database = database, handlers: HandlerRegistry | None = None, **changed: Any
    ) -> AsyncIterator[Intake]:
        intake = Intake(database, settings=settings.model_copy(update=changed), handlers=handlers)
        await intake.start()
        try:
            yield intake
        finally:
            await intake.close()

    return opening


@pytest.fixture
async def intake(open_intake: Open) -> AsyncIterator[Intake]:
    async with open_intake() as intake:
        yield intake


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the database for a moment only."""
    monkeypatch.setattr(intake_module, "_WRITE_SECONDS", 0.2)
    monkeypatch.setattr(intake_module, "_DRAIN_SECONDS", 0.5)
    monkeypatch.setattr(intake_module, "_AWAY_SECONDS", 0.02)
    monkeypatch.setattr(intake_module, "_CLOSE_SECONDS", 0.3)


class TestStoring:
    async def test_a_delivery_is_stored_with_its_bytes_before_it_is_answered(
        self, intake: Intake, database: Database, settings: Settings
    ) -> None:
        given = delivery(external_id="72d3162e", key=b"v0:1:body")
        receipt = await intake.keep(given)

        (event,) = await events(database)
        assert receipt == Receipt(ReceiptStatus.ACCEPTED, event.id)
        assert event.id == given.event_id
        assert (event.event_type, event.title, event.status) == ("push", "push", EventStatus.PENDING)
        assert (event.created_at, event.available_at) == (AT, AT)
        assert (event.payload, event.headers) == (given.payload, given.headers)
        assert (event.external_id, event.digest, event.parked_at) == ("72d3162e", given.digest, None)
        async with database.reading() as session:
            assert await store.raw_payload(session, event.id, vault=open_vault(settings)) == given.body
            raw = (await session.execute(select(EventPayloadModel))).scalar_one()
        assert (raw.size_bytes, raw.content_type) == (len(given.body), "application/json")
        assert raw.checksum == f"sha256:{delivery().digest}"
        assert files(settings) == []

    async def test_deliveries_that_come_together_are_committed_together(
        self, intake: Intake, database: Database
    ) -> None:
        commits: list[object] = []
        sql_event.listen(database.engine.sync_engine, "commit", commits.append)
        receipts = await keep_all(intake, [delivery(number) for number in range(150)])

        assert {receipt.status for receipt in receipts} == {ReceiptStatus.ACCEPTED}
        assert [receipt.event_id for receipt in receipts] == [event.id for event in await events(database)]
        assert len(commits) <= 3
        assert intake.waiting == 0

    async def test_a_batch_is_bounded_in_bytes(self, intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(intake_module, "_MOST_BYTES", 100)
        receipts = await keep_all(intake, [delivery(number, body=b"x" * 60) for number in range(5)])

        assert {receipt.status for receipt in receipts} == {ReceiptStatus.ACCEPTED}

    async def test_encrypted_bytes_can_be_read_with_the_key_only(self, open_intake: Open, database: Database) -> None:
        async with open_intake(encrypt_payloads=True) as intake:
            await keep_all(intake, [delivery(1), delivery(2)])
            async with database.reading() as session:
                raw = list((await session.execute(select(EventPayloadModel))).scalars())
                vault = open_vault(intake._settings)
                found = {await store.raw_payload(session, each.event_id, vault=vault) for each in raw}
        assert all(b"Design" not in each.raw_payload for each in raw)
        assert found == {delivery(1).body, delivery(2).body}

    async def test_functions_are_queued_with_the_event(self, open_intake: Open, database: Database) -> None:
        handlers = HandlerRegistry()
        handlers.add(Handler("mine", EventProvider.GITHUB, lambda found, _: found == "push", print))
        handlers.add(Handler("another", EventProvider.SLACK, lambda found, _: True, print))
        async with open_intake(handlers=handlers) as intake:
            await keep_all(intake, [delivery(1), delivery(2), delivery(1), delivery(3, parked="no JSON", payload={})])
        async with database.reading() as session:
            queued = list((await session.execute(select(EventHandlerModel))).scalars())
        assert {call.event_id for call in queued} == {event.id for event in (await events(database))[:2]}
        assert [(call.handler_name, call.status) for call in queued] == [("mine", HandlerStatus.PENDING)] * 2

    async def test_a_parked_delivery_waits_for_a_person(
        self, intake: Intake, database: Database, settings: Settings
    ) -> None:
        receipt = await intake.keep(delivery(payload={}, parked="the body is not JSON"))

        (event,) = await events(database)
        assert receipt == Receipt(ReceiptStatus.ACCEPTED, event.id, "the body is not JSON")
        assert (event.status, event.reason, event.payload) == (EventStatus.FAILED, "the body is not JSON", {})
        assert event.error_message == "the body is not JSON"
        assert event.parked_at is not None
        async with database.reading() as session:
            assert [row.id for row in await store.newest(session, limit=5, parked=True)] == [event.id]
        async with open_runtime(settings) as runtime:
            assert await claim_events(runtime, limit=5) == []


class TestDuplicates:
    async def test_a_signed_body_is_one_event_however_often_and_wherever_it_comes(
        self, open_intake: Open, database: Database, database_config: DatabaseConfig
    ) -> None:
        other = Database(database_config)
        async with open_intake() as one, open_intake(database=other) as two:
            receipts = []
            for _ in range(10):
                receipts += await keep_all(one, [delivery(external_id=uuid4().hex) for _ in range(25)])
                together = await asyncio.gather(
                    keep_all(one, [delivery(event_type="issues") for _ in range(25)]),
                    keep_all(two, [delivery() for _ in range(25)]),
                )
                receipts += [*together[0], *together[1]]
        await other.close()
        async with open_intake() as after_a_restart:
            receipts += await keep_all(after_a_restart, [delivery() for _ in range(250)])

        (event,) = await events(database)
        assert len(receipts) == 1_000
        assert [receipt for receipt in receipts if receipt.status is ReceiptStatus.ACCEPTED] == [
            Receipt(ReceiptStatus.ACCEPTED, event.id)
        ]
        assert {receipt for receipt in receipts if receipt.status is ReceiptStatus.DUPLICATE} == {
            Receipt(ReceiptStatus.DUPLICATE, event.id, SEEN_BEFORE)
        }
        assert await counted(database, EventPayloadModel) == 1

    async def test_processes_that_are_sent_the_same_in_different_orders_do_not_hold_each_other_up(
        self, open_intake: Open, database: Database, database_config: DatabaseConfig
    ) -> None:
        other = Database(database_config)
        async with open_intake() as one, open_intake(database=other) as two:
            numbers = range(60)
            there, back = await asyncio.gather(
                keep_all(one, [delivery(number) for number in numbers]),
                keep_all(two, [delivery(number) for number in reversed(numbers)]),
            )
        await other.close()
        assert len(await events(database)) == 60
        assert [receipt.event_id for receipt in there] == [receipt.event_id for receipt in reversed(back)]

    async def test_the_same_bytes_of_two_providers_are_two_events(self, intake: Intake, database: Database) -> None:
        await keep_all(intake, [delivery(), delivery(provider=EventProvider.SLACK)])

        assert {event.provider for event in await events(database)} == {EventProvider.GITHUB, EventProvider.SLACK}

    async def test_another_body_under_a_known_delivery_id_raises_a_security_event(
        self, intake: Intake, database: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        first = await intake.keep(delivery(1, external_id="72d3162e"))
        await intake.keep(delivery(1, external_id="72d3162e"))
        await intake.keep(delivery(2, external_id="72d3162e", provider=EventProvider.LINEAR))
        assert await security_events(database) == []
        again = await intake.keep(delivery(3, external_id="72d3162e"))

        (said,) = await security_events(database)
        assert said.payload == {
            "kind": "delivery_id_reused",
            "provider": "github",
            "external_id": "72d3162e",
            "event_id": str(again.event_id),
            "earlier_event_id": str(first.event_id),
        }
        assert (again.status, said.provider) == (ReceiptStatus.ACCEPTED, EventProvider.SYSTEM)
        (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert "'72d3162e' again with another signed body" in warning.getMessage()

    async def test_it_does_so_too_when_both_come_at_once(self, intake: Intake, database: Database) -> None:
        held = await intake.keep(delivery(0))
        one, two, three = await keep_all(intake, [delivery(number, external_id="same") for number in (1, 2, 3)])
        assert held.event_id != one.event_id

        assert {
            (said.payload["event_id"], said.payload["earlier_event_id"]) for said in await security_events(database)
        } in (
            {(str(two.event_id), str(one.event_id)), (str(three.event_id), str(one.event_id))},
            {(str(two.event_id), str(one.event_id)), (str(three.event_id), str(two.event_id))},
        )
        assert len(await events(database)) == 4

    async def test_deliveries_without_an_id_have_none_in_common(self, intake: Intake, database: Database) -> None:
        await keep_all(intake, [delivery(number) for number in range(3)])

        assert await security_events(database) == []


class TestPoison:
    async def test_what_the_database_cannot_store_is_parked_and_the_others_are_stored(
        self, intake: Intake, database: Database
    ) -> None:
        bad = delivery(7, payload={"n": 10**5_000}, external_id="x" * 90)
        receipts = await keep_all(intake, [delivery(number) if number != 7 else bad for number in range(12)])

        found = {event.id: event for event in await events(database)}
        assert [receipt.status for receipt in receipts] == [ReceiptStatus.ACCEPTED] * 12
        assert len(found) == 12
        parked = found.pop(bad.event_id)
        assert (parked.status, parked.payload, parked.external_id) == (EventStatus.FAILED, {}, "x" * 90)
        assert parked.reason is not None
        assert parked.reason.startswith("the body cannot be stored as it was parsed: ")
        assert receipts[7] == Receipt(ReceiptStatus.ACCEPTED, bad.event_id, parked.reason)
        assert {event.status for event in found.values()} == {EventStatus.PENDING}

    async def test_a_parked_one_is_known_when_it_comes_again(self, intake: Intake, database: Database) -> None:
        first = await intake.keep(delivery(payload={"n": 10**5_000}))
        again = await intake.keep(delivery(payload={"n": 10**5_000}))

        assert again == Receipt(ReceiptStatus.DUPLICATE, first.event_id, SEEN_BEFORE)

    @pytest.mark.parametrize("database_config", ["postgresql"], indirect=True)
    async def test_an_index_that_refuses_a_value_parks_it_too(self, intake: Intake, database: Database) -> None:
        long = "".join(uuid4().hex for _ in range(500))
        receipt = await intake.keep(delivery(external_id=long))

        (event,) = await events(database)
        assert (event.id, event.external_id) == (receipt.event_id, long[:100])
        assert "index row" in (event.reason or "")

    async def test_a_handler_that_breaks_its_promise_fails_its_own_batch_only(
        self, open_intake: Open, database: Database
    ) -> None:
        def matches(_: str, payload: Any) -> bool:
            return bool(payload["number"])

        handlers = HandlerRegistry()
        handlers.add(Handler("mine", EventProvider.GITHUB, matches, print))
        async with open_intake(handlers=handlers) as intake:
            with pytest.raises(KeyError):
                await intake.keep(delivery(payload={}))
            assert (await intake.keep(delivery(1))).status is ReceiptStatus.ACCEPTED
        assert len(await events(database)) == 1


class TestTooMuch:
    async def test_more_than_may_wait_are_not_taken(self, open_intake: Open, database: Database) -> None:
        async with open_intake(intake_waiting=4) as intake:
            waiting = [asyncio.create_task(intake.keep(delivery(number))) for number in range(4)]
            await asyncio.sleep(0)
            assert (intake.waiting, intake.load) == (4, 1.0)
            with pytest.raises(OverloadedError, match="4 deliveries wait"):
                await intake.keep(delivery(9))
            await asyncio.gather(*waiting)
            assert (intake.waiting, intake.load) == (0, 0.0)
            await intake.keep(delivery(9))
        assert len(await events(database)) == 5

    async def test_more_bytes_than_may_wait_are_not_taken(
        self, intake: Intake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(intake_module, "_MOST_WAITING_BYTES", 100)
        waiting = asyncio.create_task(intake.keep(delivery(1, body=b"x" * 200)))
        await asyncio.sleep(0)
        assert intake.load == 1.0
        with pytest.raises(OverloadedError):
            await intake.keep(delivery(2))
        assert (await waiting).status is ReceiptStatus.ACCEPTED


class TestLife:
    async def test_a_sender_who_hangs_up_is_stored_all_the_same(self, open_intake: Open, database: Database) -> None:
        async with open_intake() as intake:
            gone = asyncio.create_task(intake.keep(delivery(1)))
            await asyncio.sleep(0)
            gone.cancel()
            await intake.keep(delivery(2))
        assert len(await events(database)) == 2

    async def test_what_waits_when_it_closes_is_stored(self, open_intake: Open, database: Database) -> None:
        async with open_intake() as intake:
            waiting = [asyncio.create_task(intake.keep(delivery(number))) for number in range(250)]
            await asyncio.sleep(0)
        assert len(await asyncio.gather(*waiting)) == 250
        assert len(await events(database)) == 250

    async def test_it_takes_nothing_before_it_starts_and_after_it_ends(
        self, database: Database, settings: Settings
    ) -> None:
        intake = Intake(database, settings=settings)
        for _ in range(2):
            with pytest.raises(UnavailableError, match="takes no deliveries"):
                await intake.keep(delivery())
            await intake.start()
            await intake.start()
            await intake.keep(delivery())
            await intake.close()
            await intake.close()

    def test_it_goes_on_in_another_event_loop(self, database_config: DatabaseConfig, settings: Settings) -> None:
        database = Database()
        intake = Intake(database, settings=settings)

        async def take(number: int) -> int:
            database.open(database_config)
            await intake.start()
            await intake.keep(delivery(number))
            found = len(await events(database))
            await database.close()
            return found

        assert [asyncio.run(take(number)) for number in range(3)] == [1, 2, 3]
        intake.abandon()


class TestDatabaseAway:
    async def test_deliveries_are_spooled_and_stored_in_order_when_it_is_back(
        self, database_config: DatabaseConfig, settings: Settings, hasty: None
    ) -> None:
        async with cuttable(database_config) as outage:
            database = Database(outage.config)
            intake = Intake(database, settings=settings)
            await intake.start()
            await intake.keep(delivery(0))
            await outage.begin()
            receipts = await keep_all(intake, [delivery(number) for number in range(1, 150)])
            again = await intake.keep(delivery(5, external_id="another"))
            assert intake.is_spooling
            assert intake.spooled == 149
            assert [path.stat().st_mode & 0o777 for path in (settings.spool, *files(settings))] == [0o700, 0o600]

            await outage.end()
            await drained(intake)
            assert (intake.spooled, files(settings)) == (0, [])
            await intake.keep(delivery(150))
            await intake.close()

            assert {receipt.status for receipt in receipts} == {ReceiptStatus.ACCEPTED}
            assert again == Receipt(ReceiptStatus.DUPLICATE, receipts[4].event_id, SEEN_BEFORE)
            found = await events(database)
            assert [event.payload["number"] for event in found] == list(range(151))
            assert [event.id for event in found[1:-1]] == [receipt.event_id for receipt in receipts]
            assert [event.created_at for event in found] == [AT + timedelta(seconds=n) for n in range(151)]
            assert await counted(database, EventPayloadModel) == 151
            await database.close()

    @pytest.mark.parametrize("database_config", ["postgresql"], indirect=True)
    async def test_a_database_that_hangs_is_not_waited_for(
        self, database_config: DatabaseConfig, settings: Settings, hasty: None
    ) -> None:
        async with cuttable(database_config) as outage:
            assert isinstance(outage, Proxy)
            database = Database(outage.config)
            intake = Intake(database, settings=settings)
            await intake.start()
            await intake.keep(delivery(0))
            outage.hang()
            async with asyncio.timeout(10):
                await keep_all(intake, [delivery(number) for number in range(1, 20)])
            assert intake.spooled == 19
            await outage.end()
            await drained(intake)
            await intake.close()
            assert [event.payload["number"] for event in await events(database)] == list(range(20))
            await database.close()

    async def test_what_the_next_process_finds_in_the_spool_it_stores(
        self, database_config: DatabaseConfig, settings: Settings, hasty: None, database: Database
    ) -> None:
        async with cuttable(database_config) as outage:
            away = Database(outage.config)
            gone = Intake(away, settings=settings.model_copy(update={"encrypt_payloads": True}))
            await gone.start()
            await outage.begin()
            kept = await keep_all(gone, [delivery(number, key=b"signed %d" % number) for number in range(20)])
            await gone.close()
            (left,) = files(settings)
            assert b"Design" not in left.read_bytes()

            succeeding = Intake(away, settings=settings)
            await succeeding.start()
            assert succeeding.is_spooling
            again = await succeeding.keep(delivery(3, key=b"signed 3"))
            later = await succeeding.keep(delivery(20))
            assert again == Receipt(ReceiptStatus.DUPLICATE, kept[3].event_id, SEEN_BEFORE)
            await outage.end()
            await drained(succeeding)
            await succeeding.close()
            await away.close()
        found = await events(database)
        assert [event.id for event in found] == [*(receipt.event_id for receipt in kept), later.event_id]
        assert found[3].digest == delivery(key=b"signed 3").digest
        assert files(settings) == []

    async def test_what_was_stored_although_nobody_said_so_is_stored_once(
        self, intake: Intake, database: Database, settings: Settings
    ) -> None:
        """As when the connection breaks between the commit and its answer."""
        await intake.keep(stored := delivery(1, external_id="72d3162e"))
        line = intake._line
        assert line is not None
        await asyncio.to_thread(line._spool, [stored, delivery(2)])
        line._spooling.set()
        await drained(intake)

        assert [event.payload["number"] for event in await events(database)] == [1, 2]
        assert await counted(database, EventPayloadModel) == 2
        assert await security_events(database) == []

    async def test_a_spool_that_is_full_takes_no_more(
        self, database_config: DatabaseConfig, settings: Settings, hasty: None
    ) -> None:
        async with cuttable(database_config) as outage:
            database = Database(outage.config)
            intake = Intake(database, settings=settings.model_copy(update={"spool_bytes": 2_000}))
            await intake.start()
            await outage.begin()
            kept: list[UUID] = []
            for answer in await asyncio.gather(*(intake.keep(delivery(n)) for n in range(10)), return_exceptions=True):
                if isinstance(answer, Receipt):
                    kept.append(answer.event_id)
                else:
                    assert isinstance(answer, OverloadedError)
                    assert answer.transient
                    assert "SPOOL_BYTES" in (answer.hint or "")
            assert 0 < len(kept) < 10
            await outage.end()
            await drained(intake)
            # A SQLite file may have taken the others all the same; nobody was told so.
            assert set(kept) <= {event.id for event in await events(database)}
            assert (await intake.keep(delivery(11))).status is ReceiptStatus.ACCEPTED
            await intake.close()
            await database.close()

    async def test_a_body_that_can_be_spooled_no_other_way_is_parked(
        self, database_config: DatabaseConfig, settings: Settings, hasty: None
    ) -> None:
        async with cuttable(database_config) as outage:
            database = Database(outage.config)
            intake = Intake(database, settings=settings)
            await intake.start()
            await outage.begin()
            receipt = await intake.keep(delivery(payload={"n": 10**5_000}))
            await outage.end()
            await drained(intake)
            await intake.close()
            (event,) = await events(database)
            assert (event.id, event.status, event.payload) == (receipt.event_id, EventStatus.FAILED, {})
            assert "cannot be" in (receipt.reason or "")
            await database.close()
