"""All SQL about projects, repositories and project settings."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import flag_modified

from contexten_core.db.paging import Page, page
from contexten_core.db.shared import ask, once
from contexten_core.db.sums import add_up
from contexten_core.errors import ConfigurationError
from contexten_core.projects.models import (
    ProjectConfigModel,
    ProjectModel,
    ProjectStatus,
    RepositoryModel,
    RepositoryProvider,
)
from contexten_core.security.encryption import Vault


async def get(session: AsyncSession, project_id: UUID, *, lock: bool = False) -> ProjectModel | None:
    return await session.get(ProjectModel, project_id, with_for_update=lock)


async def by_slug(session: AsyncSession, slug: str) -> ProjectModel | None:
    return (await session.execute(select(ProjectModel).where(ProjectModel.slug == slug))).scalar_one_or_none()


async def get_project(session: AsyncSession, project_id: UUID, *, lock: bool = False) -> ProjectModel | None:
    """Return a project. With `lock` nobody else changes it before this transaction ends; rows may still refer to it."""
    return await session.get(ProjectModel, project_id, with_for_update={"key_share": True} if lock else None)


async def hold_project(session: AsyncSession, project_id: UUID) -> bool:
    """Tell whether there is such a project, and keep it from being removed before this transaction ends."""
    return bool(await once(session, "held", ProjectModel, project_id, ask=lambda: ask(session, _hold_all, project_id)))


async def _hold_all(session: AsyncSession, project_ids: Sequence[UUID]) -> dict[UUID, bool]:
    statement = select(ProjectModel.id).where(ProjectModel.id.in_(project_ids)).order_by(ProjectModel.id)
    statement = statement.with_for_update(read=True, key_share=True)
    return dict.fromkeys((await session.execute(statement)).scalars(), True)


async def count(
    session: AsyncSession, project_id: UUID, changes: Mapping[str, int] = MappingProxyType({}), *, now: datetime
) -> None:
    """Note that something happens in a project, and add to its counts, just before the transaction commits.

    A project that the session has loaded keeps the old ones.
    """

    async def add(session: AsyncSession, amounts: Mapping[str, float]) -> None:
        counts = {name: getattr(ProjectModel, name) + int(change) for name, change in amounts.items() if change}
        statement = update(ProjectModel).where(ProjectModel.id == project_id).values(**counts, last_activity_at=now)
        await session.execute(statement.execution_options(synchronize_session=False))

    await add_up(session, ProjectModel.__tablename__, project_id, amounts=changes, add=add)


async def page_projects(
    session: AsyncSession, *, limit: int, cursor: str | None = None, status: ProjectStatus | None = None
) -> Page[ProjectModel]:
    statement = select(ProjectModel)
    if status is not None:
        statement = statement.where(ProjectModel.status == status)
    return await page(session, ProjectModel, statement, limit=limit, cursor=cursor)


async def newest(session: AsyncSession, *, limit: int) -> Sequence[ProjectModel]:
    statement = select(ProjectModel).order_by(ProjectModel.created_at.desc()).limit(limit)
    return (await session.execute(statement)).scalars().all()


async def repository(session: AsyncSession, *, provider: RepositoryProvider, full_name: str) -> RepositoryModel | None:
    """Find a repository by its name, as GitHub does: without regard to case."""

    async def ask() -> RepositoryModel | None:
        statement = select(RepositoryModel).where(
            RepositoryModel.provider == provider, func.lower(RepositoryModel.full_name) == full_name.lower()
        )
        return (await session.execute(statement)).scalars().first()

    return await once(session, RepositoryModel, provider, full_name.lower(), ask=ask)


async def get_repository(session: AsyncSession, repository_id: UUID, *, lock: bool = False) -> RepositoryModel | None:
    return await session.get(RepositoryModel, repository_id, with_for_update={"key_share": True} if lock else None)


async def page_repositories(
    session: AsyncSession,
    *,
    limit: int,
    cursor: str | None = None,
    project_id: UUID | None = None,
    provider: RepositoryProvider | None = None,
) -> Page[RepositoryModel]:
    wanted = {"project_id": project_id, "provider": provider}
    filters = {column: value for column, value in wanted.items() if value is not None}
    statement = select(RepositoryModel).filter_by(**filters)
    return await page(session, RepositoryModel, statement, limit=limit, cursor=cursor)


async def repositories_of(session: AsyncSession, project_id: UUID) -> Sequence[RepositoryModel]:
    statement = select(RepositoryModel).where(RepositoryModel.project_id == project_id)
    return (await session.execute(statement.order_by(RepositoryModel.full_name))).scalars().all()


async def get_project_config(
    session: AsyncSession, config_id: UUID, *, lock: bool = False
) -> ProjectConfigModel | None:
    return await session.get(ProjectConfigModel, config_id, with_for_update={"key_share": True} if lock else None)


async def page_project_configs(
    session: AsyncSession, *, project_id: UUID, limit: int, cursor: str | None = None
) -> Page[ProjectConfigModel]:
    statement = select(ProjectConfigModel).where(ProjectConfigModel.project_id == project_id)
    return await page(session, ProjectConfigModel, statement, limit=limit, cursor=cursor)


async def config(
    session: AsyncSession, project_id: UUID, *, vault: Vault | None = None, environment: str | None = None
) -> dict[tuple[str, str], Any]:
    """Return a project's active settings by (type, key): those for all environments, and over them those for this one.

    Encrypted settings are decrypted by `vault`, and left out without one.

    Raises:
        ConfigurationError: the vault has another key.
    """

    async def ask() -> dict[tuple[str, str], Any]:
        statement = select(ProjectConfigModel).where(
            ProjectConfigModel.project_id == project_id,
            ProjectConfigModel.is_active,
            or_(ProjectConfigModel.environment.is_(None), ProjectConfigModel.environment == environment),
        )
        order = (ProjectConfigModel.environment.is_not(None), ProjectConfigModel.created_at)
        rows = (await session.execute(statement.order_by(*order))).scalars()
        return {
            (row.config_type, row.config_key): _clear(vault, row)
            for row in rows
            if vault is not None or not row.is_encrypted
        }

    return await once(session, ProjectConfigModel, project_id, vault is None, environment, ask=ask)


async def projects_with(
    session: AsyncSession, *, config_type: str, key: str, value: str, environment: str | None = None
) -> list[ProjectModel]:
    """Return the projects whose active setting is this text, or a list that has it, without regard to case.

    What is set for this environment stands over what is set for all. Encrypted settings lead nowhere.
    """
    statement = select(ProjectConfigModel.project_id, ProjectConfigModel.config_value).where(
        ProjectConfigModel.config_type == config_type,
        ProjectConfigModel.config_key == key,
        ProjectConfigModel.is_active,
        ~ProjectConfigModel.is_encrypted,
        or_(ProjectConfigModel.environment.is_(None), ProjectConfigModel.environment == environment),
    )
    order = (ProjectConfigModel.environment.is_not(None), ProjectConfigModel.created_at)
    settings = {row.project_id: row.config_value for row in await session.execute(statement.order_by(*order))}
    wanted = value.lower()
    found = [project_id for project_id, given in settings.items() if wanted in _lowered(given)]
    if not found:
        return []
    projects = select(ProjectModel).where(ProjectModel.id.in_(found)).order_by(ProjectModel.slug)
    return list((await session.execute(projects)).scalars())


def _lowered(given: Any) -> list[str]:
    return [one.lower() for one in (given if isinstance(given, list) else [given]) if isinstance(one, str)]


async def set_config(
    session: AsyncSession,
    *,
    project_id: UUID,
    config_type: str,
    key: str,
    value: Any,
    environment: str | None = None,
    vault: Vault | None = None,
    is_encrypted: bool | None = None,
) -> ProjectConfigModel:
    """Set one setting of a project, keeping the value that it had before.

    Args:
        environment: the one that it is for; None for all.
        vault: needed for what is encrypted.
        is_encrypted: whether it is stored encrypted from now on; None leaves that as it is.

    Raises:
        ConfigurationError: it is encrypted and there is no vault, or the vault has another key.
    """
    # One writer at a time: no unique key keeps two settings for all environments, which have none, apart.
    await get_project(session, project_id, lock=True)
    statement = select(ProjectConfigModel).where(
        ProjectConfigModel.project_id == project_id,
        ProjectConfigModel.config_type == config_type,
        ProjectConfigModel.config_key == key,
        ProjectConfigModel.environment.is_(None)
        if environment is None
        else ProjectConfigModel.environment == environment,
    )
    row = (await session.execute(statement.execution_options(populate_existing=True))).scalar_one_or_none()
    if row is None:
        row = ProjectConfigModel(
            id=uuid4(),
            name=f"{config_type}.{key}",
            config_type=config_type,
            config_key=key,
            config_value=_sealed(vault, value) if is_encrypted else value,
            is_encrypted=bool(is_encrypted),
            environment=environment,
            project_id=project_id,
        )
        session.add(row)
    else:
        _change_value(vault, row, value, is_encrypted=row.is_encrypted if is_encrypted is None else is_encrypted)
    await session.flush()
    return row


def _change_value(vault: Vault | None, row: ProjectConfigModel, value: Any, *, is_encrypted: bool) -> None:
    before = _clear(vault, row)
    changed = _text(before) != _text(value)
    if changed:
        row.previous_value = _sealed(vault, before) if is_encrypted or row.is_encrypted else before
        row.version += 1
    elif is_encrypted and not row.is_encrypted and row.previous_value is not None:
        row.previous_value = _sealed(vault, row.previous_value)
    if changed or is_encrypted != row.is_encrypted:
        row.config_value, row.is_encrypted = _sealed(vault, value) if is_encrypted else value, is_encrypted
        # To Python 1 and true are equal, so that the session would not write the one over the other.
        flag_modified(row, "config_value")


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _sealed(vault: Vault | None, value: Any) -> dict[str, str]:
    return {"encrypted": _needed(vault).encrypt(_text(value).encode()).decode("ascii")}


def _clear(vault: Vault | None, row: ProjectConfigModel) -> Any:
    if not row.is_encrypted:
        return row.config_value
    return json.loads(_needed(vault).decrypt(row.config_value["encrypted"].encode()))


def _needed(vault: Vault | None) -> Vault:
    if vault is None:
        raise ConfigurationError(
            "a setting of a project that is encrypted cannot be used without a vault",
            hint="Give the vault of the settings: contexten_core.security.encryption.open_vault(settings).",
        )
    return vault
