"""Make, change and remove projects, their repositories and their settings."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db.rows import delete_row, set_values, taken_as
from contexten_core.errors import ConflictError, InvalidInputError
from contexten_core.events.emit import PROJECT_CREATED, emit
from contexten_core.events.models import EventModel
from contexten_core.projects import store
from contexten_core.projects.add import slug_of
from contexten_core.projects.inputs import (
    ProjectConfigSet,
    ProjectCreate,
    ProjectUpdate,
    RepositoryCreate,
    RepositoryUpdate,
)
from contexten_core.projects.models import ProjectConfigModel, ProjectModel, RepositoryModel, RepositoryProvider
from contexten_core.security.encryption import Vault
from contexten_core.tasks import store as task_store

_LONGEST_SLUG = 200


async def create_project(
    session: AsyncSession, data: ProjectCreate, *, held_by: str | None = None
) -> tuple[ProjectModel, EventModel]:
    """Store a project, and with it the event `project_created`.

    Args:
        data: without a slug the project gets one made of its name.
        held_by: the process that runs the event's handlers itself, right after the commit.

    Raises:
        ConflictError: the slug is taken.
        InvalidInputError: no slug can be made of the name.
    """
    slug = data.slug or slug_of(data.name)[:_LONGEST_SLUG].rstrip("-")
    if not slug:
        raise _invalid("slug", "is needed, since none can be made of the name")
    taken = _slug_taken(slug)
    if await store.by_slug(session, slug) is not None:
        raise taken
    project = ProjectModel(id=uuid4(), **data.columns() | {"slug": slug})
    async with taken_as(session, taken):
        session.add(project)
    event = await emit(
        session,
        PROJECT_CREATED,
        {"project_id": str(project.id), "project_data": project.to_dict()},
        held_by=held_by,
        project_id=project.id,
    )
    return project, event


async def update_project(session: AsyncSession, project_id: UUID, changes: ProjectUpdate) -> ProjectModel | None:
    """Change a project; None when there is none with that id.

    Raises:
        ConflictError: the new slug is taken.
    """
    project = await store.get_project(session, project_id, lock=True)
    if project is None:
        return None
    values = changes.columns()
    taken = _slug_taken(values.get("slug", project.slug))
    if "slug" in values and values["slug"] != project.slug and await store.by_slug(session, values["slug"]) is not None:
        raise taken
    async with taken_as(session, taken):
        set_values(project, values)
    return project


async def delete_project(session: AsyncSession, project_id: UUID) -> bool:
    """Remove a project with its repositories and settings; what else refers to it stays, without a project."""
    # Whoever changes a task locks it before its project; so do we.
    await task_store.release_from(session, project_id)
    return await delete_row(session, await store.get_project(session, project_id, lock=True))


async def create_repository(session: AsyncSession, data: RepositoryCreate) -> RepositoryModel:
    """Store a repository of a project.

    Raises:
        ConflictError: it belongs to a project already; upper and lower case are the same here.
        InvalidInputError: there is no such project, or the name is incomplete or contradicts itself.
    """
    values = data.columns()
    await _must_be_project(session, data.project_id)
    values |= _whole_name(values)
    taken = await _untaken(session, data.provider, values["full_name"])
    repository = RepositoryModel(id=uuid4(), **values | {"name": data.name or values["full_name"]})
    async with taken_as(session, taken):
        session.add(repository)
    return repository


async def update_repository(
    session: AsyncSession, repository_id: UUID, changes: RepositoryUpdate
) -> RepositoryModel | None:
    """Change a repository; None when there is none with that id.

    Raises:
        ConflictError: its new provider and name are those of another.
        InvalidInputError: there is no such project, or the new name contradicts itself.
    """
    repository = await store.get_repository(session, repository_id, lock=True)
    if repository is None:
        return None
    values = changes.columns()
    if "project_id" in values:
        await _must_be_project(session, values["project_id"])
    values |= _whole_name(values, owner=repository.owner, repo_name=repository.repo_name)
    provider = values.get("provider", repository.provider)
    taken = await _untaken(session, provider, values["full_name"], but=repository)
    async with taken_as(session, taken):
        set_values(repository, values)
    return repository


async def delete_repository(session: AsyncSession, repository_id: UUID) -> bool:
    return await delete_row(session, await store.get_repository(session, repository_id, lock=True))


async def set_project_config(
    session: AsyncSession, vault: Vault, project_id: UUID, data: ProjectConfigSet
) -> ProjectConfigModel:
    """Set one setting of a project, keeping the value that it had before; one that is encrypted stays encrypted.

    Raises:
        ConfigurationError: it was encrypted with another key than the vault's.
        InvalidInputError: there is no such project.
    """
    await _must_be_project(session, project_id)
    values = data.columns()
    row = await store.set_config(
        session,
        project_id=project_id,
        config_type=values.pop("config_type"),
        key=values.pop("config_key"),
        value=values.pop("config_value"),
        environment=values.pop("environment", None),
        vault=vault,
        is_encrypted=values.pop("is_encrypted", None),
    )
    set_values(row, values)
    await session.flush()
    return row


async def project_config(
    session: AsyncSession, vault: Vault, project_id: UUID, *, environment: str | None = None
) -> dict[tuple[str, str], Any]:
    """Return a project's active settings by (type, key), decrypted: for our own use, not for showing."""
    return await store.config(session, project_id, vault=vault, environment=environment)


async def delete_project_config(session: AsyncSession, config_id: UUID) -> bool:
    return await delete_row(session, await store.get_project_config(session, config_id, lock=True))


async def _must_be_project(session: AsyncSession, project_id: UUID) -> None:
    if not await store.hold_project(session, project_id):
        raise _invalid("project_id", f"there is no project {project_id}")


async def _untaken(
    session: AsyncSession, provider: RepositoryProvider, full_name: str, *, but: RepositoryModel | None = None
) -> ConflictError:
    """Return the error that it would be if this name were taken; raise it when it is, by another than `but`."""
    taken = ConflictError(
        f"provider, full_name: {provider.value} {full_name} belongs to a project already",
        hint="Change that repository instead, or remove it first.",
    )
    found = await store.repository(session, provider=provider, full_name=full_name)
    if found is not None and found is not but:
        raise taken
    return taken


def _slug_taken(slug: str) -> ConflictError:
    return ConflictError(f"slug: {slug!r} is taken by another project", hint="Give the project another slug.")


def _whole_name(values: Mapping[str, Any], *, owner: str | None = None, repo_name: str | None = None) -> dict[str, str]:
    """Return a repository's owner, name and full name, each from the others; the old parts where none are given."""
    if "full_name" in values:
        owner, _, repo_name = values["full_name"].rpartition("/")
    parts = {"owner": owner, "repo_name": repo_name}
    for field, part in parts.items():
        parts[field] = values.get(field, part)
        if not parts[field]:
            raise _invalid(field, "is needed, or else full_name")
        if "full_name" in values and parts[field] != part:
            raise _invalid(field, "is not what full_name says")
    whole = {field: str(part) for field, part in parts.items()}
    return whole | {"full_name": "/".join(whole.values())}


def _invalid(field: str, problem: str) -> InvalidInputError:
    return InvalidInputError(f"{field}: {problem}", fields={field: problem})
