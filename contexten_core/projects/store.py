"""All SQL about projects, repositories and project settings."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.projects.models import ProjectConfigModel, ProjectModel, RepositoryModel, RepositoryProvider


async def get(session: AsyncSession, project_id: UUID, *, lock: bool = False) -> ProjectModel | None:
    return await session.get(ProjectModel, project_id, with_for_update=lock)


async def by_slug(session: AsyncSession, slug: str) -> ProjectModel | None:
    return (await session.execute(select(ProjectModel).where(ProjectModel.slug == slug))).scalar_one_or_none()


async def newest(session: AsyncSession, *, limit: int) -> Sequence[ProjectModel]:
    statement = select(ProjectModel).order_by(ProjectModel.created_at.desc()).limit(limit)
    return (await session.execute(statement)).scalars().all()


async def repository(session: AsyncSession, *, provider: RepositoryProvider, full_name: str) -> RepositoryModel | None:
    """Find a repository by its name, as GitHub does: without regard to case."""
    statement = select(RepositoryModel).where(
        RepositoryModel.provider == provider, func.lower(RepositoryModel.full_name) == full_name.lower()
    )
    return (await session.execute(statement)).scalars().first()


async def repositories_of(session: AsyncSession, project_id: UUID) -> Sequence[RepositoryModel]:
    statement = select(RepositoryModel).where(RepositoryModel.project_id == project_id)
    return (await session.execute(statement.order_by(RepositoryModel.full_name))).scalars().all()


async def config(session: AsyncSession, project_id: UUID) -> dict[tuple[str, str], Any]:
    """Return a project's active settings by (type, key)."""
    statement = select(ProjectConfigModel).where(
        ProjectConfigModel.project_id == project_id, ProjectConfigModel.is_active
    )
    rows = (await session.execute(statement.order_by(ProjectConfigModel.created_at))).scalars()
    return {(row.config_type, row.config_key): row.config_value for row in rows}


async def set_config(session: AsyncSession, *, project_id: UUID, config_type: str, key: str, value: Any) -> None:
    """Set one setting of a project, keeping the value that it had before."""
    statement = select(ProjectConfigModel).where(
        ProjectConfigModel.project_id == project_id,
        ProjectConfigModel.config_type == config_type,
        ProjectConfigModel.config_key == key,
        ProjectConfigModel.environment.is_(None),
    )
    row = (await session.execute(statement)).scalar_one_or_none()
    if row is None:
        session.add(
            ProjectConfigModel(
                name=f"{config_type}.{key}",
                config_type=config_type,
                config_key=key,
                config_value=value,
                project_id=project_id,
            )
        )
    elif row.config_value != value:
        row.previous_value, row.config_value = row.config_value, value
        row.version += 1
