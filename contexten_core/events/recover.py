"""Recover what was never received: look at what GitHub could not deliver, and ask for it again.

What is missing is written to `redeliveries` as it is seen, and each request is counted there before it is made: a run
that is killed, wherever, is continued by the next, and nothing is asked for twice in a row.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from time import monotonic
from uuid import UUID

import httpx

from contexten_core.db import utc_now
from contexten_core.errors import OutboundError
from contexten_core.events import redelivery_store
from contexten_core.events.models import RedeliveryModel
from contexten_core.events.recovery_result import Bookmark, HookRecovery, Memory, RecoveryResult, Skipped
from contexten_core.events.recovery_sources import Source, find_sources
from contexten_core.integrations.github_deliveries import (
    Attempt,
    AttemptStatus,
    DeniedError,
    GitHubDeliveries,
    Hook,
    LimitReachedError,
)
from contexten_core.runtime import Runtime
from contexten_core.security.text import shorten

logger = logging.getLogger(__name__)

HORIZON = timedelta(days=3)
"""How long GitHub keeps a delivery that it can send again."""

MOST_ATTEMPTS = 8
FIRST_WAIT = timedelta(minutes=4)
"""How long a redelivery may take before it is asked for again; doubles each time."""

_RUN_EVERY = timedelta(minutes=5)
_RUN_SECONDS = 240.0
_MOST_LOOKS = 200
_MOST_REQUESTS = 1_000
_MOST_MISSING = 10_000
_CHUNK = 200
# GitHub lists a delivery once it has ended, under the time at which it began.
_LATE = timedelta(minutes=15)
_KEPT = timedelta(days=7)


@dataclass(slots=True)
class _Pass:
    """One run: what it may still do, and what it has found."""

    runtime: Runtime
    memory: Memory
    now: datetime
    ends_at: float
    looks: int
    requests: int
    hooks: list[HookRecovery] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        return monotonic() >= self.ends_at


@dataclass(frozen=True, slots=True)
class _Look:
    """What was seen of a hook: how many deliveries, the newest attempt at each that failed, and how far it went."""

    seen: int
    failed: Sequence[Attempt]
    delivered: Sequence[str]
    mark: Bookmark
    is_complete: bool = False
    stopped_by: OutboundError | None = None


async def recover(runtime: Runtime, *, flow_run_id: UUID, scheduled_at: datetime | None = None) -> RecoveryResult:
    """Ask GitHub for the deliveries of the last three days that it could not hand over and that we do not hold.

    Looks at the webhooks that deliver to us of all repositories of active projects, and at our App's. Trouble with one
    of them is told in the result and keeps nobody from the others. What a run has no time or budget for is done by the
    next; the result is kept under `flow_run_id` for a week.

    Args:
        scheduled_at: when the run should have begun: one that comes after the next has nothing left to do.
    """
    began, now = monotonic(), utc_now()
    async with runtime.database.reading() as session:
        memory = Memory.from_dict(await redelivery_store.newest_memory(session))
    work = _Pass(runtime, memory, now, began + _RUN_SECONDS, looks=_MOST_LOOKS, requests=_MOST_REQUESTS)
    reason = _nothing_to_do(runtime, now, scheduled_at)
    result = RecoveryResult(reason=reason) if reason else await _recover_all(work)
    async with runtime.database.transaction() as session:
        await redelivery_store.add_result(
            session,
            flow_run_id=flow_run_id,
            result=asdict(result),
            memory=memory.as_dict(since=now - _KEPT),
            duration_ms=(monotonic() - began) * 1000,
            succeeded=not any(hook.note for hook in result.hooks),
        )
        await redelivery_store.prune(session, before=now - _KEPT)
    if result.requested:
        logger.info("asked GitHub to send %d of %d missing deliveries again", result.requested, result.missing)
    return result


def _nothing_to_do(runtime: Runtime, now: datetime, scheduled_at: datetime | None) -> str | None:
    if not runtime.settings.delivery_recovery:
        return "DELIVERY_RECOVERY is off"
    if scheduled_at is not None and now - scheduled_at > _RUN_EVERY:
        return f"this run was due at {scheduled_at:%H:%M} UTC; a later one does its work"
    return None


async def _recover_all(work: _Pass) -> RecoveryResult:
    async with httpx.AsyncClient() as http:
        sources, skipped = await find_sources(work.runtime, http)
        work.skipped.extend(skipped)
        for source in sorted(sources, key=lambda source: work.memory.looked_at.get(source.name, work.now - _KEPT)):
            await _recover_source(work, source)
        clients = {id(source.api): source.api for source in sources}
    return RecoveryResult.of(work.hooks, work.skipped, requests=sum(api.requests for api in clients.values()))


async def _recover_source(work: _Pass, source: Source) -> None:
    """Recover what one repository's hooks, or our App's, could not deliver."""
    wait_until = work.memory.waits.get(source.account)
    if wait_until is not None and work.now < wait_until:
        work.skipped.append(Skipped(source.name, f"GitHub wants to be left alone until {wait_until:%H:%M:%S} UTC"))
        return
    if work.looks <= 0 or work.is_over:
        work.skipped.append(Skipped(source.name, "left for the next run, which begins with it"))
        return
    try:
        work.looks -= 1
        hooks = await source.hooks()
    except OutboundError as error:
        _heed(work, source, error)
        work.skipped.append(Skipped(source.name, _said(error)))
        return
    if not hooks:
        work.skipped.append(Skipped(source.name, "no webhook of it delivers to us"))
    for hook in hooks:
        work.hooks.append(await _recover_hook(work, source, hook))
    work.memory.looked_at[source.name] = work.now


async def _recover_hook(work: _Pass, source: Source, hook: Hook) -> HookRecovery:
    look = await _look(work, source.api, hook)
    held = await _write_down(work, hook, look)
    work.memory.bookmarks[hook.key] = look.mark
    note = "there are more pages than one run reads; the next goes on" if not look.is_complete else None
    found = HookRecovery(
        hook=hook.key,
        seen=look.seen,
        held=held,
        complete=look.is_complete,
        note=note if look.stopped_by is None else _said(look.stopped_by),
    )
    if look.stopped_by is not None:
        _heed(work, source, look.stopped_by)
    async with work.runtime.database.reading() as session:
        now = await work.runtime.database.now(session)
        missing = await redelivery_store.missing(session, hook=hook.key, since=work.now - HORIZON, limit=_MOST_MISSING)
    due = [row for row in missing if _is_due(row, now)]
    requested, note = await _ask(work, source, hook, due)
    given_up = sum(row.attempts >= MOST_ATTEMPTS for row in missing)
    return replace(
        found,
        missing=len(missing),
        requested=requested,
        given_up=given_up,
        left=len(missing) - requested - given_up,
        note=note or found.note,
    )


async def _look(work: _Pass, api: GitHubDeliveries, hook: Hook) -> _Look:
    """Read a hook's deliveries from the newest back to what is known, leaping over what the last run has read."""
    mark = work.memory.bookmarks.get(hook.key) or Bookmark(work.now)
    oldest = work.now - HORIZON
    if mark.known_until is not None:
        oldest = max(oldest, mark.known_until - _LATE)
    read = _Read()
    cursor, leap_to = None, mark.cursor
    while work.looks > 0 and not work.is_over:
        work.looks -= 1
        try:
            page = await api.page(hook, cursor=cursor)
        except OutboundError as error:
            if cursor is not None and cursor == mark.cursor and not error.transient:
                # GitHub no longer knows that place; the next run goes all the way.
                return read.look(replace(mark, looked_at=work.now, top=None, cursor=None), error)
            return read.look(_unfinished(work, mark, read, cursor), error)
        read.take(page.attempts)
        last = page.attempts[-1].delivered_at if page.attempts else oldest
        cursor = page.next_cursor
        if leap_to is not None and mark.top is not None and last < mark.top - _LATE:
            cursor, leap_to = leap_to, None
        elif last < oldest or not page.attempts:
            cursor = None
        if cursor is None:
            return read.look(Bookmark(work.now, known_until=read.top or mark.known_until), is_complete=True)
    return read.look(_unfinished(work, mark, read, cursor))


