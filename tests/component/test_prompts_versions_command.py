"""`contexten prompts show|versions|history|label|restore|status`."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from contexten.cli import prompts_versions
from contexten_core.db import Database
from contexten_core.prompts.files import read_prompt_file
from contexten_core.prompts.spec import PromptSpec
from contexten_core.prompts.versions import save_spec
from contexten_core.settings import DatabaseConfig, get_settings

pytestmark = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)


class Terminal:
    """Somebody at the command line."""

    def __init__(self) -> None:
        self._app = typer.Typer()
        prompts_versions.register(self._app)

    async def run(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        get_settings.cache_clear()
        answer = await asyncio.to_thread(CliRunner().invoke, self._app, list(arguments))
        assert answer.exit_code == code, (answer.stdout, answer.stderr, answer.exception)
        return answer.stdout, answer.stderr

    async def json(self, *arguments: str) -> Any:
        return json.loads((await self.run(*arguments, "--json"))[0])


@pytest.fixture
async def terminal(
    database: Database, database_config: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Terminal]:
    """Somebody named mara, whose database holds the prompt `review` in two versions."""
    for name in [name for name in os.environ if name.startswith(("DB_", "CONTEXTEN_", "DATABASE_URL"))]:
        monkeypatch.delenv(name)
    assert database_config.sqlite_path is not None
    monkeypatch.chdir(database_config.sqlite_path.parent)
    monkeypatch.setenv("CONTEXTEN_HOME", str(database_config.sqlite_path.parent / "home"))
    monkeypatch.setenv("DB_USE_SQLITE", "true")
    monkeypatch.setenv("DB_SQLITE_PATH", str(database_config.sqlite_path))
    monkeypatch.setenv("LOGNAME", "mara")
    async with database.transaction() as session:
        for number in (1, 2):
            spec = PromptSpec("review", "Review", f"Review {number}", executor_config={"command": "true"})
            await save_spec(session, spec, author="ann", message=f"draft {number}")
    yield Terminal()
    get_settings.cache_clear()


async def test_a_version_is_shown_by_number_by_label_or_as_what_is_live(terminal: Terminal) -> None:
    await terminal.run("label", "review", "production", "1", "--message", "approved")

    text, about = await terminal.run("show", "review")
    (spec,) = read_prompt_file(text, name="review")
    versions = [
        (await terminal.json("show", f"review{end}"))["version"] for end in ("", "@production", "@latest", "@2")
    ]

    assert (spec.slug, spec.template) == ("review", "Review 1")
    assert about == "review, active, version 1 of 2, production\nby ann: draft 1\n"
    assert versions == [1, 1, 2, 2]


async def test_what_is_done_is_in_the_history_under_the_accounts_name(terminal: Terminal) -> None:
    await terminal.run("label", "review", "staging", "2")
    await terminal.run("label", "review", "staging", "--remove", "-m", "not yet")
    await terminal.run("restore", "review", "1")
    await terminal.run("status", "review", "inactive", "--message", "too loud")

    history = await terminal.json("history", "review")
    versions = await terminal.json("versions", "review")
    table, _ = await terminal.run("history", "review")

    assert [(row["change"], row["version"], row["author"], row["message"]) for row in history] == [
        ("status", 3, "mara", "too loud"),
        ("version", 3, "mara", "Restored version 1"),
        ("label", 2, "mara", "not yet"),
        ("label", 2, "mara", "Labelled version 2 staging"),
        ("version", 2, "ann", "draft 2"),
        ("created", 1, "ann", "draft 1"),
    ]
    assert [(row["version"], row["labels"]) for row in versions] == [(3, ["latest", "production"]), (2, []), (1, [])]
    assert "Restored version 1" in table


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("show", "nothing"), "there is no prompt 'nothing'"),
        (("show", "review@9"), "review has no version 9"),
        (("show", "review@best"), "review has no label 'best'"),
        (("versions", "nothing"), "there is no prompt 'nothing'"),
        (("history", "nothing"), "there is no prompt 'nothing'"),
        (("label", "review", "latest", "1"), "'latest' is always the newest version"),
        (("label", "review", "staging", "--remove"), "review has no label 'staging'"),
        (("restore", "review", "9"), "review has no version 9"),
    ],
)
async def test_what_is_not_there_is_said(terminal: Terminal, arguments: tuple[str, ...], problem: str) -> None:
    _, said = await terminal.run(*arguments, code=1)
    assert problem in said
    assert "Hint:" in said or "label: " in said


async def test_a_label_is_put_or_removed_not_both(terminal: Terminal) -> None:
    await terminal.run("label", "review", "staging", code=2)
    await terminal.run("label", "review", "staging", "1", "--remove", code=2)
