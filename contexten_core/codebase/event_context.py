"""What an executor should see of the code for a stored event."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from contexten_core.codebase import store
from contexten_core.codebase.collect import commit_facts, find_facts
from contexten_core.codebase.commit import CommitFacts
from contexten_core.codebase.context import Context, choose_context
from contexten_core.codebase.explore import impact_of
from contexten_core.codebase.impact import Impact
from contexten_core.codebase.mirror import mirror_of
from contexten_core.codebase.surroundings import read_files, read_history
from contexten_core.db import Database
from contexten_core.errors import ConflictError, GitError, NotFoundError
from contexten_core.events import run_store
from contexten_core.events.claim import normalised
from contexten_core.events.models import EventModel
from contexten_core.events.normalise import dig
from contexten_core.execution.git import GitMirrors, Mirror
from contexten_core.settings import Settings

_TEXTS = ("check_run.output.text", "check_run.output.summary", "comment.body", "review.body", "description")
_MOST_TEXT = 100_000


@dataclass(frozen=True, slots=True)
class _Case:
    """An event as it concerns code: the commit it was handled at, where that came from, and what it says."""

    facts: CommitFacts
    url: str
    base: str | None
    names_commit: bool
    text: str


async def context_for(
    database: Database, settings: Settings, mirrors: GitMirrors, event_id: UUID, *, budget_tokens: int
) -> Context:
    """Choose what to show of the commit that an event was handled at: the same event gives the same pieces.

    What the event changes comes from the commit that it names as the one before, or else from the commit's parent; an
    event that brings no code is answered by what its text mentions.

    Raises:
        NotFoundError: there is no such event.
        ConflictError: its commit has not been analysed, or is not known any more.
        GitError: the commit is not to be had any more, or it or the base not for the moment.
    """
    case = await _case(database, event_id)
    mirror = await asyncio.to_thread(mirror_of, settings, mirrors, case.url, case.facts.commit)
    impact = await _impact(database, mirror, case) if case.names_commit else None
    return await asyncio.to_thread(_choose, mirror, case, impact, budget_tokens)


async def _case(database: Database, event_id: UUID) -> _Case:
    async with database.reading() as session:
        event = await session.get(EventModel, event_id)
        if event is None:
            raise NotFoundError(f"there is no event {event_id}")
        run = await run_store.latest_of(session, event_id)
        codebase = await store.get_codebase(session, run.codebase_id) if run and run.codebase_id else None
        facts = await commit_facts(session, codebase.id) if codebase else None
    if codebase is None or facts is None:
        raise ConflictError(
            f"the commit of the event {event_id} is not analysed",
            hint="Replay the event: its fourth step analyses the commit.",
        )
    said = normalised(event)
    texts = [said.title, said.text, *(dig(event.payload, place) for place in _TEXTS)]
    return _Case(
        facts=facts,
        url=codebase.repository_url,
        base=said.base_commit,
        names_commit=said.commit == codebase.commit_sha,
        text="\n".join(text for text in texts if isinstance(text, str))[:_MOST_TEXT],
    )


async def _impact(database: Database, mirror: Mirror, case: _Case) -> Impact | None:
    """Return what the commit changes, or None when there is nothing before it that could be had."""
    head = case.facts.commit
    try:
        base = case.base or await asyncio.to_thread(mirror.resolve, f"{head}^")
        if base is None:
            return None
        await asyncio.to_thread(mirror.fetch, base)
        base = await asyncio.to_thread(mirror.merge_base, base, head) or base
        await asyncio.to_thread(mirror.fetch, base)
        before = (await find_facts(database, mirror, base)).facts
    except GitError as error:
        if error.transient:
            raise
        # Forced away, say. What the event mentions can still be shown.
        return None
    return await impact_of(database, mirror, base=before, head=case.facts)


def _choose(mirror: Mirror, case: _Case, impact: Impact | None, budget_tokens: int) -> Context:
    def read(paths: Collection[str]) -> Mapping[str, bytes]:
        return read_files(mirror, case.facts, paths)

    return choose_context(
        facts=case.facts,
        budget_tokens=budget_tokens,
        read=read,
        impact=impact,
        history=read_history(mirror, case.facts),
        text=case.text,
    )
