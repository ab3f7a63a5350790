"""A command imports what it uses: most of a short command's time is its start."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from contexten.cli import app

HEAVY = {"alembic", "fastapi", "httpx", "prefect", "psycopg", "rich", "sqlalchemy"}


@pytest.mark.parametrize("module", ["contexten", "contexten.cli", "contexten.cli.analyse, contexten.cli.impact"])
def test_nothing_heavy_is_imported(module: str) -> None:
    program = f"import {module}, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert HEAVY.intersection(loaded) == set()


def test_the_help_lists_every_command() -> None:
    said = CliRunner().invoke(app, ["--help"]).stdout
    for name in ("serve", "demo", "doctor", "run", "analyse", "impact", "events", "runs", "projects", "prompts", "db"):
        assert f" {name} " in said


def test_an_unknown_command_is_told() -> None:
    assert "No such command 'nonsense'" in CliRunner().invoke(app, ["nonsense"]).output
