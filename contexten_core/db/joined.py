"""Small transactions of many, which do not know of each other, as one: what a burst of runs writes one by one."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db.engine import Database
from contexten_core.db.shared import SharedDatabase, share

logger = logging.getLogger(__name__)
T = TypeVar("T")

JOIN_SECONDS = 0.5
"""How long work waits for that of others to join it."""

MOST_JOINED = 100

_Work = Callable[[AsyncSession], Awaitable[Any]]


class JoinedDatabase(Database):
    """Another database, to which `transact` gives the work of several in one transaction; the rest goes there as it is.

    When that breaks, for whichever of them, nothing of it is kept, and each has one of its own.
    """

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database
        self._waiting: list[_Call] = []
        self._joining: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        return self._database.is_open

    @property
    def _opened(self) -> Any:
        return self._database._opened  # noqa: SLF001 - the same database, whenever it is opened

    async def transact(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        call = _Call(work, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._joining is None or self._joining.done():
            self._joining = asyncio.create_task(self._join(), name="joined transactions")
        try:
            done, result = await asyncio.shield(call.answer)
        except asyncio.CancelledError:
            if call in self._waiting:
                self._waiting.remove(call)
            else:
                # Whoever cleans up comes after what is being written.
                await asyncio.wait([call.answer])
            raise
        return cast(T, result) if done else await super().transact(work)

    async def _join(self) -> None:
        while self._waiting:
            await asyncio.sleep(JOIN_SECONDS)
            calls, self._waiting = self._waiting[:MOST_JOINED], self._waiting[MOST_JOINED:]
            answers = [(False, None)] * len(calls)
            try:
                if len(calls) > 1:
                    works = [partial(_do, call.work) for call in calls]
                    answers = [(True, result) for result in await share(self, works)]
            except Exception as error:
                logger.info("%d transactions go on alone: %s", len(calls), error, exc_info=True)
            finally:
                for call, answer in zip(calls, answers, strict=True):
                    call.answer.set_result(answer)


async def _do(work: _Work, shared: SharedDatabase) -> Any:
    async with shared.transaction() as session:
        return await work(session)


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    work: _Work
    answer: "asyncio.Future[tuple[bool, Any]]"
