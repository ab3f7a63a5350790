"""`contexten prompts lint PATH`: the check of a repository of prompts, without any database."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from contexten.cli.prompts_check import register

FILE = """\
prompts:
  - slug: checks
    name: Checks
    when:
      event.type: push
      event.action: opened
    do: {command: make test}
    template: Run the checks.
  - slug: review
    name: Review
    when:
      event.type: pull_request
      event.provider: [linear]
      event.number: "7"
    do: {llm: {model: "openai:gpt-5"}}
    outputs: {comment: {}}
    template: |
      Look at it.
      {% include "rules" %}
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "all.yaml").write_text(FILE)
    return tmp_path


def lint(*arguments: str) -> Result:
    app = typer.Typer()
    register(app)
    return CliRunner().invoke(app, ["lint", *arguments])


@pytest.mark.usefixtures("repository")
def test_findings_are_told_with_their_places() -> None:
    result = lint("prompts")
    lines = result.stdout.splitlines()

    assert result.exit_code == 1
    assert [line.split(" ")[:3] for line in lines] == [
        ["prompts/all.yaml:6:7:", "warning", "unknown-event"],
        ["prompts/all.yaml:14:7:", "error", "never-holds"],
        ["prompts/all.yaml:19:10:", "warning", "unknown-include"],
    ]
    assert lines[1].endswith("cannot be compared like that; leave out the quotes (condition event.number)")


def test_warnings_end_with_one_only_when_asked_to(repository: Path) -> None:
    file = repository / "prompts" / "all.yaml"
    file.write_text(FILE.split("  - slug: review", maxsplit=1)[0])

    assert lint("prompts").exit_code == 0
    assert lint("prompts", "--strict").exit_code == 1
    (finding,) = json.loads(lint(str(file), "--json").stdout)
    assert (finding["code"], finding["at_line"], finding["file"]) == ("unknown-event", 6, str(file))


def test_a_file_that_cannot_be_read_does_not_keep_others_from_being_checked(repository: Path) -> None:
    (repository / "prompts" / "broken.yaml").write_text("prompts:\n  - slug: [\n")
    result = lint("prompts")

    assert result.exit_code == 1
    assert "prompts/broken.yaml:3:1: error file" in result.stdout
    assert "never-holds" in result.stdout


@pytest.mark.usefixtures("repository")
def test_a_path_that_leads_nowhere_is_an_error() -> None:
    result = lint("nowhere.yaml")

    assert result.exit_code == 1
    assert "nowhere.yaml cannot be read: No such file" in result.stderr
