"""The command that runs a project's tests is what its setting says, else what its files imply."""

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contexten_core.codebase.testing import TestCommand
from contexten_core.projects.add import add_repository
from contexten_core.projects.models import ProjectModel
from contexten_core.prompts import store
from contexten_core.prompts.models import PromptStatus
from contexten_core.prompts.starter.commands import commands_of
from contexten_core.prompts.starter.install import Installed, install_starter

if TYPE_CHECKING:
    from tests.component.conftest import Worker

pytestmark = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    folder = tmp_path / "origin"
    folder.mkdir()
    (folder / "Makefile").write_text("test:\n\tpython -m unittest\n")
    environment = {"PATH": os.environ["PATH"], "HOME": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    for arguments in (["init", "--quiet", "--initial-branch=main"], ["add", "."], ["commit", "--quiet", "-m", "work"]):
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        subprocess.run(["git", *who, *arguments], cwd=folder, env=environment, capture_output=True, check=True)
    return folder


async def _add(worker: "Worker", name: str, address: Path, *, command: str | None = None) -> ProjectModel:
    config = {("checks", "command"): command} if command else None
    async with worker.database.transaction() as session:
        return (await add_repository(session, full_name=name, clone_url=str(address), config=config))[0]


async def _install(worker: "Worker", *projects: ProjectModel) -> dict[str, Installed]:
    commands, _ = await commands_of(worker.runtime, projects)
    async with worker.database.transaction() as session:
        done = await install_starter(
            session, worker.runtime.settings, author="ada", projects=projects, commands=commands
        )
    return {one.slug: one for one in done}


async def test_the_files_of_a_project_imply_its_command(worker: "Worker", origin: Path) -> None:
    commands, unseen = await commands_of(worker.runtime, [await _add(worker, "acme/cashbox", origin)])

    assert commands == {"acme-cashbox": TestCommand("make test", "Makefile has the target test")}
    assert unseen == []


async def test_its_setting_comes_first(worker: "Worker", origin: Path) -> None:
    commands, _ = await commands_of(worker.runtime, [await _add(worker, "acme/cashbox", origin, command="tox -q")])

    assert commands["acme-cashbox"].command == "tox -q"


async def test_a_repository_that_is_not_there_is_told(worker: "Worker", tmp_path: Path) -> None:
    commands, unseen = await commands_of(worker.runtime, [await _add(worker, "acme/gone", tmp_path / "gone")])

    assert commands == {}
    assert len(unseen) == 1
    assert unseen[0].startswith("acme-gone: ")


async def test_each_project_gets_a_prompt_that_runs_its_own_tests(
    worker: "Worker", origin: Path, tmp_path: Path
) -> None:
    projects = [await _add(worker, "acme/cashbox", origin), await _add(worker, "acme/gone", tmp_path / "gone")]
    installed = await _install(worker, *projects)

    assert (installed["acme-cashbox-checks"].status, installed["acme-cashbox-checks"].is_new) == (
        PromptStatus.ACTIVE,
        True,
    )
    assert installed["acme-gone-checks"].status is None
    async with worker.database.reading() as session:
        prompt = await store.by_slug(session, "acme-cashbox-checks")
        assert prompt is not None
        conditions = await store.conditions_of(session, prompt.id)
    assert prompt.executor_config == {"command": "make test"}
    assert ("project.slug", "acme-cashbox") in {(row.field_name, str(row.expected_value)) for row in conditions}
    assert not (await _install(worker, *projects))["acme-cashbox-checks"].is_new
