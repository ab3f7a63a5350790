"""Make, change and remove codebases, and record analyses and elements of their code."""

from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.codebase import store
from contexten_core.codebase.inputs import (
    CodebaseAnalysisCreate,
    CodebaseCreate,
    CodebaseMetadataCreate,
    CodebaseUpdate,
)
from contexten_core.codebase.models import CodebaseAnalysisModel, CodebaseMetadataModel, CodebaseModel
from contexten_core.db import utc_now
from contexten_core.db.insert import insert_once
from contexten_core.db.rows import set_values
from contexten_core.errors import ConflictError
from contexten_core.inputs import missing
from contexten_core.projects import store as project_store


async def create_codebase(session: AsyncSession, data: CodebaseCreate) -> CodebaseModel:
    """Store a commit of a repository.

    Raises:
        ConflictError: this commit of this repository is stored already.
        InvalidInputError: its project does not exist.
    """
    await _must_be_project(session, data.project_id)
    repository = data.repository_url.rstrip("/").rpartition("/")[2].removesuffix(".git")
    chosen = {
        "id": uuid4(),
        "name": data.name or f"{repository}@{data.commit_sha[:10]}",
        "branch": data.branch,
        "status": data.status,
    }
    key = ("repository_url", "commit_sha")
    row_id = await insert_once(session, CodebaseModel, data.columns() | chosen, unique=key)
    if row_id is None:
        raise ConflictError(
            f"{', '.join(key)}: the commit {data.commit_sha} of {data.repository_url} is stored already",
            hint="Change that codebase instead, or give another commit.",
        )
    return await session.get_one(CodebaseModel, row_id)


async def update_codebase(session: AsyncSession, codebase_id: UUID, changes: CodebaseUpdate) -> CodebaseModel | None:
    """Change a codebase; None when there is none with that id.

    Raises:
        InvalidInputError: its new project does not exist.
    """
    await _must_be_project(session, changes.project_id)
    codebase = await store.get_codebase(session, codebase_id, lock=True)
    if codebase is None:
        return None
    set_values(codebase, changes.columns())
    await session.flush()
    return codebase


async def delete_codebase(session: AsyncSession, codebase_id: UUID) -> bool:
    """Remove a codebase with its analyses and elements; runs that looked at it stay, without it."""
    codebase = await store.get_codebase(session, codebase_id, lock=True)
    if codebase is None:
        return False
    await session.delete(codebase)
    await session.flush()
    return True


async def create_codebase_analysis(session: AsyncSession, data: CodebaseAnalysisCreate) -> CodebaseAnalysisModel:
    """Store what one pass of an analyser found.

    Raises:
        InvalidInputError: there is no such codebase.
    """
    await _must_be_codebase(session, data.codebase_id)
    chosen = {
        "name": data.name or data.analyzer_name,
        "results": data.results,
        "status": data.status,
        "started_at": data.started_at or data.completed_at or utc_now(),
    }
    row = CodebaseAnalysisModel(id=uuid4(), **data.columns() | chosen)
    session.add(row)
    await session.flush()
    return row


async def create_codebase_metadata(session: AsyncSession, data: CodebaseMetadataCreate) -> CodebaseMetadataModel:
    """Store one element of a commit's code.

    Raises:
        InvalidInputError: there is no such codebase.
    """
    await _must_be_codebase(session, data.codebase_id)
    chosen = {"name": data.name or data.element_name, "content": data.content}
    row = CodebaseMetadataModel(id=uuid4(), **data.columns() | chosen)
    session.add(row)
    await session.flush()
    return row


async def _must_be_project(session: AsyncSession, project_id: UUID | None) -> None:
    if project_id is not None and not await project_store.hold_project(session, project_id):
        raise missing("project_id", project_id)


async def _must_be_codebase(session: AsyncSession, codebase_id: UUID) -> None:
    if not await store.hold_codebase(session, codebase_id):
        raise missing("codebase_id", codebase_id)
