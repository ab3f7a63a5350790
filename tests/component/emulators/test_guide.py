"""docs/guides/emulators.md says what is so."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contexten.cli.emulate import app

GUIDE = (Path(__file__).parents[3] / "docs" / "guides" / "emulators.md").read_text()
COMMANDS = re.findall(r"^\$ contexten emulate (.*)$", GUIDE, re.MULTILINE)
EXAMPLES = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_have_these_options(command: str) -> None:
    result = CliRunner().invoke(app, [*shlex.split(command), "--help"])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("example", EXAMPLES)
def test_its_examples_run(example: str) -> None:
    exec(example, {"__name__": "example"})
