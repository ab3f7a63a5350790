"""The starter set: prompts that are useful as they are, and that show how others are written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.codebase.testing import TestCommand
from contexten_core.projects.models import ProjectModel, ProjectStatus
from contexten_core.prompts import store
from contexten_core.prompts.define import checks_of
from contexten_core.prompts.files import read_prompt_file
from contexten_core.prompts.models import Executor, PromptStatus
from contexten_core.prompts.spec import PromptSpec
from contexten_core.prompts.versions import save_spec
from contexten_core.settings import Settings

RUN_THE_TESTS = "run-the-tests"
_FOLDER = "prompts"
_MESSAGE = "Installed with the starter set"


@dataclass(frozen=True, slots=True)
class Installed:
    """One prompt of the starter set after installing it.

    Attributes:
        status: None where it was not installed.
        why: what was done about it, or what is missing.
    """

    slug: str
    status: PromptStatus | None
    is_new: bool
    why: str


def _read() -> tuple[PromptSpec, ...]:
    folder = files(__package__) / _FOLDER
    found = [
        spec
        for file in folder.iterdir()
        if file.name.endswith(".yaml")
        for spec in read_prompt_file(file.read_text(encoding="utf-8"), name=file.name)
    ]
    return tuple(sorted(found, key=lambda spec: spec.slug))


STARTER: Sequence[PromptSpec] = _read()
"""By slug. The one that runs tests has a command that stands for each project's own."""


async def install_starter(
    session: AsyncSession,
    settings: Settings,
    *,
    author: str,
    projects: Sequence[ProjectModel],
    commands: Mapping[str, TestCommand],
) -> list[Installed]:
    """Store the prompts of the starter set that are not there yet; those that are stay as they are.

    Those that a language model carries out are inactive until one is configured.

    Args:
        projects: that get a prompt each that runs their tests.
        commands: what runs the tests, by the project's slug.
    """
    installed = []
    for spec in STARTER:
        if spec.slug != RUN_THE_TESTS:
            installed.append(await _install(session, spec, author=author, needs=_needs(spec, settings)))
            continue
        for project in projects:
            command = commands.get(project.slug)
            if project.status is ProjectStatus.ACTIVE:
                installed.append(await _install_checks(session, spec, project, command, author=author))
        if not projects:
            why = "there is no project yet; `contexten projects add` adds one with its checks"
            installed.append(Installed(spec.slug, None, is_new=False, why=why))
    return installed


def _needs(spec: PromptSpec, settings: Settings) -> str | None:
    """Return what has to be configured before a prompt can be carried out."""
    if spec.executor is not Executor.LLM or spec.executor_config.get("model") or settings.llm_model:
        return None
    return f"set LLM_MODEL and its key, then run `contexten prompts status {spec.slug} active`"


async def _install(session: AsyncSession, spec: PromptSpec, *, author: str, needs: str | None) -> Installed:
    there = await store.by_slug(session, spec.slug)
    if there is not None:
        return Installed(spec.slug, there.status, is_new=False, why="was there already")
    status = PromptStatus.INACTIVE if needs else PromptStatus.ACTIVE
    await save_spec(session, spec, author=author, message=_MESSAGE, status=status, expected_version=0)
    return Installed(spec.slug, status, is_new=True, why=needs or "installed")


async def _install_checks(
    session: AsyncSession, spec: PromptSpec, project: ProjectModel, command: TestCommand | None, *, author: str
) -> Installed:
    """Store a project's checks under the slug that `contexten projects add` gives them."""
    usual = checks_of(
        project_slug=project.slug,
        project_name=project.name,
        command="" if command is None else command.command,
        limits=spec.limits,
    )
    of_project = replace(
        spec,
        slug=usual.slug,
        name=usual.name,
        conditions=(usual.conditions[0], *spec.conditions),
        executor_config=usual.executor_config,
    )
    there = await store.by_slug(session, usual.slug)
    if there is not None or command is not None:
        done = await _install(session, of_project, author=author, needs=None)
        return (
            done if there is not None or command is None else replace(done, why=f"{command.command}: {command.reason}")
        )
    why = f"nothing says how its tests are run; `contexten projects add {project.full_name or project.slug} --command`"
    return Installed(usual.slug, None, is_new=False, why=why)
