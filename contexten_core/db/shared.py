"""One transaction that several pieces of work share, as if each had one of its own: what they write goes together.

So does what they ask: a question that is put by `ask` waits until everybody has one, or is done, and is asked for all.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar, cast
from uuid import UUID

from sqlalchemy import Table, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.sql.ddl import sort_tables

from contexten_core.db.engine import Database
from contexten_core.db.sums import open_sums, write_sums
from contexten_core.errors import ConflictError
from contexten_core.faults import fault_point

_KNOWN = "known"
_HOLD = "hold"
_MADE = "made"
_SHARED = "shared"
UNKNOWN = object()

LONGEST_SECONDS = 5.0
"""What is shared for longer than this holds locks for too long, and is given up."""

T = TypeVar("T")
R = TypeVar("R")
K = TypeVar("K", bound=Hashable)

Question = Callable[[AsyncSession, Sequence[K]], Awaitable[Mapping[K, T]]]
"""Finds the answers for several keys in as few statements as it takes; a key without one is left out."""


def recalled(session: AsyncSession, *key: Hashable) -> Any:
    """Return what this session's transaction has found out for good, by locking it, say; `UNKNOWN` when it has not."""
    return session.info.get(_KNOWN, {}).get(key, UNKNOWN)


def remember(session: AsyncSession, *key: Hashable, value: Any) -> None:
    """Have `recalled` return a value until the session's end."""
    session.info.setdefault(_KNOWN, {})[key] = value


def is_shared(session: AsyncSession) -> bool:
    """Tell whether several pieces of work share this session's transaction."""
    return _MADE in session.info


