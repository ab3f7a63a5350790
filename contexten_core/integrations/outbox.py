"""Carry out the effects that wait in the outbox: each once, in the order of its stream, many streams at once."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Self

from sqlalchemy.exc import SQLAlchemyError

from contexten_core.db import utc_now
from contexten_core.errors import OutboundError
from contexten_core.errors.breaker import BREAKERS, DependencyKind
from contexten_core.events import outbox_store
from contexten_core.events.models import EffectStatus, OutboxModel
from contexten_core.faults import outside
from contexten_core.integrations.json_call import LONGEST_WAIT_SECONDS, bounded
from contexten_core.integrations.posters import Posters
from contexten_core.runtime import Runtime
from contexten_core.security.text import shorten
from contexten_core.tasks.approve import expire_due

logger = logging.getLogger(__name__)

AT_ONCE = 8
"""How many effects one service is asked for at the same time."""

_BATCH = 64
_MAXIMUM_ATTEMPTS = 8
_FIRST_DELAY_SECONDS = 1.0
_LONGEST_DELAY_SECONDS = 300.0
_LONGEST_REFUSED = timedelta(days=1)
_CLAIM_SECONDS = 60
# A process that was stopped for so long before its call leaves the effect to whoever claims it next.
_STALE_SECONDS = 5.0
_LAST_SECONDS = 5.0
_AGAIN_SECONDS = 1.0
_SERVICES = frozenset(kind.value for kind in DependencyKind)

_WriteDown = Callable[[], Awaitable[None]]


async def deliver_due(runtime: Runtime, posters: Posters) -> int:
    """Carry out the effects whose time has come, at most the first of each stream, and return how many there were."""
    async with Outbox(runtime, posters) as outbox:
        started = await outbox.start_due()
        await outbox.drain()
    return started


class Outbox:
    """The effects that one worker is carrying out, used as a context manager in one event loop.

    An effect is claimed by moving its time ahead, so that a dispatcher that dies leaves it to the next, which looks up
    whether it happened before trying again. After a try that surely was not carried out nothing is looked up. The next
    effect of a stream follows when the one before it was sent, given up or withheld.

    A service that does not answer, or wants to be left alone, holds up no other service. Refusals that say when to come
    back, and failures of a service that fails for everybody, are no attempts; what meets only those is given up after a
    day.

    Args:
        at_once: how many effects of one service are carried out at the same time.
    """

    def __init__(self, runtime: Runtime, posters: Posters, *, at_once: int = AT_ONCE) -> None:
        self._runtime = runtime
        self._posters = posters
        self._at_once = at_once
        self._running: dict[asyncio.Task[None], str] = {}
        self._ended = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let what is in progress end, for 5 s; what is left then is looked up by whoever claims it next."""
        if not self._running:
            return
        _, late = await asyncio.wait(self._running, timeout=_LAST_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    @property
    def in_progress(self) -> Collection[asyncio.Task[None]]:
        """What is being carried out now."""
        return self._running.keys()

    async def start_due(self, *, most: int | None = None) -> int:
        """Begin with effects whose time has come, and return with how many.

        When nothing waits, it is noted which approvals have expired, and that is put into the outbox.

        Args:
            most: how many of one service are carried out at the same time, if that is to be fewer than usual.
        """
        self._ended.clear()
        claimed = await self._claim(self._at_once if most is None else min(most, self._at_once))
        for effect, is_uncertain in claimed:
            task = asyncio.create_task(self._deliver(effect, is_uncertain=is_uncertain), name=effect.name)
            self._running[task] = _service(effect)
            task.add_done_callback(self._forget)
        if not claimed and not self._running:
            await expire_due(self._runtime)
        return len(claimed)

    async def wait(self, seconds: float) -> None:
        """Wait until an effect ends, or has since the last `start_due`: it may make room for a next one. Or so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()

    async def drain(self) -> None:
        """Wait for the end of all that is in progress."""
        while self._running:
            await asyncio.wait(self._running)

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._ended.set()

    async def _claim(self, at_once: int) -> list[tuple[OutboxModel, bool]]:
        """Claim effects, and return them with whether an earlier try may have been carried out."""
        taken = Counter(self._running.values())
        claimed: list[tuple[OutboxModel, bool]] = []
        async with self._runtime.database.transaction() as session:
            now = await self._runtime.database.now(session)
            while True:
                full = [service for service, number in taken.items() if number >= at_once]
                effects = await outbox_store.due(session, now=now, limit=_BATCH, but_not=full)
                fitting = _fitting(effects, taken, at_once=at_once)
                for effect in fitting:
                    claimed.append((effect, effect.uncertain))
                    effect.available_at = now + timedelta(seconds=_CLAIM_SECONDS)
                    effect.attempts += 1
                    # Until it is known how this try ended.
                    effect.uncertain, effect.lease_owner = True, self._runtime.leases.owner
                if len(fitting) == len(effects) or len(effects) < _BATCH:
                    return claimed

    async def _deliver(self, effect: OutboxModel, *, is_uncertain: bool) -> None:
        claimed_at = monotonic()
        try:
            write_down = await self._carry_out(effect, is_uncertain=is_uncertain, claimed_at=claimed_at)
            while write_down is not None:
                try:
                    await write_down()
                    write_down = None
                except SQLAlchemyError as error:
                    if monotonic() - claimed_at > _CLAIM_SECONDS:
                        raise
                    logger.info("%s: how it ended cannot be written down, will try again: %s", effect.name, error)
                    await asyncio.sleep(_AGAIN_SECONDS)
        except SQLAlchemyError as error:
            logger.warning("%s: the database does not answer, it will be looked up: %s", effect.name, error)

    async def _carry_out(self, effect: OutboxModel, *, is_uncertain: bool, claimed_at: float) -> _WriteDown | None:
        """Return what writes down how it ended, and may be called again when the database did not answer."""
        poster = self._posters.of(effect.kind)
        if poster is None:
            return partial(self._settle, effect, EffectStatus.DEAD, reason=f"nothing carries out {effect.kind}")
        try:
            if reason := poster.unable(effect.content):
                return partial(self._settle, effect, EffectStatus.WITHHELD, reason=reason)
            if monotonic() - claimed_at > _STALE_SECONDS:
                return None
            async with bounded(_service(effect)), outside("effect"):
                answer = await poster.post(effect.content, key=effect.effect_key, maybe_done=is_uncertain)
        except OutboundError as error:
            return partial(self._put_off, effect, error, is_uncertain=is_uncertain or error.ambiguous)
        except SQLAlchemyError:
            raise
        except Exception as error:
            # An effect that breaks its poster must not end the worker, and every worker after it.
            logger.exception("%s broke its poster", effect.name)
            hint = "this is a fault of Contexten's; please report it"
            failure = OutboundError(f"{type(error).__name__}: {error}", hint=hint, transient=True, ambiguous=True)
            return partial(self._put_off, effect, failure, is_uncertain=True)
        return partial(self._settle, effect, EffectStatus.SENT, answer=answer)

    async def _settle(
        self,
        effect: OutboxModel,
        status: EffectStatus,
        *,
        reason: str | None = None,
        answer: dict[str, object] | None = None,
    ) -> None:
        async with self._runtime.database.transaction() as session:
            row = await outbox_store.get(session, effect.id)
            # That it was sent is true whoever has claimed it meanwhile.
            if row is not None and (status is EffectStatus.SENT or _is_ours(row, effect)):
                row.status, row.reason, row.answer, row.lease_owner = status, reason, answer, None
                row.sent_at = utc_now() if status is EffectStatus.SENT else None

    async def _put_off(self, effect: OutboxModel, error: OutboundError, *, is_uncertain: bool) -> None:
        is_limit = error.transient and not error.ambiguous and error.retry_after is not None
        is_no_fault = is_limit or (error.transient and _is_failing(_service(effect)))
        asked = min(error.retry_after or 0.0, LONGEST_WAIT_SECONDS)
        delay = asked if is_limit else max(_delay(effect.attempts), asked)
        async with self._runtime.database.transaction() as session:
            row = await outbox_store.get(session, effect.id)
            if row is None or not _is_ours(row, effect):
                return
            now = await self._runtime.database.now(session)
            row.last_error = shorten(error.message, 1_000)
            row.uncertain, row.lease_owner = is_uncertain, None
            if _is_hopeless(row, error, now, is_no_fault=is_no_fault):
                row.status, row.reason = EffectStatus.DEAD, shorten(error.hint or error.message, 1_000)
            else:
                row.available_at = now + timedelta(seconds=delay)
            if is_no_fault:
                row.attempts -= 1
            then = "given up" if row.status is EffectStatus.DEAD else f"again in {delay:.0f} s"
        logger.warning("%s (%s): %s", effect.name, then, error.message)


def _service(effect: OutboxModel) -> str:
    return effect.kind.partition(".")[0]


def _is_failing(service: str) -> bool:
    return service in _SERVICES and BREAKERS.is_failing(DependencyKind(service))


def _fitting(effects: Sequence[OutboxModel], taken: Counter[str], *, at_once: int) -> list[OutboxModel]:
    """Return those that their services have room for, which is taken up."""
    fitting = []
    for effect in effects:
        if taken[_service(effect)] < at_once:
            taken[_service(effect)] += 1
            fitting.append(effect)
    return fitting


def _is_ours(row: OutboxModel, effect: OutboxModel) -> bool:
    """Tell whether the claim still holds that the effect was read with; each claim has a time of its own."""
    return row.status is EffectStatus.PENDING and row.available_at == effect.available_at


def _is_hopeless(row: OutboxModel, error: OutboundError, now: datetime, *, is_no_fault: bool) -> bool:
    if is_no_fault:
        return now - row.created_at > _LONGEST_REFUSED
    return not error.transient or row.attempts >= _MAXIMUM_ATTEMPTS


def _delay(attempts: int) -> float:
    return min(_FIRST_DELAY_SECONDS * 2.0**attempts, _LONGEST_DELAY_SECONDS)
