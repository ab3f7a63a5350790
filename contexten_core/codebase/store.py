"""All SQL about codebases and the facts of their files."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.codebase.models import (
    CodebaseAnalysisModel,
    CodebaseMetadataModel,
    CodebaseModel,
    CodebaseStatus,
    FileFactsModel,
)
from contexten_core.db.insert import insert_once
from contexten_core.db.paging import Page, page

FactsKey = tuple[str, str]
_QUERY_BATCH = 500


async def codebase(session: AsyncSession, *, repository_url: str, commit: str) -> CodebaseModel | None:
    statement = select(CodebaseModel).where(
        CodebaseModel.repository_url == repository_url, CodebaseModel.commit_sha == commit
    )
    return (await session.execute(statement)).scalar_one_or_none()


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


async def known_facts(
    session: AsyncSession, *, blob_ids: Collection[str], analyser_version: str
) -> dict[FactsKey, dict[str, Any]]:
    """Return the stored facts of these contents, by (blob id, kind of file)."""
    ids, found = list(blob_ids), {}
    for start in range(0, len(ids), _QUERY_BATCH):
        statement = select(FileFactsModel.blob_id, FileFactsModel.file_kind, FileFactsModel.facts).where(
            FileFactsModel.blob_id.in_(ids[start : start + _QUERY_BATCH]),
            FileFactsModel.analyzer_version == analyser_version,
        )
        for blob_id, kind, facts in await session.execute(statement):
            found[blob_id, kind] = facts
    return found


async def add_facts(session: AsyncSession, *, facts: Mapping[FactsKey, dict[str, Any]], analyser_version: str) -> None:
    for (blob_id, kind), values in facts.items():
        await insert_once(
            session,
            FileFactsModel,
            {
                "id": uuid4(),
                "name": blob_id,
                "blob_id": blob_id,
                "file_kind": kind,
                "analyzer_version": analyser_version,
                "facts": values,
            },
            unique=("blob_id", "file_kind", "analyzer_version"),
        )


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
