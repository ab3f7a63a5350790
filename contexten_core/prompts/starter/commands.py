"""Which command runs the tests of each project: what its settings say, else what its files imply."""

import asyncio
from collections.abc import Sequence

from contexten_core.codebase.roles import is_test, is_vendored
from contexten_core.codebase.testing import READ, TestCommand, find_tests
from contexten_core.errors import GitError
from contexten_core.execution.git import Mirror
from contexten_core.execution.git_token import token_for
from contexten_core.projects import store
from contexten_core.projects.models import ProjectModel, RepositoryModel
from contexten_core.runtime import Runtime

_LARGEST_READ = 1_000_000
_AT_ONCE = 4


async def commands_of(runtime: Runtime, projects: Sequence[ProjectModel]) -> tuple[dict[str, TestCommand], list[str]]:
    """Return the command of each project whose command is known, by its slug, and what could not be looked at.

    The setting `command` of `checks` comes first. Else the newest commit of the project's one repository is looked at,
    over the network where it is not here yet.
    """
    at_once = asyncio.Semaphore(_AT_ONCE)

    async def find(project: ProjectModel) -> TestCommand | GitError | None:
        async with at_once:
            try:
                return await _command_of(runtime, project)
            except GitError as error:
                return error

    found = await asyncio.gather(*(find(project) for project in projects))
    pairs = list(zip(projects, found, strict=True))
    commands = {project.slug: command for project, command in pairs if isinstance(command, TestCommand)}
    return commands, [f"{project.slug}: {error.message}" for project, error in pairs if isinstance(error, GitError)]


async def _command_of(runtime: Runtime, project: ProjectModel) -> TestCommand | None:
    async with runtime.database.reading() as session:
        environment = runtime.settings.environment.value
        config = await store.config(session, project.id, vault=runtime.vault, environment=environment)
        repositories = await store.repositories_of(session, project.id)
    said = config.get(("checks", "command"))
    if isinstance(said, str) and said.strip():
        return TestCommand(said, "the project's setting says so")
    if len(repositories) != 1 or repositories[0].clone_url is None:
        return None
    allow_local = config.get(("git", "allow_local")) is True
    return await asyncio.to_thread(_detected, runtime, repositories[0], repositories[0].clone_url, allow_local)


def _detected(runtime: Runtime, repository: RepositoryModel, clone_url: str, allow_local: bool) -> TestCommand | None:
    mirror: Mirror = runtime.mirrors.open(clone_url, token_for(runtime.settings, clone_url), allow_local=allow_local)
    ref = f"refs/heads/{repository.default_branch}"
    commit = mirror.head(ref)
    mirror.fetch(commit, ref)
    blobs = {entry.path: entry.blob_id for entry in mirror.files(commit)}
    wanted = {blobs[path]: path for path in READ if path in blobs}
    contents = {wanted[blob]: data for blob, data in mirror.read(wanted, max_bytes=_LARGEST_READ)}
    tests = [path for path in blobs if is_test(path) and not is_vendored(path)]
    layout = find_tests(paths=blobs, tests=tests, contents=contents)
    return next(iter(layout.commands), None)
