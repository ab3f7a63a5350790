"""All SQL about codebases and the facts of their files."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.codebase.models import CodebaseModel, CodebaseStatus, FileFactsModel
from contexten_core.db.insert import insert_once

FactsKey = tuple[str, str]
_QUERY_BATCH = 500


async def codebase(session: AsyncSession, *, repository_url: str, commit: str) -> CodebaseModel | None:
    statement = select(CodebaseModel).where(
        CodebaseModel.repository_url == repository_url, CodebaseModel.commit_sha == commit
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def ensure_codebase(
    session: AsyncSession, *, name: str, repository_url: str, commit: str, branch: str, project_id: UUID
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
