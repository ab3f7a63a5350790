"""The prompts that events are answered with, kept in memory and brought up to date when one changes."""

import asyncio
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.prompts import catalogue_store
from contexten_core.prompts.catalogue_store import Revision
from contexten_core.prompts.index.index import LivePrompt, PromptIndex


class PromptCatalogue:
    """One per process. It asks for one row per event, and reads only the prompts that have changed since."""

    def __init__(self) -> None:
        self._known: Revision | None = None
        self._prompts: dict[UUID, LivePrompt] = {}
        self._index = PromptIndex.build([])
        self._loading = asyncio.Lock()

    async def current(self, session: AsyncSession) -> PromptIndex:
        """Return the index of the active prompts; events that come while it is read share one reading.

        The session must not have changed a prompt itself: what it has not committed would be kept.
        """
        if await catalogue_store.current_revision(session) == self._known:
            return self._index
        async with self._loading:
            found = await catalogue_store.current_revision(session)
            if found != self._known:
                await self._load(session, found)
            return self._index

    async def _load(self, session: AsyncSession, found: Revision) -> None:
        known = self._known
        if known is None or found.deletions != known.deletions or found.revision < known.revision:
            prompts, ids = {}, await catalogue_store.active_ids(session)
        else:
            changed = await catalogue_store.changed_since(session, known.revision)
            gone = {prompt_id for prompt_id, _ in changed}
            prompts = {prompt_id: live for prompt_id, live in self._prompts.items() if prompt_id not in gone}
            ids = [prompt_id for prompt_id, is_active in changed if is_active]
        prompts |= {live.prompt_id: live for live in await catalogue_store.live_prompts(session, ids)}
        index = await asyncio.to_thread(
            PromptIndex.build, prompts.values(), previous=self._index, revision=found.revision
        )
        self._prompts, self._index, self._known = prompts, index, found