def _unfinished(work: _Pass, mark: Bookmark, read: "_Read", cursor: str | None) -> Bookmark:
    if cursor is None:
        return replace(mark, looked_at=work.now)
    return Bookmark(work.now, known_until=mark.known_until, top=read.top, cursor=cursor)


class _Read:
    """The attempts that were read so far, newest first, by what they try to deliver."""

    def __init__(self) -> None:
        self.top: datetime | None = None
        self._delivered: set[str] = set()
        self._pending: set[str] = set()
        self._failed: dict[str, Attempt] = {}

    def take(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            self.top = attempt.delivered_at if self.top is None else max(self.top, attempt.delivered_at)
            match attempt.status:
                case AttemptStatus.SUCCEEDED:
                    self._delivered.add(attempt.guid)
                case AttemptStatus.PENDING:
                    self._pending.add(attempt.guid)
                case AttemptStatus.FAILED:
                    self._failed.setdefault(attempt.guid, attempt)

    def look(self, mark: Bookmark, stopped_by: OutboundError | None = None, *, is_complete: bool = False) -> _Look:
        settled = self._delivered | self._pending
        return _Look(
            seen=len(settled | self._failed.keys()),
            failed=[attempt for guid, attempt in self._failed.items() if guid not in settled],
            delivered=sorted(self._delivered),
            mark=mark,
            is_complete=is_complete,
            stopped_by=stopped_by,
        )


async def _write_down(work: _Pass, hook: Hook, look: _Look) -> int:
    """Note what failed and is not held; return how many of those that failed are."""
    held = 0
    database = work.runtime.database
    for start in range(0, len(look.failed), _CHUNK):
        part = look.failed[start : start + _CHUNK]
        async with database.transaction() as session:
            ours = await redelivery_store.held(session, [attempt.guid for attempt in part])
            missing = [attempt for attempt in part if attempt.guid not in ours]
            await redelivery_store.note_missing(session, hook=hook.key, attempts=missing)
        held += len(part) - len(missing)
    for start in range(0, len(look.delivered), _CHUNK):
        async with database.transaction() as session:
            part_delivered = look.delivered[start : start + _CHUNK]
            await redelivery_store.forget_delivered(session, hook=hook.key, guids=part_delivered)
    return held


def _is_due(row: RedeliveryModel, now: datetime) -> bool:
    if row.attempts >= MOST_ATTEMPTS:
        return False
    return row.requested_at is None or now - row.requested_at >= FIRST_WAIT * 2 ** (row.attempts - 1)


async def _ask(work: _Pass, source: Source, hook: Hook, due: Sequence[RedeliveryModel]) -> tuple[int, str | None]:
    """Ask for these deliveries, oldest first; return how many were asked for, and what kept us from the others."""
    database = work.runtime.database
    requested = 0
    for row in due:
        if work.requests <= 0 or work.is_over:
            return requested, "there is more to ask for than one run may; the next goes on"
        async with database.transaction() as session:
            if not await redelivery_store.claim(session, row, now=await database.now(session)):
                continue
        work.requests -= 1
        try:
            await source.api.redeliver(hook, (row.metadata_ or {})["attempt_id"])
        except (LimitReachedError, DeniedError) as error:
            async with database.transaction() as session:
                await redelivery_store.unclaim(session, row)
            _heed(work, source, error)
            return requested, _said(error)
        except OutboundError as error:
            async with database.transaction() as session:
                await redelivery_store.note_error(session, row, shorten(_said(error), 1_000))
            if error.transient:
                return requested, _said(error)
        else:
            requested += 1
    return requested, None


def _heed(work: _Pass, source: Source, error: OutboundError) -> None:
    if isinstance(error, LimitReachedError) and error.retry_after is not None:
        work.memory.waits[source.account] = utc_now() + timedelta(seconds=error.retry_after)


def _said(error: OutboundError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message
