"""Prompts pulled into a folder, changed there and pushed again; and what happens when somebody else did so first."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from contexten.cli import prompts_files
from contexten_core.db import Database
from contexten_core.errors import ConflictError
from contexten_core.prompts import store
from contexten_core.prompts.changes import page_changes
from contexten_core.prompts.files import PromptFileError
from contexten_core.prompts.files.folder import Written, pull_into
from contexten_core.prompts.files.push import Change, Pushed, push, read_files
from contexten_core.prompts.files.version import with_versions
from contexten_core.prompts.models import PromptStatus
from contexten_core.prompts.starter.install import STARTER, install_starter
from contexten_core.settings import DatabaseConfig, Settings, get_settings

CHECKS = """\
# What runs on every push.
prompts:
  - slug: checks  # ours
    name: Checks
    when: {event.type: push}
    do: {command: make test}
    template: Run the checks.
"""
OTHER = CHECKS.replace("slug: checks", "slug: other")


async def _push(
    database: Database, text: str, *, author: str = "ada", message: str = "work", overwrite: bool = False
) -> list[Pushed]:
    ((_, prompts),) = read_files({"checks.yaml": text}).items()
    async with database.transaction() as session:
        return await push(session, prompts, author=author, message=message, overwrite=overwrite)


async def _template(database: Database, slug: str = "checks") -> str | None:
    async with database.reading() as session:
        prompt = await store.by_slug(session, slug)
        return None if prompt is None else prompt.template


async def _pull(database: Database, folder: Path, *, slugs: Sequence[str] = (), force: bool = False) -> list[Written]:
    async with database.reading() as session:
        return await pull_into(session, folder, slugs=list(slugs) or None, force=force)


async def test_what_is_pushed_is_stored_with_author_and_message(database: Database) -> None:
    assert await _push(database, CHECKS) == [Pushed("checks", 1, Change.CREATED)]
    assert await _push(database, CHECKS) == [Pushed("checks", 1, Change.UNCHANGED)]
    changed = with_versions(CHECKS, {"checks": 1}).replace("Run the", "Run all")
    assert await _push(database, changed, message="All of them") == [Pushed("checks", 2, Change.CHANGED)]

    async with database.reading() as session:
        changes = (await page_changes(session, slug="checks", limit=10)).rows
    assert [(row.version, row.author, row.message) for row in changes] == [
        (2, "ada", "All of them"),
        (1, "ada", "work"),
    ]


async def test_of_two_people_who_push_at_once_one_is_told(database: Database) -> None:
    await _push(database, CHECKS)
    mine, theirs = (with_versions(CHECKS, {"checks": 1}).replace("Run", word) for word in ("Start", "Do"))
    done = await asyncio.gather(
        _push(database, mine, author="ada"), _push(database, theirs, author="grace"), return_exceptions=True
    )

    ((_, kept),) = [(one, text) for one, text in zip(done, ("Start", "Do"), strict=True) if isinstance(one, list)]
    (refused,) = [one for one in done if isinstance(one, ConflictError)]
    assert "version 1 by ada" in refused.message
    assert "version 2 by" in refused.message
    assert await _template(database) == f"{kept} the checks."


async def test_a_file_without_a_version_does_not_write_over_a_prompt_that_is_there(database: Database) -> None:
    await _push(database, CHECKS)
    with pytest.raises(ConflictError, match="there is a prompt 'checks' already"):
        await _push(database, CHECKS.replace("Run", "Do"))

    assert await _push(database, CHECKS.replace("Run", "Do"), overwrite=True) == [Pushed("checks", 2, Change.CHANGED)]


async def test_a_push_stores_all_prompts_or_none(database: Database) -> None:
    await _push(database, CHECKS)
    files = read_files({"other.yaml": OTHER, "checks.yaml": CHECKS.replace("Run", "Do")})
    with pytest.raises(ConflictError):
        async with database.transaction() as session:
            await push(session, [prompt for found in files.values() for prompt in found], author="ada", message="x")

    assert (await _template(database), await _template(database, "other")) == ("Run the checks.", None)


@pytest.mark.parametrize(
    "bad", ["    template: {{ nobody }}\n", "    limits: *more\n", "    template: '{{ nobody }}'\n"]
)
async def test_a_file_that_is_wrong_leaves_the_prompt_as_it_was(database: Database, bad: str) -> None:
    await _push(database, CHECKS)
    with pytest.raises(PromptFileError):
        await _push(database, CHECKS.replace("    template: Run the checks.\n", bad), overwrite=True)

    assert await _template(database) == "Run the checks."


def test_two_files_cannot_have_the_same_prompt() -> None:
    with pytest.raises(PromptFileError, match=r"b\.yaml:3:5: prompts\[0\]: a\.yaml has a prompt of the same slug"):
        read_files({"a.yaml": CHECKS, "b.yaml": CHECKS})


@pytest.mark.parametrize(
    ("text", "noted"),
    [
        (CHECKS, CHECKS.replace("  # ours\n", "  # ours\n    version: 7\n")),
        (
            CHECKS.replace("    name", "    version: 3  # so far\n    name"),
            CHECKS.replace("    name", "    version: 7  # so far\n    name"),
        ),
        (
            "prompts: [{slug: checks, version: 12, name: A, template: x}]",
            "prompts: [{slug: checks, version: 7, name: A, template: x}]",
        ),
        ("prompts: [{slug: checks, name: A, template: x}]", "prompts: [{slug: checks, name: A, template: x}]"),
        (
            CHECKS.replace("\n", "\r\n"),
            CHECKS.replace("  # ours\n", "  # ours\n    version: 7\n").replace("\n", "\r\n"),
        ),
    ],
    ids=["without", "with", "on one line", "no room", "of Windows"],
)
def test_the_new_version_is_noted_in_the_file_and_nothing_else_is_changed(text: str, noted: str) -> None:
    assert with_versions(text, {"checks": 7}) == noted


async def test_a_prompt_is_pulled_into_a_file_that_can_be_pushed(database: Database, tmp_path: Path) -> None:
    await _push(database, CHECKS)
    assert await _pull(database, tmp_path) == [Written(tmp_path / "checks.yaml", "checks", 1)]
    text = (tmp_path / "checks.yaml").read_text()

    assert text.startswith(
        "# yaml-language-server: $schema=prompts.schema.json\nprompts:\n  - slug: checks\n    version: 1\n"
    )
    assert (tmp_path / "prompts.schema.json").is_file()
    assert await _push(database, text) == [Pushed("checks", 1, Change.UNCHANGED)]
    assert await _push(database, text.replace("Run", "Do")) == [Pushed("checks", 2, Change.CHANGED)]


async def test_a_pull_leaves_changes_that_were_not_pushed(database: Database, tmp_path: Path) -> None:
    await _push(database, CHECKS)
    await _pull(database, tmp_path)
    file = tmp_path / "checks.yaml"
    file.write_text(mine := file.read_text().replace("Run", "Start"))
    await _push(database, with_versions(CHECKS, {"checks": 1}).replace("Run", "Do"))

    (left,) = await _pull(database, tmp_path)
    assert left.problem is not None
    assert "changes of checks that were not pushed" in left.problem
    assert file.read_text() == mine
    (written,) = await _pull(database, tmp_path, force=True)
    assert written.problem is None
    assert "template: Do the checks." in file.read_text()


async def test_a_pull_leaves_a_file_that_says_the_same_with_its_comments(database: Database, tmp_path: Path) -> None:
    await _push(database, CHECKS)
    (tmp_path / "mine.yaml").write_text(text := with_versions(CHECKS, {"checks": 1}))
    await _pull(database, tmp_path)

    assert (tmp_path / "mine.yaml").read_text() == text
    assert not (tmp_path / "checks.yaml").exists()


async def test_the_starter_set_is_installed_once(database: Database) -> None:
    async def install(**settings: object) -> dict[str, tuple[PromptStatus | None, bool]]:
        given = Settings.model_validate({"llm_model": None} | settings)
        async with database.transaction() as session:
            found = await install_starter(session, given, author="ada", projects=[], commands={})
        return {one.slug: (one.status, one.is_new) for one in found}

    first = await install()
    assert first.pop("run-the-tests") == (None, False)
    assert set(first.values()) == {(PromptStatus.INACTIVE, True)}
    assert len(first) == len(STARTER) - 1
    again = await install(llm_model="openai:gpt-5")
    assert {again[slug] for slug in first} == {(PromptStatus.INACTIVE, False)}


class Command:
    """`contexten prompts` on a database of its own."""

    def __init__(self) -> None:
        self.app = typer.Typer()
        prompts_files.register(self.app)

    def run(self, *arguments: str, code: int = 0) -> Result:
        get_settings.cache_clear()
        answer = CliRunner().invoke(self.app, list(arguments))
        assert answer.exit_code == code, (answer.stdout, answer.stderr, answer.exception)
        return answer


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sqlite_template: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("DB_", "CONTEXTEN_", "DATABASE_URL")):
            monkeypatch.delenv(name)
    (tmp_path / "prompts.db").write_bytes(sqlite_template.read_bytes())
    config = DatabaseConfig(use_sqlite=True, sqlite_path=tmp_path / "prompts.db")
    monkeypatch.setenv("CONTEXTEN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DB_USE_SQLITE", "true")
    monkeypatch.setenv("DB_SQLITE_PATH", str(config.sqlite_path))
    return Command()


def test_the_command_line_pushes_pulls_and_compares(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "mine" / "checks.yaml"
    file.parent.mkdir()
    file.write_text(CHECKS)

    assert "+    template: Run the checks." in command.run("diff", "mine", code=1).stdout
    assert "Nothing was stored." in command.run("push", "mine", "--dry-run").stderr
    command.run("diff", "mine", code=1)
    assert "created" in command.run("push", "mine", "-m", "first").stdout
    assert command.run("diff", "mine").stdout == ""
    assert file.read_text() == CHECKS.replace("  # ours\n", "  # ours\n    version: 1\n")
    file.write_text(file.read_text().replace("Run", "Do"))
    assert "changed" in command.run("push", str(file)).stdout
    assert "version: 2" in file.read_text()
    assert "1 prompts are in theirs." in command.run("pull", "theirs", "--slug", "checks").stderr
    assert "template: Do the checks." in (tmp_path / "theirs" / "checks.yaml").read_text()
    assert "there is no prompt 'nobody'" in command.run("pull", "theirs", "--slug", "nobody", code=1).stderr
    file.write_text("prompts:\n  - slug: Checks\n")
    assert "checks.yaml:2:11: prompts[0].slug" in command.run("push", "mine", code=1).stderr
    assert '"$schema": "https://json-schema.org/draft/2020-12/schema"' in command.run("schema").stdout
    assert "narrow" in command.run("schema", "--project").stdout


def test_the_command_line_installs_the_starter_set(command: Command) -> None:
    told = command.run("init").stdout

    assert "triage-issue" in told
    assert "set LLM_MODEL" in told
    assert "was there already" in command.run("init").stdout
