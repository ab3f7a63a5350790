"""The performance monitor of one process."""

import asyncio
import logging
import os
import secrets
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from sqlalchemy.exc import SQLAlchemyError

from contexten_core.db import Database, utc_now
from contexten_core.errors import ConfigurationError, InvalidInputError
from contexten_core.performance import report, store
from contexten_core.performance.alerts import AlertWatch
from contexten_core.performance.failures import Failures
from contexten_core.performance.ledger import Ledger, Reading
from contexten_core.performance.sampling import Sample, Sampler
from contexten_core.performance.suggest import performance_score, suggestions
from contexten_core.performance.tally import Key, Metric, Tally
from contexten_core.performance.window import HOUR, SHORT_KEPT, begin_of, cover
from contexten_core.security.text import one_line
from contexten_core.settings import Settings, get_settings

logger = logging.getLogger(__name__)

MOST_NAMES = 200
OTHER = "other"
LONGEST_HOURS = 3650 * 24
_LONGEST_NAME = 200
_LONGEST_DURATION = 1e9
_HELD_PER_SAMPLE = 10
_ALERT_SECONDS = 30
_FLUSH_SECONDS = 60
_STOP_SECONDS = 30
_FIRST_PRUNE_SECONDS = 60
_PRUNE_SECONDS = 600
_PRUNE_BATCHES = 20
_AWAY = (SQLAlchemyError, OSError, TimeoutError, ConfigurationError)

OnAlert = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(slots=True)
class _Run:
    """What is under way between `initialize` and `shutdown`, in one event loop."""

    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event
    first: asyncio.Task[None]
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def is_alive_in(self, loop: asyncio.AbstractEventLoop) -> bool:
        return self.loop is loop and not any(task.done() for task in self.tasks)


