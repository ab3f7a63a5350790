"""All SQL about codebases and the facts of their files."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, cast
from uuid import UUID, uuid4

from sqlalchemy import Table, delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.codebase.commit import FactsKey
from contexten_core.codebase.models import (
    CodebaseAnalysisModel,
    CodebaseMetadataModel,
    CodebaseModel,
    CodebaseSnapshotModel,
    CodebaseStatus,
    FileFactsModel,
)
from contexten_core.db import BaseModel
from contexten_core.db.insert import insert_once
from contexten_core.db.paging import Page, page
from contexten_core.db.shared import once

SNAPSHOTS_KEPT = 20
"""Of each repository; the oldest make room."""

_SNAPSHOTS_LOOKED_AT = 50
_QUERY_BATCH = 500


class SnapshotHead(NamedTuple):
    """A snapshot without its content."""

    id: UUID
    codebase_id: UUID
    commit: str


async def codebase(session: AsyncSession, *, repository_url: str, commit: str) -> CodebaseModel | None:
    async def ask() -> CodebaseModel | None:
        statement = select(CodebaseModel).where(
            CodebaseModel.repository_url == repository_url, CodebaseModel.commit_sha == commit
        )
        return (await session.execute(statement)).scalar_one_or_none()

    return await once(session, CodebaseModel, repository_url, commit, ask=ask)


async def ensure_codebase(
    session: AsyncSession, *, name: str, repository_url: str, commit: str, branch: str, project_id: UUID | None
) -> CodebaseModel:
    """Return the row of a commit, made when it is new, and locked until this transaction ends."""
    await insert_once(
        session,
        CodebaseModel,
        {
            "id": uuid4(),
            "name": name,
            "repository_url": repository_url,
            "commit_sha": commit,
            "branch": branch,
            "status": CodebaseStatus.ANALYZING,
            "project_id": project_id,
        },
        unique=("repository_url", "commit_sha"),
    )
    statement = (
        select(CodebaseModel)
        .where(CodebaseModel.repository_url == repository_url, CodebaseModel.commit_sha == commit)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return (await session.execute(statement)).scalar_one()


async def known_records(session: AsyncSession, keys: Collection[FactsKey], *, version: str) -> dict[FactsKey, bytes]:
    """Return the stored records of these contents, packed."""
    ids, found = list(dict.fromkeys(blob_id for blob_id, _ in keys)), {}
    for start in range(0, len(ids), _QUERY_BATCH):
        statement = select(FileFactsModel.blob_id, FileFactsModel.file_kind, FileFactsModel.facts).where(
            FileFactsModel.blob_id.in_(ids[start : start + _QUERY_BATCH]), FileFactsModel.analyzer_version == version
        )
        for blob_id, kind, record in await session.execute(statement):
            if (blob_id, kind) in keys:
                found[blob_id, kind] = record
    return found


async def add_records(session: AsyncSession, records: Mapping[FactsKey, bytes], *, version: str) -> None:
    """Store packed records; those of contents that are known stay as they are."""
    rows = [
        {
            "id": uuid4(),
            "name": blob_id,
            "blob_id": blob_id,
            "file_kind": kind,
            "analyzer_version": version,
            "facts": record,
        }
        # In one order, or two analyses of the same contents could wait for each other.
        for (blob_id, kind), record in sorted(records.items())
    ]
    await _add_once(session, FileFactsModel, rows, unique=("blob_id", "file_kind", "analyzer_version"))


async def snapshot_heads(session: AsyncSession, *, repository_url: str, version: str) -> list[SnapshotHead]:
    """Return whose snapshots are stored of a repository, newest first."""
    statement = (
        select(CodebaseSnapshotModel.id, CodebaseSnapshotModel.codebase_id, CodebaseModel.commit_sha)
        .join(CodebaseModel, CodebaseModel.id == CodebaseSnapshotModel.codebase_id)
        .where(CodebaseModel.repository_url == repository_url, CodebaseSnapshotModel.analyzer_version == version)
        .order_by(CodebaseSnapshotModel.created_at.desc(), CodebaseSnapshotModel.id)
        .limit(_SNAPSHOTS_LOOKED_AT)
    )
    return [SnapshotHead(*row) for row in await session.execute(statement)]


async def snapshot_content(session: AsyncSession, snapshot_id: UUID) -> bytes | None:
    statement = select(CodebaseSnapshotModel.content).where(CodebaseSnapshotModel.id == snapshot_id)
    return (await session.execute(statement)).scalar_one_or_none()


async def snapshot_of(session: AsyncSession, codebase_id: UUID, *, version: str) -> bytes | None:
    """Return a codebase's snapshot."""
    statement = select(CodebaseSnapshotModel.content).where(
        CodebaseSnapshotModel.codebase_id == codebase_id, CodebaseSnapshotModel.analyzer_version == version
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def put_snapshot(
    session: AsyncSession, *, codebase_id: UUID, name: str, content: bytes, version: str, stale: Collection[UUID]
) -> None:
    """Store a codebase's snapshot in place of the one that it has, and remove those that are too old."""
    await session.execute(
        delete(CodebaseSnapshotModel).where(
            or_(CodebaseSnapshotModel.codebase_id == codebase_id, CodebaseSnapshotModel.id.in_(stale))
        )
    )
    session.add(CodebaseSnapshotModel(name=name, analyzer_version=version, content=content, codebase_id=codebase_id))


async def add_elements(session: AsyncSession, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store elements of code; those whose id is there already stay as they are."""
    await _add_once(session, CodebaseMetadataModel, rows, unique=("id",))


async def get_codebase(session: AsyncSession, codebase_id: UUID, *, lock: bool = False) -> CodebaseModel | None:
    """Return a codebase. With `lock` nobody else changes it before this transaction ends."""
    return await session.get(CodebaseModel, codebase_id, with_for_update={"key_share": True} if lock else None)


async def hold_codebase(session: AsyncSession, codebase_id: UUID) -> bool:
    """Tell whether there is such a codebase, and keep it from being removed before this transaction ends."""
    statement = select(CodebaseModel.id).where(CodebaseModel.id == codebase_id)
    statement = statement.with_for_update(read=True, key_share=True)
    return (await session.execute(statement)).scalar_one_or_none() is not None


async def page_codebases(
    session: AsyncSession,
    *,
    limit: int,
    cursor: str | None = None,
    project_id: UUID | None = None,
    status: CodebaseStatus | None = None,
) -> Page[CodebaseModel]:
    wanted = {"project_id": project_id, "status": status}
    filters = {column: value for column, value in wanted.items() if value is not None}
    statement = select(CodebaseModel).filter_by(**filters)
    return await page(session, CodebaseModel, statement, limit=limit, cursor=cursor)


async def get_codebase_analysis(session: AsyncSession, analysis_id: UUID) -> CodebaseAnalysisModel | None:
    return await session.get(CodebaseAnalysisModel, analysis_id)


async def page_analyses(
    session: AsyncSession, *, codebase_id: UUID, limit: int, cursor: str | None = None
) -> Page[CodebaseAnalysisModel]:
    statement = select(CodebaseAnalysisModel).where(CodebaseAnalysisModel.codebase_id == codebase_id)
    return await page(session, CodebaseAnalysisModel, statement, limit=limit, cursor=cursor)


async def get_codebase_metadata(session: AsyncSession, metadata_id: UUID) -> CodebaseMetadataModel | None:
    return await session.get(CodebaseMetadataModel, metadata_id)


async def page_metadata(
    session: AsyncSession,
    *,
    codebase_id: UUID,
    limit: int,
    cursor: str | None = None,
    file_path: str | None = None,
    element_name: str | None = None,
) -> Page[CodebaseMetadataModel]:
    wanted = {"codebase_id": codebase_id, "file_path": file_path, "element_name": element_name}
    filters = {column: value for column, value in wanted.items() if value is not None}
    statement = select(CodebaseMetadataModel).filter_by(**filters)
    return await page(session, CodebaseMetadataModel, statement, limit=limit, cursor=cursor)


async def _add_once(
    session: AsyncSession, model: type[BaseModel], rows: Sequence[Mapping[str, Any]], *, unique: Sequence[str]
) -> None:
    """Insert many rows unless they are there: one prepared statement, twice as fast as one with all the values."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(cast(Table, model.__table__)).on_conflict_do_nothing(index_elements=list(unique))
    for start in range(0, len(rows), _QUERY_BATCH):
        await session.execute(statement, list(rows[start : start + _QUERY_BATCH]))
