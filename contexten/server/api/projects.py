"""Projects, and their settings."""

from typing import Any
from uuid import UUID

from fastapi import Response

from contexten.server.api.answers import Cursor, Limit, created, found, listed, removed
from contexten.server.api.routing import api_router
from contexten.server.api.shapes import Project, ProjectConfig, list_of
from contexten.server.dependencies import OrchestratorOf, Reading, SettingsOf
from contexten_core.projects import change, store
from contexten_core.projects.inputs import ProjectConfigSet, ProjectCreate, ProjectUpdate
from contexten_core.projects.models import ProjectConfigModel, ProjectStatus
from contexten_core.security.encryption import open_vault

router = api_router("/api/projects", "projects")


@router.get("", response_model=list_of(Project))
async def list_projects(
    session: Reading, limit: Limit = 50, cursor: Cursor = None, status: ProjectStatus | None = None
) -> Any:
    """List the newest projects."""
    return listed(await store.page_projects(session, limit=limit, cursor=cursor, status=status))


@router.post("", response_model=Project, status_code=201)
async def create_project(orchestrator: OrchestratorOf, response: Response, data: ProjectCreate) -> Any:
    """Create a project; emits `project_created`."""
    return created(response, await orchestrator.create_project(data.given()), "/api/projects")


@router.get("/{project_id}", response_model=Project)
async def get_project(session: Reading, project_id: UUID) -> Any:
    """Show one project, with how many tasks it has had and how they went."""
    return found(await store.get_project(session, project_id), "project", project_id).to_dict()


@router.patch("/{project_id}", response_model=Project)
async def update_project(orchestrator: OrchestratorOf, project_id: UUID, data: ProjectUpdate) -> Any:
    """Change the given fields of a project."""
    async with orchestrator.database.transaction() as session:
        project = found(await change.update_project(session, project_id, data), "project", project_id)
    return project.to_dict()


@router.delete("/{project_id}", status_code=204)
async def delete_project(orchestrator: OrchestratorOf, project_id: UUID) -> None:
    """Delete a project with its repositories and settings; tasks and events stay, without a project."""
    async with orchestrator.database.transaction() as session:
        removed(await change.delete_project(session, project_id), "project", project_id)


@router.get("/{project_id}/config", response_model=list_of(ProjectConfig))
async def list_project_config(session: Reading, project_id: UUID, limit: Limit = 50, cursor: Cursor = None) -> Any:
    """List a project's settings; the values of encrypted ones are left out."""
    found(await store.get_project(session, project_id), "project", project_id)
    page = await store.page_project_configs(session, project_id=project_id, limit=limit, cursor=cursor)
    return {"items": [_shown(row) for row in page.rows], "next_cursor": page.next_cursor}


@router.put("/{project_id}/config", response_model=ProjectConfig)
async def set_project_config(
    orchestrator: OrchestratorOf, settings: SettingsOf, project_id: UUID, data: ProjectConfigSet
) -> Any:
    """Set one setting of a project, by its type, key and environment; the value before it is kept beside it."""
    async with orchestrator.database.transaction() as session:
        found(await store.get_project(session, project_id), "project", project_id)
        row = await change.set_project_config(session, open_vault(settings), project_id, data)
    return _shown(row)


@router.delete("/{project_id}/config/{config_id}", status_code=204)
async def delete_project_config(orchestrator: OrchestratorOf, project_id: UUID, config_id: UUID) -> None:
    """Remove one setting of a project."""
    async with orchestrator.database.transaction() as session:
        row = await store.get_project_config(session, config_id)
        gone = row is not None and row.project_id == project_id and await change.delete_project_config(session, row.id)
        removed(gone, f"setting of project {project_id}", config_id)


def _shown(row: ProjectConfigModel) -> dict[str, Any]:
    secret = {"config_value": None, "previous_value": None} if row.is_encrypted else {}
    return row.to_dict() | secret
