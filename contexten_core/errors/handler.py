"""The one place that errors are handed to: classified, recovered from where that can help, logged, and kept."""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from contexten_core.db import Database, utc_now
from contexten_core.errors import store
from contexten_core.errors.base import UnavailableError
from contexten_core.errors.classify import classify
from contexten_core.errors.describe import ErrorRecord, describe
from contexten_core.errors.kinds import ErrorSeverity
from contexten_core.errors.recovery import Recovery, arguments_for, recover
from contexten_core.errors.redact import safe_context, safe_str
from contexten_core.errors.statistics import Tally, of_figures
from contexten_core.errors.strategies import BuiltInStrategies, Strategy
from contexten_core.errors.transience import is_transient
from contexten_core.security.text import one_line
from contexten_core.settings import Settings, get_settings

logger = logging.getLogger(__name__)

_MOST_WAITING = 1_000
_FLUSH_BATCH = 200
_PRUNE_BATCH = 1_000
_STORE_SECONDS = 10.0
_LEVELS = {
    ErrorSeverity.LOW: logging.INFO,
    ErrorSeverity.MEDIUM: logging.WARNING,
    ErrorSeverity.HIGH: logging.ERROR,
    ErrorSeverity.CRITICAL: logging.CRITICAL,
}


class ErrorHandler:
    """Handles errors of one process and keeps them in its database, or in memory alone when it has none.

    Attributes:
        error_history: the last errors that this process handled, the newest last, as `handle_error` returned them (with
            `error_type`, `message`, `component` and `timestamp`, without the operation's result).
        error_patterns: how often this process met each `category:Type`.
        recovery_strategies: what can be tried, by name.
    """

    def __init__(
        self,
        database: Database | None = None,
        *,
        settings: Settings | None = None,
        component: str | None = None,
        history_size: int = 100,
    ) -> None:
        self._database = database
        self._settings = settings or get_settings()
        self._component = component
        self._tally = Tally()
        self._waiting: deque[ErrorRecord] = deque(maxlen=_MOST_WAITING)
        self._is_away = False
        self.error_history: deque[dict[str, Any]] = deque(maxlen=history_size)
        self.recovery_strategies: dict[str, Strategy] = BuiltInStrategies(database, self._settings).by_name()

    @property
    def error_patterns(self) -> Counter[str]:
        return self._tally.patterns

    def register_recovery_strategy(self, name: str, strategy: Strategy) -> None:
        """Add a recovery strategy, or replace the one of that name.

        Args:
            name: what errors (`recovery_action`) and contexts (`recovery_strategy`) call it.
            strategy: sync or async, of `(error, context)`, of one of them, or of nothing. It prepares the next try of
                `context["operation"]`, and returns `{"success", "strategy", "action" or "error"}`.

        Raises:
            ConfigurationError: it cannot be called like that.
        """
        arguments_for(strategy, Exception(), {})
        self.recovery_strategies[name] = strategy

    async def handle_error(
        self, error: BaseException, context: Mapping[str, Any] | None = None, attempt_recovery: bool = True
    ) -> dict[str, Any]:
        """Classify an error, try to recover from it, log it and keep it.

        Args:
            error: any exception. It is not raised again.
            context: what was being done. `operation`, a function without arguments, is what a recovery runs again;
                `recovery_strategy` names the strategy; `component` who it happened to. The rest is kept, without what
                is called like a secret.
            attempt_recovery: whether to try, which may take 30 seconds.

        Returns:
            `error_id`, `category`, `severity`, `recoverable`, `recovery_attempted`, `recovery_successful` (when it was
            run again, the operation succeeded), and `recovery_details`, which after a success has its `result`.
        """
        return await self._handle(error, _mapping(context), component=None, attempt_recovery=attempt_recovery)

    async def record(
        self, error: BaseException, *, context: Mapping[str, Any] | None = None, component: str | None = None
    ) -> str:
        """Do the same without recovery; returns the `error_id`."""
        handled = await self._handle(error, _mapping(context), component=component, attempt_recovery=False)
        error_id: str = handled["error_id"]
        return error_id

    async def _handle(
        self, error: BaseException, context: dict[str, Any], *, component: str | None, attempt_recovery: bool
    ) -> dict[str, Any]:
        classification = classify(error, context)
        told = context.get("component")
        component = component or (told if isinstance(told, str) else self._component)
        record = describe(error, context, classification=classification, component=component, now=utc_now())
        recovery = Recovery()
        try:
            if attempt_recovery:
                recovery = await recover(
                    error,
                    context,
                    classification=classification,
                    strategies=self.recovery_strategies,
                    attempts=self._settings.api_retry_attempts,
                )
        except asyncio.CancelledError:
            self._remember(record)
            if self._database is not None:
                self._waiting.append(record)
            raise
        record = _with(record, recovery)
        self._remember(record)
        await self._keep(record)
        return {
            "error_id": record.error_id,
            "category": record.category,
            "severity": record.severity,
            "recoverable": record.recoverable,
            "recovery_attempted": recovery.attempted,
            "recovery_successful": recovery.successful,
            "recovery_details": recovery.details,
        }

    def _remember(self, record: ErrorRecord) -> None:
        self._tally.count(record)
        self.error_history.append(record.summary())
        fields = {
            "error_id": record.error_id,
            "category": record.category.value,
            "severity": record.severity.value,
            "error_type": record.error_type,
            "component": record.component,
        }
        logger.log(
            _LEVELS[record.severity],
            "error_id=%s category=%s severity=%s type=%s component=%s recovered=%s: %s",
            *fields.values(),
            record.recovery_successful,
            one_line(record.message, 500),
            extra=fields,
        )

    async def _keep(self, record: ErrorRecord) -> None:
        if self._database is None:
            return
        if await self._stored(self._database, [record]) and self._waiting:
            late = [self._waiting.popleft() for _ in range(min(len(self._waiting), _FLUSH_BATCH))]
            if await self._stored(self._database, late):
                logger.info("%d errors that had waited for the database are stored", len(late))

    async def _stored(self, database: Database, records: list[ErrorRecord]) -> bool:
        """Store errors in one transaction; those that cannot be stored now wait in memory for the next chance."""
        try:
            async with asyncio.timeout(_STORE_SECONDS), database.transaction() as session:
                await store.add(session, records)
        except asyncio.CancelledError:
            self._waiting.extend(records)
            raise
        except (SQLAlchemyError, OSError) as problem:
            self._waiting.extend(records)
            if not self._is_away:
                said = getattr(problem, "orig", None) or problem
                logger.warning(
                    "errors cannot be stored now (%s: %s); the last %d are kept in memory until they can",
                    type(said).__name__,
                    one_line(safe_str(said), 300),
                    _MOST_WAITING,
                )
            self._is_away = True
            return False
        self._is_away = False
        return True

    def get_error_statistics(self) -> dict[str, Any]:
        """Return the statistics of all errors that were ever stored, by whatever process; blocks while reading.

        Returns:
            `{"total_errors": 0}`, or `total_errors`, `categories`, `severities`, `recoverable_percentage`,
            `error_patterns` (by `category:Type`) and `recent_errors` (the last 10, the newest last). Without a
            database, of what this process has handled.

        Raises:
            UnavailableError: the database does not answer.
        """
        if self._database is None:
            return self._tally.statistics(list(self.error_history))
        try:
            with self._database.reading_now() as session:
                return of_figures(store.figures(session))
        except SQLAlchemyError as problem:
            raise _unreadable(problem) from problem

    async def read_statistics(self) -> dict[str, Any]:
        """Return the same without blocking.

        Raises:
            UnavailableError: the database does not answer.
        """
        if self._database is None:
            return self._tally.statistics(list(self.error_history))
        try:
            async with self._database.reading() as session:
                return of_figures(await session.run_sync(store.figures))
        except (SQLAlchemyError, OSError) as problem:
            raise _unreadable(problem) from problem

    async def prune(self, now: datetime) -> int:
        """Delete the single errors older than ERRORS_RETENTION_DAYS and return how many; what was counted stays.

        Deletes in several short transactions, so that nobody waits long.
        """
        if self._database is None:
            return 0
        before = now - timedelta(days=self._settings.errors_retention_days)
        total, batch = 0, _PRUNE_BATCH
        while batch == _PRUNE_BATCH:
            async with self._database.transaction() as session:
                batch = await store.delete_older(session, before=before, limit=_PRUNE_BATCH)
            total += batch
        return total


def _mapping(context: object) -> dict[str, Any]:
    """Take anything as a context: to refuse it would hide the error that it came with."""
    if isinstance(context, Mapping):
        return dict(context)
    return {} if context is None else {"context": context}


def _with(record: ErrorRecord, recovery: Recovery) -> ErrorRecord:
    kept = {name: value for name, value in (recovery.details or {}).items() if name != "result"}
    return replace(
        record,
        recovery_attempted=recovery.attempted,
        recovery_successful=recovery.successful,
        recovery_details=safe_context(kept) if kept else None,
    )


def _unreadable(problem: Exception) -> UnavailableError:
    return UnavailableError(
        "the statistics of errors cannot be read now: the database does not answer as it should",
        hint="see whether it is running and up to date (`contexten db check`)",
        transient=is_transient(problem),
    )
