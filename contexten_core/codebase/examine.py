"""Step 4: fetch the event's commit and learn what is in it, reading only contents never seen before."""

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import UUID

from contexten_core.codebase import store
from contexten_core.codebase.keep import CommitName, examine_commit, store_commit
from contexten_core.codebase.models import CodebaseModel, CodebaseStatus
from contexten_core.events.steps import StepRecord
from contexten_core.execution.git import Mirror
from contexten_core.execution.git_token import token_for
from contexten_core.projects.resolve import Target
from contexten_core.runtime import Runtime


@dataclass(frozen=True, slots=True)
class CodebaseSummary:
    """What is known of a commit. `analysed` files were read for it; the rest was known from other commits."""

    codebase_id: UUID
    files: int
    lines: int
    functions: int
    classes: int
    primary_language: str | None
    languages: dict[str, Any]
    analysed: int
    left_out: int
    duration_seconds: float


def open_mirror(runtime: Runtime, target: Target) -> Mirror:
    """Return the mirror of a target's repository."""
    return runtime.mirrors.open(
        target.clone_url, token_for(runtime.settings, target.clone_url), allow_local=target.allow_local
    )


async def examine(record: StepRecord, target: Target) -> CodebaseSummary:
    """Analyse the target's commit and store its facts; a commit that is known already costs one query.

    Raises:
        GitError: the commit cannot be had.
    """
    database = record.runtime.database
    clock = monotonic()
    mirror = open_mirror(record.runtime, target)
    await asyncio.to_thread(mirror.fetch, target.commit, target.ref)
    async with database.transaction() as session:
        known = await store.codebase(session, repository_url=mirror.url, commit=target.commit)
        if known is not None and known.status is CodebaseStatus.COMPLETED:
            (await record.model(session)).codebase_id = known.id
            return await record.complete(session, _summary(known, analysed=0, left_out=0, seconds=monotonic() - clock))
    name = CommitName(
        repository=target.repository,
        url=mirror.url,
        commit=target.commit,
        branch=(target.ref or target.default_branch).removeprefix("refs/heads/"),
        project_id=target.project_id,
    )
    examined = await examine_commit(database, mirror, name)
    left_out = sum(entry.count for entry in examined.found.facts.left_out)
    async with database.transaction() as session:
        row = await store_commit(session, examined)
        (await record.model(session)).codebase_id = row.id
        summary = _summary(row, analysed=examined.found.analysed, left_out=left_out, seconds=monotonic() - clock)
        return await record.complete(session, summary)


def _summary(row: CodebaseModel, *, analysed: int, left_out: int, seconds: float) -> CodebaseSummary:
    return CodebaseSummary(
        codebase_id=row.id,
        files=row.total_files,
        lines=row.total_lines,
        functions=row.total_functions,
        classes=row.total_classes,
        primary_language=row.primary_language,
        languages=row.languages or {},
        analysed=analysed,
        left_out=left_out,
        duration_seconds=seconds,
    )
