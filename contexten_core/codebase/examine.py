"""Step 4: fetch the event's commit and learn what is in it, reading only contents never seen before."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from time import monotonic
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.codebase import store
from contexten_core.codebase.analyse import analyse_file
from contexten_core.codebase.facts import ANALYSER_VERSION, CodebaseFacts, FileFacts, Note
from contexten_core.codebase.languages import file_kind
from contexten_core.codebase.models import AnalysisType, CodebaseAnalysisModel, CodebaseModel, CodebaseStatus
from contexten_core.codebase.summarise import summarise
from contexten_core.db import utc_now
from contexten_core.events.steps import StepRecord
from contexten_core.execution.git import BlobEntry, Mirror
from contexten_core.projects.resolve import Target
from contexten_core.runtime import Runtime

ANALYSER_NAME = "contexten"
_MOST_READ_BYTES = 16 * 1024**2
_TOKEN_HOST = "github.com"  # noqa: S105 - the host that the token is for


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
    """Return the mirror of a target's repository. Our token goes to GitHub itself and nowhere else."""
    token = runtime.settings.github_token
    return runtime.mirrors.open(
        target.clone_url,
        token.get_secret_value() if token and urlsplit(target.clone_url).hostname == _TOKEN_HOST else None,
        allow_local=target.allow_local,
    )


async def examine(record: StepRecord, target: Target) -> CodebaseSummary:
    """Analyse the target's commit and store its facts; a commit that is known already costs one query.

    Raises:
        GitError: the commit cannot be had.
    """
    database = record.runtime.database
    started_at, clock = utc_now(), monotonic()
    mirror = open_mirror(record.runtime, target)
    await asyncio.to_thread(mirror.fetch, target.commit, target.ref)
    async with database.transaction() as session:
        known = await store.codebase(session, repository_url=mirror.url, commit=target.commit)
        if known is not None and known.status is CodebaseStatus.COMPLETED:
            (await record.model(session)).codebase_id = known.id
            return await record.complete(session, _summary(known, analysed=0, left_out=0, seconds=monotonic() - clock))
    entries = await asyncio.to_thread(mirror.files, target.commit)
    readable = [entry for entry in entries if entry.size <= _MOST_READ_BYTES]
    async with database.reading() as session:
        stored = await store.known_facts(
            session, blob_ids={entry.blob_id for entry in readable}, analyser_version=ANALYSER_VERSION
        )
    files, new = await asyncio.to_thread(_facts_of, mirror, readable, stored)
    facts = summarise(files)
    async with database.transaction() as session:
        await store.add_facts(session, facts=new, analyser_version=ANALYSER_VERSION)
        row = await _store(session, target, mirror.url, facts, started_at=started_at, seconds=monotonic() - clock)
        (await record.model(session)).codebase_id = row.id
        return await record.complete(
            session,
            _summary(row, analysed=len(new), left_out=len(entries) - len(readable), seconds=monotonic() - clock),
        )


def _facts_of(
    mirror: Mirror, entries: Sequence[BlobEntry], stored: Mapping[store.FactsKey, dict[str, Any]]
) -> tuple[list[FileFacts], dict[store.FactsKey, dict[str, Any]]]:
    """Return the facts of every file, and those that were not stored yet, both from known facts where there are any."""
    known = {key: FileFacts.from_dict(values) for key, values in stored.items()}
    missing: dict[str, dict[str, str]] = {}
    for entry in entries:
        kind = file_kind(entry.path)
        if (entry.blob_id, kind) not in known:
            missing.setdefault(entry.blob_id, {})[kind] = entry.path
    new = {}
    for blob_id, data in mirror.read(missing, max_bytes=_MOST_READ_BYTES):
        for kind, path in missing[blob_id].items():
            known[blob_id, kind] = analyse_file(path=path, data=data)
            # What took too long here may not elsewhere, so it is not kept.
            if Note.TOO_SLOW not in (known[blob_id, kind].note or ""):
                new[blob_id, kind] = known[blob_id, kind].as_dict()
    files = [
        replace(facts, path=entry.path)
        for entry in entries
        if (facts := known.get((entry.blob_id, file_kind(entry.path)))) is not None
    ]
    return files, new


async def _store(
    session: AsyncSession, target: Target, url: str, facts: CodebaseFacts, *, started_at: datetime, seconds: float
) -> CodebaseModel:
    row = await store.ensure_codebase(
        session,
        name=f"{target.repository}@{target.commit[:10]}",
        repository_url=url,
        commit=target.commit,
        branch=(target.ref or target.default_branch).removeprefix("refs/heads/"),
        project_id=target.project_id,
    )
    values = facts.as_dict()
    row.status = CodebaseStatus.COMPLETED
    row.total_files, row.total_lines = facts.files, facts.lines
    row.total_functions, row.total_classes = facts.functions, facts.classes
    row.languages, row.primary_language = values["languages"], facts.primary_language
    row.analysis_started_at, row.analysis_completed_at = started_at, utc_now()
    row.analysis_duration_seconds = seconds
    session.add(
        CodebaseAnalysisModel(
            name=row.name,
            analysis_type=AnalysisType.FULL_SCAN,
            analyzer_name=ANALYSER_NAME,
            analyzer_version=ANALYSER_VERSION,
            results=values,
            files_analyzed=facts.files,
            analysis_duration_seconds=seconds,
            status=CodebaseStatus.COMPLETED,
            started_at=started_at,
            completed_at=utc_now(),
            codebase_id=row.id,
        )
    )
    return row


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
