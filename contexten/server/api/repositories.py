"""Repositories of projects."""

from typing import Any
from uuid import UUID

from fastapi import Response

from contexten.server.api.answers import Cursor, Limit, created, found, listed, removed
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import Repository, list_of
from contexten.server.dependencies import OrchestratorOf, Reading
from contexten_core.projects import change, store
from contexten_core.projects.inputs import RepositoryCreate, RepositoryUpdate
from contexten_core.projects.models import RepositoryProvider

router = api_router("/api/repositories", "repositories")


@router.get("", response_model=list_of(Repository))
async def list_repositories(
    session: Reading,
    limit: Limit = 50,
    cursor: Cursor = None,
    project_id: UUID | None = None,
    provider: RepositoryProvider | None = None,
) -> Any:
    """List the newest repositories."""
    page = await store.page_repositories(session, limit=limit, cursor=cursor, project_id=project_id, provider=provider)
    return listed(page)


@router.post("", response_model=Repository, status_code=201)
async def create_repository(orchestrator: OrchestratorOf, response: Response, data: RepositoryCreate) -> Any:
    """Make a repository known, as part of a project."""
    async with orchestrator.database.transaction() as session:
        row = await change.create_repository(session, data)
    return created(response, row, "/api/repositories")


@router.get("/{repository_id}", response_model=Repository)
async def get_repository(session: Reading, repository_id: UUID) -> Any:
    """Show one repository."""
    return found(await store.get_repository(session, repository_id), "repository", repository_id).to_dict()


@router.patch("/{repository_id}", response_model=Repository)
async def update_repository(orchestrator: OrchestratorOf, repository_id: UUID, data: RepositoryUpdate) -> Any:
    """Change the given fields of a repository."""
    async with orchestrator.database.transaction() as session:
        row = found(await change.update_repository(session, repository_id, data), "repository", repository_id)
    return row.to_dict()


@router.delete("/{repository_id}", status_code=204)
async def delete_repository(orchestrator: OrchestratorOf, repository_id: UUID) -> None:
    """Forget a repository."""
    async with orchestrator.database.transaction() as session:
        removed(await change.delete_repository(session, repository_id), "repository", repository_id)
