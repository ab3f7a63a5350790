"""Deliveries on their way to the database: many in one commit, and into the spool while the database is away."""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from contexten_core.db import Database
from contexten_core.errors import ContextenError, OverloadedError, UnavailableError
from contexten_core.events import refusal_store
from contexten_core.events.delivery import Delivery, Receipt, ReceiptStatus
from contexten_core.events.handlers import HandlerRegistry
from contexten_core.events.keep import SEEN_BEFORE, DatabaseAwayError, write
from contexten_core.events.refusals import Refusal, RefusalBuffer
from contexten_core.events.spool import Record, Spool, mark_of
from contexten_core.events.spool_record import UnreadableRecordError, delivery_of, record_of
from contexten_core.security.encryption import Vault, open_vault
from contexten_core.security.text import one_line
from contexten_core.settings import Settings

logger = logging.getLogger(__name__)
T = TypeVar("T")

_MOST_ROWS: Final = 100
_MOST_BYTES: Final = 8 * 1024**2
_MOST_WAITING_BYTES: Final = 256 * 1024**2
_WRITE_SECONDS: Final = 2.0
# A large delivery may take longer than a sender should wait.
_DRAIN_SECONDS: Final = 30.0
_MOST_LAST_BYTES: Final = 1024**2
_AWAY_SECONDS: Final = 0.5
_FAILED_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 3.0
_REFUSAL_SECONDS: Final = 1.0


class Intake:
    """Takes verified deliveries and makes them durable, for one process. Works in one event loop at a time.

    Attributes:
        waiting: how many deliveries have not been answered.
        spooled: how many are in the spool.
        is_spooling: whether newer ones go there too, so that all are stored in the order in which they came.
        load: how much of what may wait does, from 0 to 1.
    """

    def __init__(self, database: Database, *, settings: Settings, handlers: HandlerRegistry | None = None) -> None:
        self._database = database
        self._settings = settings
        self._handlers = handlers
        self._refusals = RefusalBuffer()
        self._line: _Line | None = None

    @property
    def waiting(self) -> int:
        return 0 if self._line is None else self._line.waiting

    @property
    def spooled(self) -> int:
        return 0 if self._line is None else self._line.spool.waiting

    @property
    def is_spooling(self) -> bool:
        return self._line is not None and self._line.is_spooling

    @property
    def load(self) -> float:
        return 0.0 if self._line is None else self._line.load

    async def start(self) -> None:
        """Take over what processes that are gone have left in the spool, and begin to write. Safe to call again.

        Raises:
            ConfigurationError: the folder of the spool is not this account's alone.
        """
        if self._line is not None and self._line.loop is asyncio.get_running_loop():
            return
        self.abandon()
        self._line = line = _Line(self._database, self._settings, self._handlers, self._refusals)
        try:
            await line.start()
        except BaseException:
            self.abandon()
            raise

    async def close(self) -> None:
        """Store what waits, or spool it, and end, within a few seconds. Safe to call again."""
        line = self._line
        if line is not None and line.loop is asyncio.get_running_loop():
            self._line = None
            await line.close()
        else:
            self.abandon()

    def abandon(self) -> None:
        """Let go of another event loop, which is blocked or closed: nothing in it may be waited for."""
        line, self._line = self._line, None
        if line is not None:
            line.abandon()

    async def keep(self, delivery: Delivery) -> Receipt:
        """Make a delivery durable, once per signed body, and return what its sender is to be told.

        Raises:
            OverloadedError: too many wait, or the database is away and the spool is full. It is not kept.
            UnavailableError: this process is not started, or ends. It may have been kept.
        """
        line = self._line
        if line is None or line.loop is not asyncio.get_running_loop():
            raise _stopped()
        return await line.keep(delivery)

    def refuse(self, *, provider: str, code: str, reason: str, address: str, headers: Mapping[str, str]) -> None:
        """Count a request that was refused; it is seen in the database a second later."""
        self._refusals.add(provider=provider, code=code, reason=reason, address=address, headers=headers)


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    delivery: Delivery
    answer: asyncio.Future[Receipt]


