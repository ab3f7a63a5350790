"""Calls functions that are registered for events: each call is a row beside its event, made once, with retries.

The row is written in the transaction that stores the event, so that no crash can lose a call; one whose process fell
silent is made again by the next.
"""

import asyncio
import copy
import inspect
import logging
import traceback
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID, uuid4

from pydantic_core import to_jsonable_python
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import Database, utc_now
from contexten_core.errors import ContextenError, OperationTimeoutError, UnavailableError
from contexten_core.errors.describe import message_of, type_of
from contexten_core.errors.redact import safe_str, safe_text
from contexten_core.events import function_store, store
from contexten_core.events.handlers import Handler, HandlerRegistry
from contexten_core.events.models import EventHandlerModel, EventModel, EventStatus, HandlerStatus
from contexten_core.security.text import shorten

logger = logging.getLogger(__name__)

MOST_RETRIES = 3
CALL_SECONDS = 120.0
_LEASE = timedelta(seconds=CALL_SECONDS + 30)
_FIRST_DELAY = timedelta(seconds=1)
_POLL_SECONDS = 0.5
_BATCH = 20
_MESSAGE_LIMIT = 2_000
_TRACE_LIMIT = 8_000
_RESULT_LIMIT = 10_000


class ErrorRecorder(Protocol):
    """Where the failures of functions are counted."""

    async def record(self, error: BaseException, *, context: dict[str, Any] | None = None) -> str: ...


@dataclass(frozen=True, slots=True)
class Returned:
    """What one call came to: the function's answer, or the error that it raised."""

    handler: Handler
    value: Any = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class _Call:
    id: UUID
    handler: Handler
    event_id: UUID
    event_type: str
    payload: dict[str, Any]


def queue(
    session: AsyncSession,
    *,
    event_id: UUID,
    handlers: Sequence[Handler],
    held_by: str | None = None,
    now: datetime | None = None,
) -> list[EventHandlerModel]:
    """Have these functions called for an event, once the caller's transaction is committed.

    With `held_by` the process of that name makes the calls itself, and others only if it falls silent. `now` is the
    database's time where it is known, else this process's is taken.
    """
    now = now or utc_now()
    rows = [
        EventHandlerModel(
            id=uuid4(),
            name=handler.name,
            handler_name=handler.name,
            handler_type=function_store.FUNCTION,
            status=HandlerStatus.RUNNING if held_by else HandlerStatus.PENDING,
            started_at=now,
            available_at=now,
            lease_owner=held_by,
            lease_expires_at=now + _LEASE if held_by else None,
            retry_count=0,
            event_id=event_id,
        )
        for handler in handlers
    ]
    session.add_all(rows)
    return rows


