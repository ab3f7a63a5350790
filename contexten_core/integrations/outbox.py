"""Carry out the effects that wait in the outbox: each once, in order, with patience."""

import logging
from datetime import timedelta
from uuid import UUID

from contexten_core.db import utc_now
from contexten_core.errors import OutboundError
from contexten_core.events import outbox_store
from contexten_core.events.models import EffectStatus, OutboxModel
from contexten_core.integrations.posters import Posters
from contexten_core.runtime import Runtime
from contexten_core.security.text import shorten

logger = logging.getLogger(__name__)

_BATCH = 20
_MAXIMUM_ATTEMPTS = 8
_FIRST_DELAY_SECONDS = 1.0
_LONGEST_DELAY_SECONDS = 300.0
_CLAIM_SECONDS = 60


async def deliver_due(runtime: Runtime, posters: Posters) -> int:
    """Carry out the effects whose time has come and return how many were looked at.

    An effect is claimed by moving its time ahead, so that a dispatcher that dies leaves it to the next, which looks up
    whether it happened before trying again.
    """
    async with runtime.database.transaction() as session:
        now = await runtime.database.now(session)
        effects = await outbox_store.due(session, now=now, limit=_BATCH)
        for effect in effects:
            effect.available_at = now + timedelta(seconds=_CLAIM_SECONDS)
            effect.attempts += 1
    for effect in effects:
        if await _still_ours(runtime, effect):
            await _deliver(runtime, posters, effect)
    return len(effects)


async def _still_ours(runtime: Runtime, effect: OutboxModel) -> bool:
    """Renew the claim of an effect whose turn has come; the ones before it may have taken longer than it lasts."""
    async with runtime.database.transaction() as session:
        row = await outbox_store.get(session, effect.id)
        if row is None or row.status is not EffectStatus.PENDING or row.attempts != effect.attempts:
            return False
        row.available_at = await runtime.database.now(session) + timedelta(seconds=_CLAIM_SECONDS)
        return True


async def _deliver(runtime: Runtime, posters: Posters, effect: OutboxModel) -> None:
    poster = posters.of(effect.kind)
    if poster is None:
        await _settle(runtime, effect.id, EffectStatus.DEAD, reason=f"nothing carries out {effect.kind}")
        return
    if reason := poster.unable(effect.content):
        await _settle(runtime, effect.id, EffectStatus.WITHHELD, reason=reason)
        return
    try:
        answer = await poster.post(effect.content, key=effect.effect_key, maybe_done=effect.attempts > 1)
    except OutboundError as error:
        await _put_off(runtime, effect, error)
        return
    await _settle(runtime, effect.id, EffectStatus.SENT, answer=answer)


async def _settle(
    runtime: Runtime,
    effect_id: UUID,
    status: EffectStatus,
    *,
    reason: str | None = None,
    answer: dict[str, object] | None = None,
) -> None:
    async with runtime.database.transaction() as session:
        row = await outbox_store.get(session, effect_id)
        if row is not None:
            row.status, row.reason, row.answer = status, reason, answer
            row.sent_at = utc_now() if status is EffectStatus.SENT else None


async def _put_off(runtime: Runtime, effect: OutboxModel, error: OutboundError) -> None:
    give_up = not error.transient or effect.attempts >= _MAXIMUM_ATTEMPTS
    delay = max(min(_FIRST_DELAY_SECONDS * 2.0**effect.attempts, _LONGEST_DELAY_SECONDS), error.retry_after or 0)
    logger.warning("%s (%s): %s", effect.name, "given up" if give_up else f"again in {delay:.0f} s", error.message)
    async with runtime.database.transaction() as session:
        row = await outbox_store.get(session, effect.id)
        if row is None:
            return
        row.last_error = shorten(error.message, 1_000)
        if give_up:
            row.status, row.reason = EffectStatus.DEAD, shorten(error.hint or error.message, 1_000)
        else:
            row.available_at = await runtime.database.now(session) + timedelta(seconds=delay)