class PerformanceMonitor:
    """Measures the machine and every operation, keeps the figures in the database, and tells of what crosses a limit.

    Figures of operations are those of every process that shares the database, and survive restarts; without a database
    they are this process's, and go with it. Each process writes rows of its own under `source`. While the database is
    away, figures wait in memory.

    Args:
        history_size: how many samples of the machine `history` keeps; ten times as many tallies may wait in memory for
            the database, or make up the reports where there is none.
        source: names the process; a random part is added, so that a restart has rows of its own.
        on_alert: called with each alert, for at most 30 s; what it raises is logged.
        clock: says what time it is.

    Attributes:
        history: the newest samples of the machine, oldest first.
        source: the name under which this process's rows are.
    """

    def __init__(
        self,
        history_size: int = 1000,
        *,
        database: Database | None = None,
        settings: Settings | None = None,
        source: str | None = None,
        on_alert: OnAlert | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        if isinstance(history_size, bool) or not isinstance(history_size, int) or history_size < 1:
            raise _invalid("history_size", "is not a whole number from 1 on")
        self.history: deque[Sample] = deque(maxlen=history_size)
        self.source = f"{source or f'{socket.gethostname()}:{os.getpid()}'}:{secrets.token_hex(4)}"
        self._database = database
        self._settings = settings if settings is not None else get_settings()
        self._on_alert = on_alert
        self._clock = clock
        self._origin = store.Origin(self.source, uuid4(), self._settings.environment.value)
        self._ledger = Ledger(capacity=history_size * _HELD_PER_SAMPLE)
        self._failures = Failures()
        self._names: set[str] = set()
        self._naming = Lock()
        self._sampler = Sampler(self._settings.home)
        self._watch = AlertWatch(self._settings)
        self._run: _Run | None = None
        self._flushing = asyncio.Lock()
        self._prune_at = time.monotonic() + _FIRST_PRUNE_SECONDS

    async def initialize(self) -> None:
        """Take the first sample, then go on in the background every `sample_seconds`: sample, store, raise alerts.

        Safe to call again, after `shutdown`, and in another event loop than before.
        """
        loop = asyncio.get_running_loop()
        run = self._run
        if run is None or not run.is_alive_in(loop):
            if run is not None:
                await self._end(run)
            self._flushing = asyncio.Lock()
            run = self._run = _Run(loop, asyncio.Event(), loop.create_task(self._measure(), name="first-sample"))
        try:
            await asyncio.shield(run.first)
        except Exception:
            self._run = None
            raise
        if self._run is run and not run.tasks:
            run.tasks = [
                loop.create_task(self._watching(run.stop), name="performance-samples"),
                loop.create_task(self._keeping(run.stop), name="performance-rows"),
            ]

    async def shutdown(self) -> None:
        """Stop measuring, and store what is not stored yet. Safe to call again."""
        run, self._run = self._run, None
        if run is not None:
            await self._end(run)
        await self.flush()

    def start_operation(self, name: str) -> "OperationContext":
        """Return a context manager, `with` or `async with`, that records how long its block took.

        The operation counts as failed when the block raises.

        Raises:
            InvalidInputError: the name is empty or not text.
        """
        return OperationContext(self, _name(name))

    async def record_operation(
        self, name: str, duration: float, success: bool = True, error: BaseException | str | None = None
    ) -> None:
        """Record one operation; `duration` in seconds. Of `error` only the kind is kept.

        Raises:
            InvalidInputError: the name is empty or not text, or the duration not a number from 0 to a billion.
        """
        self.record(name, duration, success, error)

    def record(self, name: str, seconds: float, success: bool = True, error: BaseException | str | None = None) -> None:
        """Do the same from code without async, in any thread.

        At most 200 names are told apart in one process; the rest is recorded as `other`.
        """
        name = _name(name)
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise _invalid("duration", "is not a number of seconds")
        if not 0 <= seconds <= _LONGEST_DURATION:
            raise _invalid("duration", "is not a number of seconds from 0 to a billion")
        if name not in self._names:
            name = self._new_name(name)
        reading = Reading(Key(Metric.OPERATION, name), float(seconds), failed=not success)
        self._ledger.add(self._clock().timestamp(), [reading])
        if not success and error is not None:
            self._failures.add(name, error)

    async def get_current_metrics(self) -> dict[str, Any]:
        """Return the newest sample, and the operations of the last hour; `{"status": "no_data"}` before the first.

        When the database does not answer, the operations are those that this process still holds, and `complete` is
        False.
        """
        if not self.history:
            return {"status": "no_data"}
        sample = self.history[-1]
        operations, complete = await self._last_hour()
        score = performance_score(sample, operations, self._settings)
        return {**report.current(sample, operations, score=score), "complete": complete}

    async def get_performance_report(self, hours: float = 24) -> dict[str, Any]:
        """Return what the last hours came to: the machine, and each operation of every process.

        The look back begins with a whole minute, or a whole hour when it goes back more than two days. `{"error": ...}`
        when there is nothing, when `hours` makes no sense, or when the database does not answer.
        """
        if isinstance(hours, bool) or not isinstance(hours, int | float) or not 0 < hours <= LONGEST_HOURS:
            return {"error": f"hours: is not a number above 0, and up to {LONGEST_HOURS}"}
        now = self._clock().timestamp()
        since = now - hours * HOUR
        try:
            tallies = await self._look_back(since, now)
        except _AWAY as error:
            logger.warning("no performance report, the database does not answer: %s", _told(error))
            return {"error": f"the database does not answer ({type(error).__name__}); try again later"}
        if not tallies:
            return {"error": f"nothing was measured in the last {hours:g} hours"}
        return report.report(tallies, hours=hours, since=begin_of(since, now), until=now)

    async def optimize_performance(self) -> dict[str, Any]:
        """Return what to change, with the cause and its figures; no suggestions when all is well.

        `{"error": ...}` before the first sample.
        """
        if not self.history:
            return {"error": "nothing was measured yet: call `await initialize()` first"}
        sample = self.history[-1]
        operations, complete = await self._last_hour()
        score = performance_score(sample, operations, self._settings)
        found = suggestions(sample, operations, self._failures.commonest(), self._settings)
        return {
            "performance_score": score,
            "suggestions": [suggestion.as_dict() for suggestion in found],
            "metrics": {**report.current(sample, operations, score=score), "complete": complete},
        }

    async def flush(self) -> bool:
        """Store what is not stored yet; returns whether the database now has everything.

        What cannot be stored is kept for the next time.
        """
        if self._database is None:
            return False
        async with self._flushing:
            entries = self._ledger.unsaved()
            if not entries:
                return True
            try:
                async with asyncio.timeout(_FLUSH_SECONDS), self._database.transaction() as session:
                    await store.save(session, self._origin, entries)
            except _AWAY as error:
                logger.warning("%d performance figures wait for the database: %s", len(entries), _told(error))
                return False
            self._ledger.mark_saved(entries)
            return True

    async def prune(self, now: datetime | None = None) -> int:
        """Delete intervals below an hour after two days, and all others after `metrics_retention_days`.

        In batches, each in a transaction of its own, and no more than 100,000 rows in one call. Returns how many.
        """
        if self._database is None:
            return 0
        now = now or self._clock()
        deleted = 0
        for _ in range(_PRUNE_BATCHES):
            async with self._database.transaction() as session:
                batch = await store.prune(
                    session,
                    short_before=now - timedelta(seconds=SHORT_KEPT),
                    before=now - timedelta(days=self._settings.metrics_retention_days),
                )
            deleted += batch
            if batch == 0:
                break
        return deleted

    def _new_name(self, name: str) -> str:
        with self._naming:
            if len(self._names) >= MOST_NAMES:
                return OTHER
            self._names.add(name)
            return name

    async def _last_hour(self) -> tuple[dict[str, Tally], bool]:
        now = self._clock().timestamp()
        try:
            return report.operations(await self._look_back(now - HOUR, now)), True
        except _AWAY as error:
            logger.warning("figures of this process only, the database does not answer: %s", _told(error))
            held, _ = self._ledger.look(cover(now - HOUR, now))
            return report.operations(held), False

    async def _look_back(self, since: float, now: float) -> dict[Key, Tally]:
        spans = cover(since, now)
        tallies, held_from = self._ledger.look(spans)
        if self._database is not None:
            async with self._database.reading() as session:
                stored = await store.total(session, spans, source=self.source, held_from=held_from)
            for key, tally in stored.items():
                tallies.setdefault(key, Tally()).merge(tally)
        return tallies

    async def _measure(self) -> None:
        sample = await asyncio.to_thread(self._sampler.take)
        self.history.append(sample)
        self._ledger.add(self._clock().timestamp(), sample.readings())

    async def _judge(self) -> None:
        recent = self._ledger.recent(self._clock().timestamp())
        for alert in self._watch.check(self.history[-1], recent, self._failures.commonest()):
            await _guarded(self._tell({**alert, "source": self.source}), "telling of an alert")

    async def _tell(self, alert: dict[str, Any]) -> None:
        logger.warning("%s; %s", alert["issue"], alert["suggestion"])
        if self._on_alert is not None:
            async with asyncio.timeout(_ALERT_SECONDS):
                await self._on_alert(alert)

    async def _watching(self, stop: asyncio.Event) -> None:
        while True:
            await _guarded(self._judge(), "judging")
            if await self._waited(stop):
                return
            await _guarded(self._measure(), "sampling")

    async def _keeping(self, stop: asyncio.Event) -> None:
        while True:
            await _guarded(self.flush(), "storing")
            if time.monotonic() >= self._prune_at:
                self._prune_at = time.monotonic() + _PRUNE_SECONDS
                await _guarded(self.prune(), "pruning")
            if await self._waited(stop):
                return

    async def _waited(self, stop: asyncio.Event) -> bool:
        """Wait for the next sample's time; returns whether to stop instead."""
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), self._settings.sample_seconds)
        return stop.is_set()

    async def _end(self, run: _Run) -> None:
        tasks = [run.first, *run.tasks]
        if run.loop is not asyncio.get_running_loop():
            if not run.loop.is_closed():
                for task in tasks:
                    run.loop.call_soon_threadsafe(task.cancel)
            return
        run.stop.set()
        _, late = await asyncio.wait(tasks, timeout=_STOP_SECONDS)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)


class OperationContext:
    """Measures one block of code.

    Attributes:
        duration: how long it took, in seconds; 0.0 until it has ended.
    """

    def __init__(self, monitor: PerformanceMonitor, name: str) -> None:
        self.name = name
        self.duration = 0.0
        self._monitor = monitor
        self._began = time.perf_counter()

    def __enter__(self) -> Self:
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.duration = time.perf_counter() - self._began
        self._monitor.record(self.name, self.duration, success=error is None, error=error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


async def _guarded(work: Awaitable[object], what: str) -> None:
    """Wait for work whose failure, whatever it is, must not end the measuring; it is logged."""
    try:
        await work
    except Exception:
        logger.exception("%s failed; measuring goes on", what)


def _told(error: BaseException) -> str:
    """Return what went wrong, without the statement and its hundreds of values."""
    return one_line(f"{type(error).__name__}: {getattr(error, 'orig', None) or error}", 300)


def _name(name: str) -> str:
    line = one_line(name, _LONGEST_NAME) if isinstance(name, str) else ""
    if not line:
        raise _invalid("name", "is not the name of an operation")
    return line


def _invalid(name: str, problem: str) -> InvalidInputError:
    return InvalidInputError(f"{name}: {problem}", fields={name: problem})