class FunctionRunner:
    """Makes the calls of the functions that this process has registered."""

    def __init__(self, database: Database, registry: HandlerRegistry, errors: ErrorRecorder, *, owner: str) -> None:
        self.registry = registry
        self.owner = owner
        self._database = database
        self._errors = errors

    def hold(self, session: AsyncSession, event: EventModel) -> list[EventHandlerModel]:
        """Queue this process's functions for an event of its own, for `call` to make after the commit."""
        handlers = self.registry.matching(event.provider, event.event_type, event.payload)
        if event.is_record:
            event.status = EventStatus.PROCESSING
            if not handlers:
                _close(event, EventStatus.COMPLETED)
        return queue(session, event_id=event.id, handlers=handlers, held_by=self.owner)

    async def call(self, event: EventModel, rows: Sequence[EventHandlerModel]) -> list[Returned]:
        """Make calls that are held, all at once, and store what came of each; returns it in the order of `rows`."""
        calls = self._calls_of(event, rows)
        returned = list(await asyncio.gather(*(self._make(call) for call in calls)))
        if calls:
            await self._store(calls, returned)
        return returned

    def _calls_of(self, event: EventModel, rows: Sequence[EventHandlerModel]) -> list[_Call]:
        return [
            _Call(row.id, handler, event.id, event.event_type, event.payload)
            for row in rows
            if (handler := self.registry.get(row.handler_name)) is not None
        ]

    async def poll(self, *, stop: asyncio.Event) -> None:
        """Make the calls that others queued, for deliveries and for events of our own, until `stop` is set."""
        while not stop.is_set():
            made = 0
            try:
                # Looked at first: whoever begins to write keeps every other writer of a SQLite file waiting.
                if await self._is_anything_due():
                    made = await self.call_due()
            except SQLAlchemyError as error:
                logger.warning("the queue of functions cannot be read, will try again: %s", error)
            if made < _BATCH:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _POLL_SECONDS)

    async def _is_anything_due(self) -> bool:
        async with self._database.reading() as session:
            now = await self._database.now(session)
            return await function_store.is_anything_due(session, names=self.registry.names, now=now)

    async def call_due(self) -> int:
        """Make the calls that are due now; returns how many there were."""
        async with self._database.transaction() as session:
            now = await self._database.now(session)
            calls = await self._claim(session, now)
            for event in await function_store.unclaimed_events(session, limit=_BATCH - len(calls)):
                event.status = EventStatus.PROCESSING
                handlers = self.registry.matching(event.provider, event.event_type, event.payload)
                rows = queue(session, event_id=event.id, handlers=handlers, held_by=self.owner, now=now)
                calls += self._calls_of(event, rows)
                if not handlers:
                    _close(event, EventStatus.COMPLETED)
        returned = list(await asyncio.gather(*(self._make(call) for call in calls)))
        if calls:
            await self._store(calls, returned)
        return len(calls)

    async def _claim(self, session: AsyncSession, now: datetime) -> list[_Call]:
        calls = []
        due = await function_store.due(session, names=self.registry.names, now=now, limit=_BATCH)
        events = await store.get_all(session, {row.event_id for row in due})
        for row in due:
            event = events.get(row.event_id)
            handler = self.registry.get(row.handler_name)
            if event is None or handler is None:
                continue
            if row.status is HandlerStatus.RUNNING:
                row.retry_count += 1
                if row.retry_count > MOST_RETRIES:
                    _fail(row, "its process went away while it ran, as often as it was tried", None)
                    await _close_those_done(session, [event.id])
                    continue
            row.status = HandlerStatus.RUNNING
            row.started_at = now
            row.lease_owner = self.owner
            row.lease_expires_at = now + _LEASE
            calls.append(_Call(row.id, handler, event.id, event.event_type, event.payload))
        return calls

    async def _make(self, call: _Call) -> Returned:
        try:
            async with asyncio.timeout(CALL_SECONDS) as limit:
                value = await _invoke(call.handler, call.payload)
        except asyncio.CancelledError as error:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            # Nobody cancelled us: it waited for something that somebody cancelled.
            vain = UnavailableError(f"{call.handler.name} waited for what was cancelled")
            return await self._failed(call, vain, error)
        except Exception as error:  # noqa: BLE001 - whatever a registered function raises is recorded and tried again
            if isinstance(error, TimeoutError) and limit.expired():
                late = OperationTimeoutError(f"{call.handler.name} did not end within {CALL_SECONDS:g} s")
                return await self._failed(call, late, error)
            return await self._failed(call, error)
        return Returned(call.handler, value)

    async def _failed(self, call: _Call, error: Exception, cause: BaseException | None = None) -> Returned:
        error.__cause__ = error.__cause__ or cause
        logger.warning("%s failed for event %s: %s", call.handler.name, call.event_id, type_of(error))
        await self._errors.record(
            error,
            context={"handler": call.handler.name, "event_id": str(call.event_id), "event_type": call.event_type},
        )
        return Returned(call.handler, error=error)

    async def _store(self, calls: Sequence[_Call], returned: Sequence[Returned]) -> None:
        async with self._database.transaction() as session:
            rows = await function_store.lock_all(session, [call.id for call in calls])
            for call, result in zip(calls, returned, strict=True):
                row = rows.get(call.id)
                if row is not None and row.lease_owner == self.owner:
                    _finish(row, result, now=utc_now())
            await session.flush()
            await _close_those_done(session, {call.event_id for call in calls})


