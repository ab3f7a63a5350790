"""`.contexten.yaml` is read from the base branch of the repository, and from nowhere else."""

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contexten_core.events.normalise import NormalisedEvent
from contexten_core.projects import store
from contexten_core.projects.add import add_repository
from contexten_core.projects.resolve import Target
from contexten_core.prompts.models import Executor
from contexten_core.prompts.project_file import source as project_file_source
from contexten_core.prompts.project_file.read import ProjectFile, apply
from contexten_core.prompts.project_file.source import project_file_of

if TYPE_CHECKING:
    from tests.component.conftest import Worker

pytestmark = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)

FILE = """\
prompts:
  - slug: docs
    name: Docs
    when: {event.type: push}
    do: {command: make docs}
    template: Build the documentation.
"""
PUSH = NormalisedEvent("push", "acme/cashbox main push", branch="topic")


class Origin:
    """The repository `acme/cashbox`, and a project for it."""

    def __init__(self, worker: "Worker", folder: Path) -> None:
        self._worker = worker
        self._folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.target: Target

    async def add(self) -> None:
        async with self._worker.database.transaction() as session:
            project, repository = await add_repository(session, full_name="acme/cashbox", clone_url=str(self._folder))
        self.target = Target(
            project_id=project.id,
            project_slug=project.slug,
            project_name=project.name,
            repository_id=repository.id,
            repository="acme/cashbox",
            clone_url=str(self._folder),
            default_branch="main",
            commit="0" * 40,
            ref=None,
            allow_local=True,
            api_url=None,
        )

    def git(self, *arguments: str) -> None:
        environment = {"PATH": os.environ["PATH"], "HOME": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        subprocess.run(["git", *who, *arguments], cwd=self._folder, env=environment, capture_output=True, check=True)

    def commit(self, text: str | bytes | None, *, branch: str = "main", name: str = ".contexten.yaml") -> None:
        self.git("checkout", "--quiet", "-B", branch)
        if text is not None:
            (self._folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=work")

    def link(self, name: str, to: str) -> None:
        (self._folder / name).symlink_to(to)
        self.commit(None)

    async def file(self, event: NormalisedEvent = PUSH) -> ProjectFile | None:
        return await project_file_of(self._worker.runtime, self.target, event)

    async def problem(self) -> str:
        file = await self.file()
        assert file is not None
        assert file.problem is not None
        assert apply([], file) == []
        return file.problem


@pytest.fixture
async def origin(worker: "Worker", tmp_path: Path) -> Origin:
    origin = Origin(worker, tmp_path / "origin")
    await origin.add()
    return origin


async def test_the_file_of_the_default_branch_counts(origin: Origin) -> None:
    origin.commit(FILE)
    origin.commit(FILE.replace("make docs", "make evil"), branch="topic")
    file = await origin.file()

    assert file is not None
    assert file.problem is None
    assert [spec.executor_config for spec in file.prompts] == [{"command": "make docs"}]
    assert file.name.startswith(".contexten.yaml of acme/cashbox at ")


async def test_of_a_pull_request_it_is_that_of_the_branch_it_goes_to(origin: Origin) -> None:
    origin.commit(FILE)
    origin.commit(FILE.replace("make docs", "make old"), branch="release")
    origin.commit(FILE.replace("make docs", "make evil"), branch="topic")
    event = NormalisedEvent("pull_request", "acme/cashbox#7", branch="topic", base_branch="release")
    file = await origin.file(event)

    assert file is not None
    assert file.prompts[0].executor_config == {"command": "make old"}


@pytest.mark.parametrize("text", [None, ""])
async def test_a_repository_without_prompts_of_its_own(origin: Origin, text: str | None) -> None:
    origin.commit(text)
    file = await origin.file()

    assert file is None or (file.prompts, file.problem) == ((), None)


async def test_a_repository_without_a_commit_has_no_file(origin: Origin) -> None:
    assert await origin.file() is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            FILE.replace("docs\n    name", "Docs\n    name"),
            ":2:11: prompts[0].slug: the text 'Docs' is not of the form",
        ),
        ("a: &a [*a]\n", ":1:4: a: anchors (&name) are not taken"),
        (b"prompts: \xff\n", ":1:10: the byte 0xff is not UTF-8"),
        (b"#" * 300_000, ":1:1: the file has 300000 bytes"),
        (FILE + "    limits: {wall_seconds: 1800}\n", ":7:28: prompts[0].limits.wall_seconds: is more than the 900"),
    ],
    ids=["slug", "bomb", "bytes", "size", "power"],
)
async def test_a_file_that_cannot_be_read_stands_for_no_prompt(origin: Origin, text: str | bytes, problem: str) -> None:
    origin.commit(text)

    assert problem in await origin.problem()


async def test_a_link_or_another_name_is_not_overlooked(origin: Origin) -> None:
    origin.link(".contexten.yaml", "/etc/passwd")
    assert "it is no regular file" in await origin.problem()


async def test_the_other_ending_is_not_overlooked(origin: Origin) -> None:
    origin.commit("narrow: {}", name=".contexten.yml")

    assert "rename it to .contexten.yaml" in await origin.problem()


async def test_the_repository_is_asked_once_a_minute(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    origin.commit(FILE)
    first = await origin.file()
    origin.commit("narrow: {}")
    assert await origin.file() is first

    monkeypatch.setattr(project_file_source, "FRESH_SECONDS", 0.0)
    second = await origin.file()
    assert second is not None
    assert second.prompts == ()
    assert await origin.file() is second


async def test_a_project_widens_what_its_file_may_do(
    origin: Origin, worker: "Worker", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project_file_source, "FRESH_SECONDS", 0.0)
    origin.commit(FILE.replace("{command: make docs}", "{llm: {}}"))
    assert "may not use this executor" in await origin.problem()

    async def allow(value: object) -> None:
        async with worker.database.transaction() as session:
            await store.set_config(
                session, project_id=origin.target.project_id, config_type="prompts", key="file_power", value=value
            )

    await allow({"executors": ["llm"]})
    file = await origin.file()
    assert file is not None
    assert [spec.executor for spec in file.prompts] == [Executor.LLM]
    await allow({"executor": "llm"})
    assert "file_power of prompts" in await origin.problem()
