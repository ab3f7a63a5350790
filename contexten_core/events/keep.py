"""Write deliveries into the database: many in one transaction, each once, and none for the sake of another's fault."""

import logging
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import Database
from contexten_core.db.engine import DatabaseNotOpenError
from contexten_core.db.notify import EVENTS, notify
from contexten_core.errors import UnavailableError
from contexten_core.errors.redact import safe_str
from contexten_core.events import store
from contexten_core.events.delivery import Delivery, Receipt, ReceiptStatus
from contexten_core.events.emit import emit
from contexten_core.events.functions import queue
from contexten_core.events.handlers import HandlerRegistry
from contexten_core.events.store import Key
from contexten_core.security.encryption import Vault
from contexten_core.security.text import one_line

logger = logging.getLogger(__name__)

SECURITY_EVENT: Final = "security_event"
SEEN_BEFORE: Final = "this signed body was received before"
_REASON_LENGTH = 300
_ID_LENGTH = 100
# Classes of SQLSTATE that say nothing about the rows: no connection, no resources, an operator, a failure within.
_AWAY: Final = frozenset({"08", "25", "53", "55", "57", "58", "XX"})
_UNSTORABLE = (SQLAlchemyError, ValueError, TypeError, RecursionError)


class DatabaseAwayError(UnavailableError):
    """The database does not take deliveries at the moment. What was given to it may have been stored all the same."""


async def write(
    database: Database,
    deliveries: Sequence[Delivery],
    *,
    handlers: HandlerRegistry | None = None,
    vault: Vault | None = None,
) -> list[Receipt]:
    """Store deliveries, each once per signed body, and return when they are committed, with their receipts in order.

    The functions registered for them in `handlers` are queued in the same transaction. What the database cannot store
    as it was parsed is parked; the others are stored all the same.

    Raises:
        DatabaseAwayError: it does not answer, or takes nothing at all.
        ConfigurationError: they are to be encrypted, and there is no usable key.
    """
    first: dict[Key, Delivery] = {}
    keys = []
    for delivery in deliveries:
        keys.append(key := (delivery.provider, delivery.digest))
        first.setdefault(key, delivery)
    receipts = await _write_parts(database, first, handlers=handlers, vault=vault)
    return [
        receipts[key] if first[key] is delivery else _duplicate(receipts[key].event_id)
        for key, delivery in zip(keys, deliveries, strict=True)
    ]


async def _write_parts(
    database: Database, deliveries: Mapping[Key, Delivery], *, handlers: HandlerRegistry | None, vault: Vault | None
) -> dict[Key, Receipt]:
    """Write them in one transaction, or in two halves when that fails for the sake of one of them."""
    try:
        return await _write_together(database, deliveries, handlers=handlers, vault=vault)
    except _UNSTORABLE as error:
        if _is_away(error):
            raise _away(error) from error
        problem = error
    if len(deliveries) > 1:
        each, middle = list(deliveries.items()), len(deliveries) // 2
        receipts: dict[Key, Receipt] = {}
        for half in (each[:middle], each[middle:]):
            receipts |= await _write_parts(database, dict(half), handlers=handlers, vault=vault)
        return receipts
    parked = {key: _parked(delivery, problem) for key, delivery in deliveries.items()}
    try:
        return await _write_together(database, parked, handlers=handlers, vault=vault)
    except SQLAlchemyError as error:
        # There is nothing in it any more that could be at fault.
        raise _away(error) from error


async def _write_together(
    database: Database, deliveries: Mapping[Key, Delivery], *, handlers: HandlerRegistry | None, vault: Vault | None
) -> dict[Key, Receipt]:
    async with database.transaction() as session:
        new = await store.insert_deliveries(session, deliveries, vault=vault)
        stored = [delivery for delivery in deliveries.values() if delivery.event_id in new]
        known = {key for key, delivery in deliveries.items() if delivery.event_id not in new}
        before = await store.find_by_keys(session, known) if known else {}
        reused = await _tell_of_reused_ids(session, stored)
        if handlers is not None:
            for delivery in stored:
                _queue(session, delivery, handlers)
        if stored:
            await notify(session, EVENTS)
    for warning in reused:
        logger.warning("%s", warning)
    return {
        key: _receipt(delivery, before[key] if key in known else delivery.event_id)
        for key, delivery in deliveries.items()
    }


def _receipt(delivery: Delivery, event_id: UUID) -> Receipt:
    # Stored under its own id before: by a commit whose answer was lost.
    if event_id == delivery.event_id:
        return Receipt(ReceiptStatus.ACCEPTED, event_id, delivery.parked)
    return _duplicate(event_id)


def _duplicate(event_id: UUID) -> Receipt:
    return Receipt(ReceiptStatus.DUPLICATE, event_id, SEEN_BEFORE)


async def _tell_of_reused_ids(session: AsyncSession, stored: Sequence[Delivery]) -> list[str]:
    """Emit a security event for each delivery whose id another signed body had before; returns what the log is told."""
    named = [delivery for delivery in stored if delivery.external_id is not None]
    if not named:
        return []
    earlier = await store.earlier_of_same_id(session, [delivery.event_id for delivery in named])
    seen: dict[tuple[str, str | None], UUID] = {}
    said = []
    for delivery in named:
        name = (delivery.provider, delivery.external_id)
        before = earlier.get(delivery.event_id, seen.get(name))
        seen.setdefault(name, delivery.event_id)
        if before is None:
            continue
        data = {
            "kind": "delivery_id_reused",
            "provider": delivery.provider.value,
            "external_id": delivery.external_id,
            "event_id": str(delivery.event_id),
            "earlier_event_id": str(before),
        }
        await emit(session, SECURITY_EVENT, data)
        said.append(
            f"{delivery.provider.value} sent delivery {delivery.external_id!r} again with another signed body: event "
            f"{delivery.event_id}, before that {before}"
        )
    return said


def _queue(session: AsyncSession, delivery: Delivery, handlers: HandlerRegistry) -> None:
    if delivery.parked is None:
        matching = handlers.matching(delivery.provider, delivery.event_type, delivery.payload)
        queue(session, event_id=delivery.event_id, handlers=matching)


def _parked(delivery: Delivery, problem: Exception) -> Delivery:
    cause = getattr(problem, "orig", None) or problem
    reason = one_line(f"the body cannot be stored as it was parsed: {safe_str(cause)}", _REASON_LENGTH)
    logger.warning("event %s of %s is parked: %s", delivery.event_id, delivery.provider.value, reason)
    external_id = delivery.external_id and delivery.external_id[:_ID_LENGTH]
    return replace(delivery, payload={}, headers={}, external_id=external_id, parked=reason)


def _is_away(error: Exception) -> bool:
    """Tell whether an error is the database's, whatever the rows were."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, PoolTimeoutError | DatabaseNotOpenError)
    if isinstance(error.orig, sqlite3.Error):
        return isinstance(error, OperationalError)
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        return isinstance(error, OperationalError | InterfaceError)
    return error.connection_invalidated or state[:2] in _AWAY


def _away(error: Exception) -> DatabaseAwayError:
    cause = getattr(error, "orig", None) or error
    return DatabaseAwayError(
        f"the database does not take deliveries: {one_line(safe_str(cause), _REASON_LENGTH)}",
        hint="`contexten doctor` looks closer",
        transient=True,
    )
