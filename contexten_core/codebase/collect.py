"""Facts of every file of a commit, and the rows that keep them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.codebase import store
from contexten_core.codebase.analyse import analyse_file
from contexten_core.codebase.facts import ANALYSER_VERSION, CodebaseFacts, FileFacts, Note
from contexten_core.codebase.languages import file_kind
from contexten_core.codebase.models import AnalysisType, CodebaseAnalysisModel, CodebaseModel, CodebaseStatus
from contexten_core.db import utc_now
from contexten_core.execution.git import BlobEntry, Mirror

ANALYSER_NAME = "contexten"
MOST_READ_BYTES = 16 * 1024**2


def readable_files(mirror: Mirror, commit: str) -> tuple[list[BlobEntry], int]:
    """Return the files of a fetched commit that are not too large to read, and how many are."""
    entries = mirror.files(commit)
    readable = [entry for entry in entries if entry.size <= MOST_READ_BYTES]
    return readable, len(entries) - len(readable)


def facts_of(
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
    for blob_id, data in mirror.read(missing, max_bytes=MOST_READ_BYTES):
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


async def store_codebase(
    session: AsyncSession,
    *,
    repository: str,
    url: str,
    commit: str,
    branch: str,
    project_id: UUID | None,
    facts: CodebaseFacts,
    started_at: datetime,
    seconds: float,
) -> CodebaseModel:
    """Store what was found in a commit, with the pass of the analyser that found it."""
    row = await store.ensure_codebase(
        session,
        name=f"{repository}@{commit[:10]}",
        repository_url=url,
        commit=commit,
        branch=branch,
        project_id=project_id,
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
