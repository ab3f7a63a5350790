"""The demo's projects in the store."""

from contexten.emulators.repositories import DemoRepositories, DemoRepository
from contexten_core.db import Database
from contexten_core.events import store
from contexten_core.projects import store as project_store
from contexten_core.projects.add import add_repository, slug_of
from contexten_core.projects.models import RepositoryProvider
from contexten_core.prompts.define import checks_of, define_prompt

NAMES = ("acme/thermometer", "acme/cashbox")
COMMAND = "python -m pytest -q"
_LIMITS = {"wall_seconds": 120}


async def is_store_empty(database: Database) -> bool:
    """Tell whether nothing has been stored yet: no event and no project."""
    async with database.reading() as session:
        return not await store.newest(session, limit=1) and not await project_store.newest(session, limit=1)


async def is_demo_there(database: Database) -> bool:
    async with database.reading() as session:
        found = await project_store.repository(session, provider=RepositoryProvider.GITHUB, full_name=NAMES[0])
    return found is not None


async def add_projects(database: Database, repositories: DemoRepositories, *, github_url: str) -> None:
    """Make both repositories known: cloned from their folders, reporting to the emulator at `github_url`."""
    async with database.transaction() as session:
        for repository in (repositories.thermometer, repositories.cashbox):
            project, _ = await add_repository(
                session,
                full_name=repository.full_name,
                clone_url=str(repository.path),
                default_branch=repository.default_branch,
                config={("github", "api_url"): github_url},
            )
            spec = checks_of(project_slug=project.slug, project_name=project.name, command=COMMAND, limits=_LIMITS)
            await define_prompt(session, spec)


async def report_to(database: Database, github_url: str) -> None:
    """Have the demo's projects report to the emulator that runs now."""
    async with database.transaction() as session:
        for name in NAMES:
            project = await project_store.by_slug(session, slug_of(name))
            if project is not None:
                await project_store.set_config(
                    session, project_id=project.id, config_type="github", key="api_url", value=github_url
                )


def context_of(repository: DemoRepository) -> str:
    """Return the name under which the demo's statuses appear on a commit."""
    return f"contexten/{slug_of(repository.full_name)}-checks"
