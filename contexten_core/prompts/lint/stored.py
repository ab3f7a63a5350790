"""Static checks of the prompts that are stored."""

import asyncio
from collections import Counter

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.errors import InvalidInputError
from contexten_core.prompts import catalogue_store, whatif_store
from contexten_core.prompts.lint.events import Kind
from contexten_core.prompts.lint.lint import Finding, lint
from contexten_core.settings import Settings

MOST_PROMPTS = 50_000
_NEWEST_EVENTS = 2_000


async def lint_stored(session: AsyncSession, *, settings: Settings, most: int = MOST_PROMPTS) -> list[Finding]:
    """Check what is live of every stored prompt, and which of the newest 2,000 events nothing covers.

    Raises:
        InvalidInputError: there are more than `most` prompts.
    """
    ids = await whatif_store.prompt_ids(session, limit=most + 1)
    if len(ids) > most:
        raise InvalidInputError(
            f"there are more than {most} prompts, too many to check here",
            fields={},
            hint="`contexten prompts lint` checks more, and takes its time",
        )
    prompts = await catalogue_store.live_prompts(session, ids)
    seen: Counter[Kind] = Counter()
    for said in await whatif_store.newest_kinds(session, limit=_NEWEST_EVENTS):
        provider, kind, action = said.get("provider"), said.get("type"), said.get("action")
        if isinstance(provider, str) and isinstance(kind, str) and isinstance(action, str | None):
            seen[provider, kind, action] += 1
    return await asyncio.to_thread(lint, prompts, settings=settings, seen=seen)
