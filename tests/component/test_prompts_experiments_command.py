"""`contexten prompts experiment` and `contexten prompts usage`."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
import typer
from typer.testing import CliRunner

from contexten.cli import prompts_experiments
from contexten_core.db import Database, utc_now
from contexten_core.projects.add import add_repository
from contexten_core.prompts.labels import labels_of
from contexten_core.prompts.models import ExperimentStatus, PromptExperimentModel
from contexten_core.prompts.spec import PromptSpec
from contexten_core.prompts.usage import count_outcome
from contexten_core.prompts.versions import save_spec
from contexten_core.settings import DatabaseConfig, get_settings

pytestmark = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)
HALVES = ("--variant", "1:50", "--variant", "2:50")


class Terminal:
    """Somebody at the command line, and the database that it works on, with the prompt `checks`."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.prompt_id: UUID
        self.app = typer.Typer()
        prompts_experiments.register(self.app)

    async def run(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        get_settings.cache_clear()
        answer = await asyncio.to_thread(CliRunner().invoke, self.app, list(arguments))
        assert answer.exit_code == code, (answer.stdout, answer.stderr, answer.exception)
        return answer.stdout, answer.stderr

    async def json(self, *arguments: str) -> Any:
        return json.loads((await self.run(*arguments, "--json"))[0])


@pytest.fixture
async def terminal(
    database: Database, database_config: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Terminal]:
    for name in [name for name in os.environ if name.startswith(("DB_", "CONTEXTEN_", "DATABASE_URL"))]:
        monkeypatch.delenv(name)
    assert database_config.sqlite_path is not None
    monkeypatch.chdir(database_config.sqlite_path.parent)
    monkeypatch.setenv("CONTEXTEN_HOME", str(database_config.sqlite_path.parent / "home"))
    monkeypatch.setenv("DB_USE_SQLITE", "true")
    monkeypatch.setenv("DB_SQLITE_PATH", str(database_config.sqlite_path))
    monkeypatch.setenv("LOGNAME", "mara")
    terminal = Terminal(database)
    async with database.transaction() as session:
        for text in ("Run them.", "Run them all."):
            spec = PromptSpec(slug="checks", name="Checks", template=text)
            saved = await save_spec(session, spec, author="mara", message="Checks")
    terminal.prompt_id = saved.prompt.id
    yield terminal
    get_settings.cache_clear()


async def test_an_experiment_is_started_shown_and_stopped(terminal: Terminal) -> None:
    _, err = await terminal.run("experiment", "start", "checks", *HALVES, "--minimum", "10", "--success-rate", "0.8")
    assert err == "The experiment checks: 1 vs 2 is running.\n"
    out, _ = await terminal.run("experiment", "show", "checks")
    assert "1 (control)  50" in out
    assert "by mara" in out
    shown = await terminal.json("experiment", "show", "checks")
    assert (shown["author"], shown["minimum_samples"], shown["guardrails"]) == ("mara", 10, {"success_rate": 0.8})
    assert [one["version"] for one in shown["results"]["variants"]] == [1, 2]

    _, err = await terminal.run("experiment", "start", "checks", *HALVES, code=1)
    assert "an experiment of checks is running" in err
    assert (await terminal.json("experiment", "stop", "checks"))["status"] == "stopped"
    _, err = await terminal.run("experiment", "accept", "checks", code=1)
    assert "proposes no version: it is stopped" in err


async def test_a_proposal_is_accepted(terminal: Terminal) -> None:
    await terminal.run("experiment", "start", "checks", *HALVES)
    async with terminal.database.transaction() as session:
        found = await session.get(PromptExperimentModel, UUID((await _only(terminal))["id"]))
        assert found is not None
        found.status = ExperimentStatus.CONCLUDED
        found.proposal = {"version": 2, "reason": "it is better"}
    out, _ = await terminal.run("experiment", "show", "checks")
    assert "proposes version 2: it is better" in out
    _, err = await terminal.run("experiment", "accept", "checks", "--message", "As measured")
    assert err == "Version 2 of checks is live now.\n"
    async with terminal.database.reading() as session:
        assert await labels_of(session, terminal.prompt_id) == {"production": 2}


async def _only(terminal: Terminal) -> dict[str, Any]:
    shown: dict[str, Any] = await terminal.json("experiment", "show", "checks")
    return shown


@pytest.mark.parametrize("variant", ["3", "3:", "3:-1", "3:nan", "x:50", "3:50:60", "9" * 30 + ":1"])
async def test_a_variant_is_a_version_and_a_weight(terminal: Terminal, variant: str) -> None:
    _, err = await terminal.run("experiment", "start", "checks", "--variant", variant, code=2)
    assert "VERSION:WEIGHT," in err


async def test_what_is_not_there_is_said(terminal: Terminal) -> None:
    _, err = await terminal.run("experiment", "show", "nothing", code=1)
    assert "there is no prompt 'nothing'" in err
    _, err = await terminal.run("experiment", "stop", "checks", code=1)
    assert "there is no experiment of checks" in err


async def test_usage_is_shown(terminal: Terminal) -> None:
    async with terminal.database.transaction() as session:
        project, _ = await add_repository(session, full_name="acme/cashbox")
        for succeeded in (True, False):
            await count_outcome(
                session,
                prompt_id=terminal.prompt_id,
                version=2,
                project_id=project.id,
                run_id=uuid4(),
                succeeded=succeeded,
                is_error=False,
                seconds=4.0,
                now=utc_now(),
            )
    out, _ = await terminal.run("usage", "checks", "--by", "project")
    assert "acme-cashbox  2     50% (9% to 91%)" in out
    (row,) = await terminal.json("usage", "checks")
    assert (row["key"], row["uses"], row["success_rate"], row["mean_seconds"]) == (2, 2, 0.5, 4.0)
