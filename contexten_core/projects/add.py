"""Make a repository known, with the project that it belongs to."""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.errors import ConfigurationError
from contexten_core.events.emit import PROJECT_CREATED, emit
from contexten_core.projects import store
from contexten_core.projects.models import ProjectModel, RepositoryModel, RepositoryProvider

_PART = r"[A-Za-z0-9._-]{1,100}"
_FULL_NAME = re.compile(rf"({_PART})/({_PART})")


def slug_of(full_name: str) -> str:
    """Return the project's slug for a repository: `Acme/Cash.Box` is `acme-cash-box`."""
    return re.sub(r"[^a-z0-9]+", "-", full_name.lower()).strip("-")


async def add_repository(
    session: AsyncSession,
    *,
    full_name: str,
    clone_url: str | None = None,
    default_branch: str = "main",
    config: Mapping[tuple[str, str], Any] | None = None,
) -> tuple[ProjectModel, RepositoryModel]:
    """Add a GitHub repository and a project for it, or change the address and settings of the one that is there.

    Args:
        full_name: `owner/name`, as webhooks say it.
        clone_url: where its code is; GitHub itself when left out. An absolute path is a repository on this machine.
        config: settings of the project by (type, key).

    Raises:
        ConfigurationError: not `owner/name`.
    """
    match = _FULL_NAME.fullmatch(full_name)
    if match is None or slug_of(full_name) == "":
        raise ConfigurationError(f"{full_name[:120]!r} is not the name of a repository", hint="write owner/name")
    is_local = clone_url is not None and clone_url.startswith("/")
    address = clone_url or f"https://github.com/{full_name}.git"
    repository = await store.repository(session, provider=RepositoryProvider.GITHUB, full_name=full_name)
    project = await store.get(session, repository.project_id) if repository else None
    if project is None:
        slug = slug_of(full_name)
        if await store.by_slug(session, slug) is not None:
            slug = f"{slug}-{sha256(full_name.lower().encode()).hexdigest()[:8]}"
        project = ProjectModel(
            id=uuid4(), name=full_name, slug=slug, full_name=full_name, default_branch=default_branch
        )
        session.add(project)
        await session.flush()
        told = {"project_id": str(project.id), "project_data": project.to_dict()}
        await emit(session, PROJECT_CREATED, told, project_id=project.id)
    if repository is None:
        repository = RepositoryModel(
            id=uuid4(),
            name=full_name,
            provider=RepositoryProvider.GITHUB,
            owner=match[1],
            repo_name=match[2],
            full_name=full_name,
            project_id=project.id,
        )
        session.add(repository)
    repository.clone_url, repository.default_branch = address, default_branch
    for (config_type, key), value in {("git", "allow_local"): is_local, **(config or {})}.items():
        await store.set_config(session, project_id=project.id, config_type=config_type, key=key, value=value)
    await session.flush()
    return project, repository