async def once(session: AsyncSession, *key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
    """Ask, or where several share the transaction and one of them has asked before, return what it was told."""
    if not is_shared(session):
        return await ask()
    found = recalled(session, *key)
    if found is UNKNOWN:
        found = await ask()
        remember(session, *key, value=found)
    return cast(T, found)


async def ask(session: AsyncSession, question: Question[K, T], key: K) -> T | None:
    """Return a question's answer for a key; where several share the transaction, it is asked for all of them at once.

    Args:
        question: a function of a module: it is by its identity that the questions of several are the same one.
    """
    shared: SharedDatabase | None = session.info.get(_SHARED)
    if shared is None:
        return (await question(session, [key])).get(key)
    return cast("T | None", await shared.answer(session, question, key))


async def load(session: AsyncSession, model: type[R], row_id: UUID) -> R | None:
    """Return a row, as `session.get` does."""
    if not is_shared(session):
        return await session.get(model, row_id)
    kind: Any = model
    return await once(session, kind, row_id, ask=lambda: ask(session, _rows_of(kind), row_id))


@cache
def _rows_of(model: Any) -> Question[UUID, Any]:
    async def rows_of(session: AsyncSession, row_ids: Sequence[UUID]) -> dict[UUID, Any]:
        rows = (await session.execute(select(model).where(model.id.in_(row_ids)))).scalars()
        return {row.id: row for row in rows}

    return rows_of


def made(session: AsyncSession, model: type[R], row_id: UUID) -> R | None:
    """Return a row that this very transaction has made, where it is shared: nobody else can have seen or locked it."""
    row: R | None = session.info.get(_MADE, {}).get((model, row_id))
    return row


class _LateSession(Session):
    """Writes when it is told, not whenever it is asked to: the rows of many go in few statements."""

    def add(self, instance: object, _warn: bool = True) -> None:
        super().add(instance, _warn=_warn)
        self.info[_MADE][type(instance), getattr(instance, "id", None)] = instance

    def flush(self, objects: Sequence[Any] | None = None) -> None:
        if self.info.get(_HOLD):
            return
        # The mappers know of no relationship, by which the session would see which row another refers to.
        new: dict[Table, list[Any]] = {}
        for row in self.new:
            new.setdefault(row.__table__, []).append(row)
        if len(new) > 1:
            for table in sort_tables(new):
                super().flush(new[table])
        super().flush(objects)


class SharedDatabase(Database):
    """Gives those who share it one session after another's turn, within one transaction.

    A transaction of theirs ends once all have ended one, or are done: then what they wrote is written, so that the
    next ones read it. Nothing is committed before the last is done; what one of them breaks is broken for all.
    """

    def __init__(self, database: Database, *, sharing: int) -> None:
        super().__init__()
        self._open = database._opened  # noqa: SLF001 - the same database, seen from within a transaction
        self._session: AsyncSession | None = None
        self._turn_of_one = asyncio.Lock()
        self._sharing = sharing
        self._arrived = 0
        self._asking = 0
        self._asked: dict[Question[Any, Any], dict[Any, asyncio.Future[Any]]] = {}
        self._rounds = 0
        self._next = _Moment()

    @asynccontextmanager
    async def whole(self) -> AsyncIterator[AsyncSession]:
        """Open the transaction that is shared; it commits when the block ends and rolls back when it raises."""
        opened = self._opened
        made = opened.sessions(sync_session_class=_LateSession, autoflush=False)
        async with self._turn(opened), made as session:
            async with session.begin():
                session.info.update({_HOLD: True, _MADE: {}, _SHARED: self})
                open_sums(session)
                self._session = session
                try:
                    yield session
                finally:
                    self._session = None
                    session.info[_HOLD] = False
                await session.flush()
                await write_sums(session)
                await fault_point("before commit")
            await fault_point("after commit")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        async with self.reading() as session:
            yield session
        self._arrived += 1
        moment = self._next
        await self._look()
        await moment.come.wait()
        if moment.error is not None:
            raise moment.error

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        async with self._turn_of_one:
            if self._session is None:
                raise ConflictError("the transaction that this work shares has ended")
            yield self._session

    async def leave(self) -> None:
        """Be done: the others no longer wait for the caller."""
        self._sharing -= 1
        if self._sharing:
            await self._look()

    async def answer(self, session: AsyncSession, question: Question[K, T], key: K) -> T | None:
        """Let others have their turn until all have a question, or are done; see `ask`."""
        answers = self._asked.setdefault(question, {})
        answer = answers.get(key)
        if answer is None:
            answer = answers[key] = asyncio.get_running_loop().create_future()
        self._asking += 1
        if self._arrived + self._asking >= self._sharing:
            await self._ask_all(session)
            return cast("T | None", answer.result())
        self._turn_of_one.release()
        try:
            # Somebody else may wait for the same answer.
            return cast("T | None", await asyncio.shield(answer))
        finally:
            await self._turn_of_one.acquire()

    async def _look(self) -> None:
        if self._arrived + self._asking < self._sharing:
            return
        if not self._asking:
            await self._all_arrived()
            return
        async with self._turn_of_one:
            if self._session is not None:
                await self._ask_all(self._session)

    async def _ask_all(self, session: AsyncSession) -> None:
        asked, self._asked, self._asking = self._asked, {}, 0
        try:
            for question, answers in asked.items():
                found = await question(session, list(answers))
                for key, answer in answers.items():
                    answer.set_result(found.get(key))
        finally:
            # What kept one question from being answered breaks the transaction, and so all that share it.
            for answers in asked.values():
                for answer in answers.values():
                    answer.cancel()

    async def _all_arrived(self) -> None:
        moment, self._next = self._next, _Moment()
        self._arrived = 0
        self._rounds += 1
        try:
            # What the first ones write is that they begin: it can wait for what they end with.
            # One that is made to stop may still be using the session while the others leave.
            async with self._turn_of_one:
                if self._rounds > 1 and self._session is not None:
                    self._session.info[_HOLD] = False
                    await self._session.flush()
                    self._session.info[_HOLD] = True
        except SQLAlchemyError as error:
            moment.error = error
        finally:
            moment.come.set()


async def share(
    database: Database,
    works: Sequence[Callable[[SharedDatabase], Awaitable[T]]],
    *,
    first: Callable[[AsyncSession], Awaitable[None]] | None = None,
) -> list[T]:
    """Do several pieces of work in one transaction, and return what each returns; when one raises, nothing is kept.

    Args:
        works: each is given what it is to use as its database.
        first: is done before, in the same transaction.

    Raises:
        ExceptionGroup: what one of them raised.
        TimeoutError: they took too long.
    """
    shared = SharedDatabase(database, sharing=len(works))

    async def do(work: Callable[[SharedDatabase], Awaitable[T]]) -> T:
        try:
            return await work(shared)
        finally:
            await shared.leave()

    async with asyncio.timeout(None) as limit, shared.whole() as session:
        # Who waits for a connection locks nothing yet.
        await session.connection()
        limit.reschedule(asyncio.get_running_loop().time() + LONGEST_SECONDS)
        if first is not None:
            await first(session)
        async with asyncio.TaskGroup() as working:
            tasks = [working.create_task(do(work)) for work in works]
        return [task.result() for task in tasks]


@dataclass(slots=True, eq=False)
class _Moment:
    """When all have ended a transaction; `error` is what kept what they wrote from being written."""

    come: asyncio.Event = field(default_factory=asyncio.Event)
    error: SQLAlchemyError | None = None