async def _invoke(handler: Handler, payload: dict[str, Any]) -> Any:
    # Each its own: what one changes in it is not the others' business.
    given = copy.deepcopy(payload)
    if inspect.iscoroutinefunction(handler.call):
        return await handler.call(given)
    value = await asyncio.to_thread(handler.call, given)
    return await value if inspect.isawaitable(value) else value


def _finish(row: EventHandlerModel, result: Returned, *, now: datetime) -> None:
    row.completed_at = now
    row.duration_ms = (now - row.started_at).total_seconds() * 1000
    row.lease_owner = row.lease_expires_at = None
    if result.error is None:
        row.status = HandlerStatus.COMPLETED
        row.output_data = {"result": _storable(result.value)}
        row.error_message = row.error_stack_trace = None
    elif row.retry_count < MOST_RETRIES:
        row.status = HandlerStatus.RETRYING
        row.available_at = now + _FIRST_DELAY * 2**row.retry_count
        row.retry_count += 1
        _explain(row, result.error)
    else:
        _fail(row, "", result.error)


def _fail(row: EventHandlerModel, message: str, error: Exception | None) -> None:
    row.status = HandlerStatus.FAILED
    row.completed_at = utc_now()
    row.lease_owner = row.lease_expires_at = None
    row.error_message = message
    if error is not None:
        _explain(row, error)


def _explain(row: EventHandlerModel, error: Exception) -> None:
    message = error.message if isinstance(error, ContextenError) else f"{type_of(error)}: {message_of(error)}"
    row.error_message = shorten(message, _MESSAGE_LIMIT)
    row.error_stack_trace = safe_text("".join(traceback.format_exception(error))[-_TRACE_LIMIT:], _TRACE_LIMIT)


def _storable(value: Any) -> Any:
    """Return what a function answered as JSON, or, where JSON has no form for it, as text."""
    try:
        plain = to_jsonable_python(value, fallback=safe_str, serialize_unknown=True)
    except ValueError:
        # Bytes that are no text, half a surrogate pair, a list that contains itself.
        return safe_str(value, _RESULT_LIMIT)
    return plain if len(repr(plain)) <= _RESULT_LIMIT else safe_str(plain, _RESULT_LIMIT)


async def _close_those_done(session: AsyncSession, event_ids: Collection[UUID]) -> None:
    events = [event for event in await store.lock_all(session, event_ids) if event.is_record]
    calls = await function_store.calls_of_all(session, [event.id for event in events])
    for event in events:
        _close_if_done(event, calls[event.id])


def _close_if_done(event: EventModel, rows: Sequence[EventHandlerModel]) -> None:
    event.retry_count = max((row.retry_count for row in rows), default=0)
    failed = [row for row in rows if row.status is HandlerStatus.FAILED]
    if any(row.status in function_store.UNFINISHED for row in rows):
        retrying = any(row.status is HandlerStatus.RETRYING for row in rows)
        event.status = EventStatus.RETRYING if retrying else EventStatus.PROCESSING
        event.error_message = next((row.error_message for row in rows if row.error_message), None)
    elif failed:
        _close(event, EventStatus.FAILED)
        event.error_message = f"{failed[0].handler_name}: {failed[0].error_message}"
    else:
        _close(event, EventStatus.COMPLETED)
        event.error_message = None


def _close(event: EventModel, status: EventStatus) -> None:
    event.status = status
    event.processed_at = utc_now()
    event.processing_duration_ms = (event.processed_at - event.available_at).total_seconds() * 1000
    event.lease_owner = event.lease_expires_at = None