class _Line:
    """What the intake does in one event loop: one task writes, one drains the spool, one stores refusals."""

    def __init__(
        self, database: Database, settings: Settings, handlers: HandlerRegistry | None, refusals: RefusalBuffer
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.spool = Spool(settings.spool.absolute(), most_bytes=settings.spool_bytes)
        self.waiting = 0
        self._database = database
        self._handlers = handlers
        self._refusals = refusals
        self._most = settings.intake_waiting
        self._vault = open_vault(settings)
        self._encrypting: Vault | None = self._vault if settings.encrypt_payloads else None
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self._arrived = asyncio.Event()
        self._spooling = asyncio.Event()
        # Whoever has it decides where the next deliveries go.
        self._turn = asyncio.Lock()
        self._is_closing = False
        self._tasks: list[asyncio.Task[None]] = []
        self._given_up: set[asyncio.Task[Any]] = set()

    @property
    def is_spooling(self) -> bool:
        return self._spooling.is_set()

    @property
    def load(self) -> float:
        return min(1.0, max(self.waiting / self._most, self._bytes / _MOST_WAITING_BYTES))

    async def start(self) -> None:
        adopted = await asyncio.to_thread(self.spool.adopt)
        if adopted:
            logger.info("%d deliveries wait in the spool that an earlier process has left", adopted)
            self._spooling.set()
        self._tasks = [
            asyncio.create_task(self._write(), name="intake"),
            asyncio.create_task(self._drain(), name="intake-spool"),
            asyncio.create_task(self._store_refusals(), name="intake-refusals"),
        ]

    async def close(self) -> None:
        self._is_closing = True
        self._arrived.set()
        if self._tasks:
            await asyncio.wait(self._tasks[:1], timeout=_CLOSE_SECONDS)
            for task in self._tasks:
                task.cancel()
            await asyncio.wait([*self._tasks, *self._given_up], timeout=_CLOSE_SECONDS)
        while self._queue:
            self._fail(self._take(most=_MOST_ROWS), _stopped())
        if self._refusals and not self.is_spooling:
            await self._store_counted(seconds=_REFUSAL_SECONDS)
        await asyncio.to_thread(self.spool.close)

    def abandon(self) -> None:
        self._is_closing = True
        if not self.loop.is_closed():
            for task in self._tasks:
                self.loop.call_soon_threadsafe(task.cancel)
        self.spool.close()

    async def keep(self, delivery: Delivery) -> Receipt:
        if self._is_closing:
            raise _stopped()
        size = _size(delivery)
        if self.waiting >= self._most or (self._bytes and self._bytes + size > _MOST_WAITING_BYTES):
            raise OverloadedError(
                f"{self.waiting} deliveries wait to be stored, which is as many as may",
                hint="deliver it again later",
                transient=True,
            )
        waiting = _Waiting(delivery, self.loop.create_future())
        self._queue.append(waiting)
        self.waiting += 1
        self._bytes += size
        self._arrived.set()
        return await waiting.answer

    async def _write(self) -> None:
        """Store or spool whatever has arrived while the last was being written, until the line is closed and empty."""
        while self._queue or not self._is_closing:
            if not self._queue:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            batch = self._take(most=_MOST_ROWS)
            try:
                async with self._turn:
                    answers = await self._settle([each.delivery for each in batch])
            except Exception as error:  # noqa: BLE001 - whatever it is, each sender is answered and the next ones served
                self._fail(batch, error)
            except BaseException:
                self._fail(batch, _stopped())
                raise
            else:
                self._answer(batch, answers)

    async def _settle(self, deliveries: Sequence[Delivery]) -> Sequence[Receipt | Exception]:
        if not self.is_spooling:
            try:
                return await self._store(deliveries, seconds=_WRITE_SECONDS)
            except DatabaseAwayError as error:
                logger.warning("%s; deliveries are spooled until it does", error.message)
                self._spooling.set()
        return await asyncio.to_thread(self._spool, deliveries)

    async def _store(self, deliveries: Sequence[Delivery], *, seconds: float) -> list[Receipt]:
        return await self._within(
            seconds, write(self._database, deliveries, handlers=self._handlers, vault=self._encrypting)
        )

    async def _within(self, seconds: float, work: Coroutine[Any, Any, T]) -> T:
        """Do something with the database; what is not done in time may still be done, and is not waited for."""
        working = asyncio.create_task(work, name="intake-database")
        try:
            await asyncio.wait([working], timeout=seconds)
        except asyncio.CancelledError:
            self._give_up(working)
            raise
        if not working.done():
            self._give_up(working)
            if not self._database.is_sqlite:
                # Connections that have been silent may be to a server that nobody reaches through them any more.
                await self._database.engine.dispose()
            raise DatabaseAwayError(f"the database took longer than {seconds:g} s", transient=True)
        return working.result()

    def _give_up(self, working: asyncio.Task[Any]) -> None:
        self._given_up.add(working)
        working.add_done_callback(self._given_up.discard)
        working.add_done_callback(_look_at)
        # A thread that waits for the lock of a SQLite file cannot be interrupted, and does not wait for long.
        if not self._database.is_sqlite:
            working.cancel()

    def _spool(self, deliveries: Sequence[Delivery]) -> list[Receipt | Exception]:
        """Append what is not in the spool yet; blocks until it is on disk."""
        answers: list[Receipt | Exception] = []
        records: dict[bytes, Record] = {}
        for delivery in deliveries:
            mark = mark_of(delivery.provider, delivery.digest)
            before = records[mark].event_id if mark in records else self.spool.find(mark)
            if before is not None:
                answers.append(Receipt(ReceiptStatus.DUPLICATE, before, SEEN_BEFORE))
                continue
            kept, records[mark] = self._recorded(delivery)
            answers.append(Receipt(ReceiptStatus.ACCEPTED, kept.event_id, kept.parked))
        if records:
            refused = self._append(list(records.values()))
            answers = [
                refused.get(answer.event_id, answer) if isinstance(answer, Receipt) else answer for answer in answers
            ]
        return answers

    def _recorded(self, delivery: Delivery) -> tuple[Delivery, Record]:
        try:
            return delivery, record_of(delivery, vault=self._encrypting)
        except (ValueError, TypeError, RecursionError) as error:
            reason = one_line(f"the body cannot be kept as it was parsed: {error}", 300)
            parked = replace(delivery, payload={}, headers={}, parked=reason)
            return parked, record_of(parked, vault=self._encrypting)

    def _append(self, records: Sequence[Record]) -> dict[UUID, Exception]:
        """Append records, or as many of them as there is room for; returns why the others were not."""
        try:
            self.spool.append(records)
        except OverloadedError as error:
            if len(records) == 1:
                return {records[0].event_id: error}
            refused: dict[UUID, Exception] = {}
            for record in records:
                refused |= self._append([record])
            return refused
        except OSError as error:
            logger.error("the spool cannot be written: %s", error)  # noqa: TRY400 - the disk's fault, not the code's
            full = OverloadedError(
                f"the database is away, and the spool cannot be written: {error.strerror}",
                hint="make room on the disk of CONTEXTEN_HOME",
                transient=True,
            )
            return {record.event_id: full for record in records}
        return {}

    async def _drain(self) -> None:
        """Store what is in the spool as soon as the database takes it, in the order in which it came."""
        while True:
            await self._spooling.wait()
            try:
                await self._drain_some()
            except DatabaseAwayError:
                await asyncio.sleep(_AWAY_SECONDS)
            except Exception:
                logger.exception("the spool cannot be drained, will try again")
                await asyncio.sleep(_FAILED_SECONDS)

    async def _drain_some(self) -> None:
        if self._given_up and self._database.is_sqlite:
            # It waits for the file, and whoever comes after it would wait for it.
            await asyncio.wait(self._given_up)
        await self._store_records(await self._oldest(), seconds=_DRAIN_SECONDS)
        if self.spool.waiting > _MOST_ROWS:
            return
        # It has just taken some: for what came meanwhile, those that come now can wait.
        async with self._turn:
            left = await self._oldest()
            if len(left) == self.spool.waiting and sum(len(record.content) for record in left) <= _MOST_LAST_BYTES:
                await self._store_records(left, seconds=_WRITE_SECONDS)
                self._spooling.clear()
                logger.info("the database takes deliveries again; the spool is empty")

    async def _oldest(self) -> list[Record]:
        return await asyncio.to_thread(self.spool.read, most=_MOST_ROWS, most_bytes=_MOST_BYTES)

    async def _store_records(self, records: Sequence[Record], *, seconds: float) -> None:
        deliveries = await asyncio.to_thread(self._readable, records)
        if deliveries:
            await self._store(deliveries, seconds=seconds)
        if records:
            await asyncio.to_thread(self.spool.remove, records)

    def _readable(self, records: Sequence[Record]) -> list[Delivery]:
        deliveries = []
        for record in records:
            try:
                deliveries.append(delivery_of(record, vault=self._vault))
            except UnreadableRecordError as error:
                logger.error("%s; %s", error.message, error.hint)  # noqa: TRY400 - it says what a person needs
                self.spool.keep_aside()
        return deliveries

    async def _store_refusals(self) -> None:
        while True:
            await asyncio.sleep(_REFUSAL_SECONDS)
            if self._refusals:
                await self._store_counted(seconds=_DRAIN_SECONDS)

    async def _store_counted(self, *, seconds: float) -> None:
        """Store the refusals that were counted; they stay counted while the database is away."""
        counted = self._refusals.take()
        is_stored = False
        try:
            adding = _add_refusals(self._database, counted)
            # What is given up may be done all the same, and would be counted twice.
            await (adding if self._database.is_sqlite else self._within(seconds, adding))
            is_stored = True
        except (SQLAlchemyError, ContextenError) as error:
            logger.debug("refusals cannot be stored, will try again: %s", error)
        finally:
            if not is_stored:
                self._refusals.give_back(counted)

    def _take(self, *, most: int) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._queue and len(batch) < most:
            size += _size(self._queue[0].delivery)
            if batch and size > _MOST_BYTES:
                break
            batch.append(self._queue.popleft())
        return batch

    def _answer(self, batch: Sequence[_Waiting], answers: Sequence[Receipt | Exception]) -> None:
        for each, answer in zip(batch, answers, strict=True):
            self.waiting -= 1
            self._bytes -= _size(each.delivery)
            # Its sender may have hung up.
            if each.answer.done():
                continue
            if isinstance(answer, Exception):
                each.answer.set_exception(answer)
            else:
                each.answer.set_result(answer)

    def _fail(self, batch: Sequence[_Waiting], error: Exception) -> None:
        self._answer(batch, [error] * len(batch))


def _size(delivery: Delivery) -> int:
    return len(delivery.body) + (0 if delivery.key is delivery.body else len(delivery.key))


async def _add_refusals(database: Database, counted: Sequence[Refusal]) -> None:
    async with database.transaction() as session:
        await refusal_store.add(session, counted)


def _look_at(working: asyncio.Task[Any]) -> None:
    """Look at what became of what nobody waits for, which says nothing new: the database is away."""
    if not working.cancelled():
        working.exception()


def _stopped() -> UnavailableError:
    return UnavailableError("this process takes no deliveries", hint="deliver it again", transient=True)
