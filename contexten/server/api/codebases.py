"""Codebases: what is known of commits."""

import asyncio
from dataclasses import asdict
from itertools import islice
from time import monotonic
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response
from sqlalchemy.ext.asyncio import AsyncSession

from contexten.server.api.answers import Cursor, Limit, created, found, listed, removed
from contexten.server.api.codebase_shapes import CodebaseFacts, CodebaseImpact, FoundSymbols
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import Codebase, list_of
from contexten.server.dependencies import DatabaseOf, OrchestratorOf, Reading, SettingsOf
from contexten_core.codebase import change, store
from contexten_core.codebase.analysis import MOST_SHOWN, Analysis
from contexten_core.codebase.collect import commit_facts
from contexten_core.codebase.commit import CommitFacts
from contexten_core.codebase.explore import impact_of, surroundings_of
from contexten_core.codebase.inputs import CodebaseCreate, CodebaseUpdate
from contexten_core.codebase.mirror import mirror_of
from contexten_core.codebase.models import CodebaseModel, CodebaseStatus
from contexten_core.errors import ConflictError, GitError
from contexten_core.execution.git import GitMirrors, Mirror
from contexten_core.settings import Settings

router = api_router("/api/codebases", "codebases")

_HINT = "Replay an event of it, or run `contexten analyse`; the newest commits of a repository are kept."


@router.get("", response_model=list_of(Codebase))
async def list_codebases(
    session: Reading,
    limit: Limit = 50,
    cursor: Cursor = None,
    project_id: UUID | None = None,
    status: CodebaseStatus | None = None,
) -> Any:
    """List the newest codebases."""
    return listed(await store.page_codebases(session, limit=limit, cursor=cursor, project_id=project_id, status=status))


@router.post("", response_model=Codebase, status_code=201)
async def create_codebase(orchestrator: OrchestratorOf, response: Response, data: CodebaseCreate) -> Any:
    """Store a codebase: one commit of a repository."""
    async with orchestrator.database.transaction() as session:
        row = await change.create_codebase(session, data)
    return created(response, row, "/api/codebases")


@router.get("/{codebase_id}", response_model=Codebase)
async def get_codebase(session: Reading, codebase_id: UUID) -> Any:
    """Show one codebase."""
    return found(await store.get_codebase(session, codebase_id), "codebase", codebase_id).to_dict()


@router.patch("/{codebase_id}", response_model=Codebase)
async def update_codebase(orchestrator: OrchestratorOf, codebase_id: UUID, data: CodebaseUpdate) -> Any:
    """Change the given fields of one codebase."""
    async with orchestrator.database.transaction() as session:
        row = found(await change.update_codebase(session, codebase_id, data), "codebase", codebase_id)
    return row.to_dict()


@router.delete("/{codebase_id}", status_code=204)
async def delete_codebase(orchestrator: OrchestratorOf, codebase_id: UUID) -> None:
    """Delete a codebase with its analyses and the elements of its code."""
    async with orchestrator.database.transaction() as session:
        removed(await change.delete_codebase(session, codebase_id), "codebase", codebase_id)


@router.get("/{codebase_id}/facts", response_model=CodebaseFacts)
async def get_codebase_facts(database: DatabaseOf, settings: SettingsOf, codebase_id: UUID) -> Any:
    """Show what is known of a commit: totals, modules, dependencies, tests, owners, hot spots; 1,000 of each."""
    started = monotonic()
    async with database.reading() as session:
        codebase = found(await store.get_codebase(session, codebase_id), "codebase", codebase_id)
        facts = await _facts(session, codebase)
    mirror = await _mirror(settings, codebase.repository_url, facts.commit)
    around = await asyncio.to_thread(surroundings_of, mirror, facts)
    analysis = Analysis(codebase.repository_url, facts, (), around, monotonic() - started)
    return await asyncio.to_thread(analysis.as_summary)


@router.get("/{codebase_id}/symbols", response_model=FoundSymbols)
async def search_codebase_symbols(
    session: Reading,
    codebase_id: UUID,
    search: Annotated[str, Query(min_length=1, max_length=300, description="A part of a name; case is ignored.")],
    limit: Limit = 50,
) -> Any:
    """Find functions and classes of a commit by a part of their name."""
    facts = await _facts(session, found(await store.get_codebase(session, codebase_id), "codebase", codebase_id))
    symbols = await asyncio.to_thread(facts.search, search, limit)
    return {"items": [symbol._asdict() for symbol in symbols]}


@router.get("/{codebase_id}/impact", response_model=CodebaseImpact)
async def get_codebase_impact(
    database: DatabaseOf,
    settings: SettingsOf,
    codebase_id: UUID,
    base: Annotated[str, Query(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$", description="The commit before the change.")],
) -> Any:
    """Say what the change from another commit means, which must have been analysed as well."""
    async with database.reading() as session:
        codebase = found(await store.get_codebase(session, codebase_id), "codebase", codebase_id)
        url = codebase.repository_url
        head = await _facts(session, codebase)
        other = await store.codebase(session, repository_url=url, commit=base)
        if other is None:
            raise ConflictError(f"the commit {base} of {url} is not analysed", hint=_HINT)
        before = await _facts(session, other)
    mirror = await _mirror(settings, url, head.commit, base)
    impact = asdict(await impact_of(database, mirror, base=before, head=head))
    cut = [name for name in ("files", "symbols", "reached", "tests", "untested") if len(impact[name]) > MOST_SHOWN]
    impact["left_out"] = [*impact["left_out"], *(f"{name}: only the first {MOST_SHOWN} are listed" for name in cut)]
    impact["owners"] = dict(islice(impact["owners"].items(), MOST_SHOWN))
    return impact | {name: impact[name][:MOST_SHOWN] for name in cut}


async def _facts(session: AsyncSession, codebase: CodebaseModel) -> CommitFacts:
    """Return what is known of a codebase's commit.

    Raises:
        ConflictError: it was not analysed, or so long ago that its facts are not kept.
    """
    facts = await commit_facts(session, codebase.id)
    if facts is None:
        raise ConflictError(
            f"the commit {codebase.commit_sha} of {codebase.repository_url} is not analysed", hint=_HINT
        )
    return facts


async def _mirror(settings: Settings, url: str, *commits: str) -> Mirror:
    """Return a mirror with these analysed commits in it.

    Raises:
        ConflictError: one of them is not to be had any more.
        GitError: not for the moment.
    """
    try:
        return await asyncio.to_thread(mirror_of, settings, GitMirrors(settings.mirrors), url, *commits)
    except GitError as error:
        if error.transient:
            raise
        raise ConflictError(f"the commits of {url} are not to be had any more: {error.message}", hint=_HINT) from error
