"""docs/guides/prompts.md shows files that can be read, and commands and keys that there are."""

import re
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from contexten.cli import (
    prompts_check,
    prompts_experiments,
    prompts_explain,
    prompts_files,
    prompts_preview,
    prompts_versions,
)
from contexten_core.prompts.files import read_prompts, schema
from contexten_core.prompts.models import ConditionOperator
from contexten_core.prompts.project_file.read import read_project_file
from contexten_core.prompts.starter.install import STARTER

GUIDE = (Path(__file__).parents[3] / "docs/guides/prompts.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split("\n")[1].strip())
def test_its_examples_can_be_read(example: str) -> None:
    if example.startswith("# .contexten.yaml"):
        assert read_project_file(example, name="guide", repository="acme/cashbox").prompts
    else:
        assert read_prompts(example, name="guide", texts=True)


def test_the_commands_that_it_names_are_there() -> None:
    app = typer.Typer()
    for owner in (
        prompts_check,
        prompts_experiments,
        prompts_explain,
        prompts_files,
        prompts_preview,
        prompts_versions,
    ):
        owner.register(app)
    there = set(get_command(app).commands) | {"list"}  # type: ignore[attr-defined] # it is a group

    assert set(re.findall(r"contexten prompts (\w+)", GUIDE)) <= there


def test_it_names_every_key_operator_and_prompt() -> None:
    words = set(re.findall(r"[\w/-]+", GUIDE))

    assert words >= set(schema()["$defs"]["PromptPart"]["properties"])
    assert words >= set(schema()["$defs"]["LimitsPart"]["properties"])
    assert words >= {operator.value for operator in ConditionOperator} - {"regex_match"} | {"matches"}
    assert words >= {spec.slug for spec in STARTER if spec.slug != "run-the-tests"}
