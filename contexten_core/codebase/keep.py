"""What was found in a commit, as rows: the codebase, the pass of the analyser, its elements, and its snapshot."""

import asyncio
import resource
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from heapq import nlargest
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.codebase import store
from contexten_core.codebase.collect import Found, file_facts, find_facts
from contexten_core.codebase.commit import CommitFacts
from contexten_core.codebase.elements import elements_of
from contexten_core.codebase.facts import ANALYSER_VERSION, FileFacts
from contexten_core.codebase.models import AnalysisType, CodebaseAnalysisModel, CodebaseModel, CodebaseStatus
from contexten_core.codebase.record import RECORD_VERSION
from contexten_core.codebase.snapshot_format import encode
from contexten_core.codebase.summarise import Tally
from contexten_core.codebase.whole import Progress
from contexten_core.db import Database, utc_now
from contexten_core.errors import ConflictError
from contexten_core.execution.git import Mirror

ANALYSER_NAME = "contexten"
MOST_ELEMENTS = 200_000

_FILES_AT_ONCE = 200
_MOST_SHOWN = 100
_MOST_IMPORTED = 200


@dataclass(frozen=True, slots=True)
class CommitName:
    """Which commit of which repository is meant, and whose it is."""

    repository: str
    url: str
    commit: str
    branch: str
    project_id: UUID | None


@dataclass(frozen=True, slots=True)
class Examined:
    """A commit whose facts are found, and not all stored yet.

    Attributes:
        codebase_id: of its row.
        content: of its snapshot.
        elements: how many of its functions and classes were stored for it.
        elements_left_out: in how many files they were not, because there are too many.
    """

    name: CommitName
    codebase_id: UUID
    found: Found
    content: bytes
    elements: int
    elements_left_out: int
    started_at: datetime


async def examine_commit(
    database: Database, mirror: Mirror, name: CommitName, *, progress: Progress | None = None
) -> Examined:
    """Find the facts of a fetched commit, and store what may be much: facts of files, functions and classes.

    That is done in transactions of its own, which can be repeated; `store_commit` then makes the codebase complete.

    Raises:
        GitError: the commit is not in the mirror.
    """
    started_at = utc_now()
    found = await find_facts(database, mirror, name.commit, progress=progress)
    content = await asyncio.to_thread(encode, found.snapshot)
    async with database.transaction() as session:
        row = await store.ensure_codebase(
            session,
            name=f"{name.repository}@{name.commit[:10]}",
            repository_url=name.url,
            commit=name.commit,
            branch=name.branch,
            project_id=name.project_id,
        )
        await store.add_records(session, found.new, version=RECORD_VERSION)
        codebase_id = row.id
    stored, left_out = 0, 0
    for start in range(0, len(found.changed), _FILES_AT_ONCE):
        paths = found.changed[start : start + _FILES_AT_ONCE]
        if stored >= MOST_ELEMENTS:
            left_out += len(paths)
            continue
        async with database.transaction() as session:
            files = await file_facts(session, found.facts, paths)
            rows = await asyncio.to_thread(_elements, found.facts, files, codebase_id)
            await store.add_elements(session, rows)
        stored += len(rows)
    return Examined(name, codebase_id, found, content, stored, left_out, started_at)


async def store_commit(session: AsyncSession, examined: Examined) -> CodebaseModel:
    """Make the codebase of a commit complete: its totals, the pass of the analyser, and the snapshot."""
    found, facts, totals = examined.found, examined.found.facts, examined.found.facts.totals
    row = await store.get_codebase(session, examined.codebase_id, lock=True)
    if row is None:
        raise ConflictError(
            f"the codebase {examined.name.repository}@{facts.commit[:10]} was removed while it was analysed",
            hint="Analyse the commit again.",
        )
    seconds, now = (utc_now() - examined.started_at).total_seconds(), utc_now()
    values = totals.as_dict()
    row.status = CodebaseStatus.COMPLETED
    row.total_files, row.total_lines = totals.files, totals.lines
    row.total_functions, row.total_classes = totals.functions, totals.classes
    row.languages, row.primary_language = values["languages"], totals.primary_language
    row.analysis_started_at, row.analysis_completed_at = examined.started_at, now
    row.analysis_duration_seconds = seconds
    if found.base_id != row.id:
        row.analysis_config = {"base": None if found.base_id is None else str(found.base_id)}
    tally = Tally(found.snapshot.tally)
    session.add(
        CodebaseAnalysisModel(
            name=row.name,
            analysis_type=AnalysisType.FULL_SCAN if found.base_id is None else AnalysisType.INCREMENTAL,
            analyzer_name=ANALYSER_NAME,
            analyzer_version=ANALYSER_VERSION,
            results=_results(facts, values, examined, tally),
            files_analyzed=totals.files,
            issues_found=tally["todos"],
            warnings_count=tally["noted"],
            errors_count=len(found.unkept),
            complexity_score=tally.mean_complexity,
            maintainability_score=facts.maintainability,
            memory_usage_mb=_peak_memory_mb(),
            analysis_duration_seconds=seconds,
            status=CodebaseStatus.COMPLETED,
            started_at=examined.started_at,
            completed_at=now,
            codebase_id=row.id,
        )
    )
    await store.put_snapshot(
        session,
        codebase_id=row.id,
        name=row.name,
        content=examined.content,
        version=RECORD_VERSION,
        stale=found.stale,
    )
    await session.flush()
    return row


def _elements(facts: CommitFacts, files: Mapping[str, FileFacts], codebase_id: UUID) -> list[dict[str, Any]]:
    return [
        row
        for path, file in files.items()
        for row in elements_of(file, codebase_id=codebase_id, importers=facts.importers_of(path))
    ]


def _results(facts: CommitFacts, totals: dict[str, Any], examined: Examined, tally: Tally) -> dict[str, Any]:
    """Return the facts of a commit as JSON of bounded size."""
    outside = Counter(name for names in facts.modules.external.values() for name in names)
    complex_files = nlargest(_MOST_SHOWN, facts.files.values(), key=lambda file: (file.complexity, file.path))
    return totals | {
        "analysed": examined.found.analysed,
        "modules": {
            "importing_files": len(facts.modules.imports),
            "imports": sum(len(targets) for targets in facts.modules.imports.values()),
            "external": [
                {"name": name, "files": count}
                for name, count in sorted(outside.items(), key=lambda row: (-row[1], row[0]))[:_MOST_IMPORTED]
            ],
            "cycles": [list(cycle[:_MOST_SHOWN]) for cycle in facts.modules.cycles[:_MOST_SHOWN]],
            "cycle_count": len(facts.modules.cycles),
        },
        "entry_points": [point._asdict() for point in facts.entry_points[:_MOST_SHOWN]],
        "complexity": {
            "total": tally["complexity"],
            "mean": tally.mean_complexity,
            "files": [
                {"path": file.path, "total": file.complexity, "most": file.most_complex}
                for file in complex_files
                if file.complexity
            ],
        },
        "maintainability": facts.maintainability,
        "todos": tally["todos"],
        "left_out": [entry._asdict() for entry in facts.left_out[:_MOST_SHOWN]],
        "elements": {"stored": examined.elements, "files_left_out": examined.elements_left_out},
    }


def _peak_memory_mb() -> float:
    """Return the most memory that this process, the pages of its workers excepted, has ever had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024**2 if sys.platform == "darwin" else 1024), 1)
