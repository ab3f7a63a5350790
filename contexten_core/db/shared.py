"""One transaction that several pieces of work share, as if each had one of its own: what they write goes together."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast
from uuid import UUID

from sqlalchemy import Table
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
UNKNOWN = object()

T = TypeVar("T")
R = TypeVar("R")


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
        self._open = database._open  # noqa: SLF001 - the same database, seen from within a transaction
        self._session: AsyncSession | None = None
        self._turn_of_one = asyncio.Lock()
        self._sharing = sharing
        self._arrived = 0
        self._rounds = 0
        self._next = _Moment()

    @asynccontextmanager
    async def whole(self) -> AsyncIterator[AsyncSession]:
        """Open the transaction that is shared; it commits when the block ends and rolls back when it raises."""
        opened = self._opened
        made = opened.sessions(sync_session_class=_LateSession, autoflush=False)
        async with self._turn(opened), made as session:
            async with session.begin():
                session.info.update({_HOLD: True, _MADE: {}})
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
        if self._arrived == self._sharing:
            await self._all_arrived()
        else:
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
        if self._sharing and self._arrived == self._sharing:
            await self._all_arrived()

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


@dataclass(slots=True, eq=False)
class _Moment:
    """When all have ended a transaction; `error` is what kept what they wrote from being written."""

    come: asyncio.Event = field(default_factory=asyncio.Event)
    error: SQLAlchemyError | None = None
