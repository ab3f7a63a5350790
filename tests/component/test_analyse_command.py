"""`contexten analyse` and `contexten impact`, on a machine where nothing runs and nothing is configured."""

import json
import os
import stat
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from contexten.cli import app
from contexten_core.settings import get_settings


class Machine:
    """A home with nothing in it, and a repository beside it."""

    def __init__(self, environment: pytest.MonkeyPatch, folder: Path) -> None:
        for name in list(os.environ):
            if name.startswith(("DB_", "CONTEXTEN_", "DATABASE_URL", "PREFECT_")):
                environment.delenv(name)
        self.home = folder / "home"
        self.folder = folder / "shop"
        self.folder.mkdir()
        environment.setenv("CONTEXTEN_HOME", str(self.home))
        environment.chdir(self.folder)
        self.environment = environment

    def git(self, *arguments: str) -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        done = subprocess.run(
            ["git", *who, *arguments], cwd=self.folder, env=environment, capture_output=True, check=True, text=True
        )
        return done.stdout.strip()

    def commit(self, files: Mapping[str, str]) -> str:
        if not (self.folder / ".git").exists():
            self.git("init", "--quiet", "--initial-branch=main")
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=work")
        return self.git("rev-parse", "HEAD")

    def run(self, *arguments: str, code: int = 0) -> Result:
        get_settings.cache_clear()
        answer = CliRunner().invoke(app, list(arguments))
        assert answer.exit_code == code, (answer.output, answer.stderr, answer.exception)
        return answer

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json").stdout)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    # The command line names Prefect's folders for its children; that must not outlive the test.
    monkeypatch.setattr(os, "environ", os.environ.copy())
    yield Machine(monkeypatch, tmp_path)
    get_settings.cache_clear()


SHOP = {
    "shop/tax.py": "def tax_rate(order):\n    return 7 if order else 19\n",
    "tests/test_tax.py": "from shop.tax import tax_rate\n\n\ndef test_rate():\n    assert tax_rate(1) == 7\n",
}


def test_a_folder_as_json(machine: Machine) -> None:
    commit = machine.commit(SHOP)

    found = machine.json("analyse", ".")

    assert found["commit"] == commit
    assert found["languages"] == {"Python": {"files": 2, "code": 5, "comment": 0, "blank": 2}}
    assert found["totals"] == {"files": 2, "lines": 7, "functions": 2, "classes": 0}
    assert [(file["path"], [one["name"] for one in file["functions"]]) for file in found["files"]] == [
        ("shop/tax.py", ["tax_rate"]),
        ("tests/test_tax.py", ["test_rate"]),
    ]
    assert set(found) >= {"modules", "dependencies", "duration_seconds"}


def test_a_folder_as_a_person_reads_it(machine: Machine) -> None:
    machine.commit(SHOP)
    said = machine.run("analyse", ".").stdout
    assert "2 files, 7 lines, 2 functions, 0 classes" in said
    assert "shop/tax.py:1" in said
    assert "python -m pytest" in said


def test_a_second_analysis_finds_what_the_first_one_kept(machine: Machine) -> None:
    first = machine.commit(SHOP)
    machine.json("analyse", ".")
    (kept,) = (machine.home / "analysis").glob("facts-*.db")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    machine.commit({"shop/tax.py": "def tax_rate(order):\n    return 7\n"})

    assert machine.json("analyse", str(machine.folder), "--commit", first[:10])["commit"] == first
    assert machine.json("analyse", str(machine.folder / "shop"))["totals"]["files"] == 2


def test_the_impact_of_a_change(machine: Machine) -> None:
    base = machine.commit(SHOP)
    head = machine.commit({"shop/tax.py": "def tax_rate(order):\n    return 7\n"})

    found = machine.json("impact", ".", "HEAD~1..HEAD")

    assert (found["base"], found["head"]) == (base, head)
    assert [one["name"] for one in found["symbols"]] == ["tax_rate"]
    assert found["untested"] == []
    assert found["risk"]["level"] == "low"
    assert found == machine.json("impact", ".", f"{base}...{head}")
    said = machine.run("impact", ".", "HEAD~1..").stdout
    assert "tests/test_tax.py:test_rate" in said


def test_a_repository_without_a_commit_is_empty(machine: Machine) -> None:
    machine.git("init", "--quiet")
    assert machine.json("analyse", ".")["totals"]["files"] == 0
    assert "no commit yet" in machine.run("analyse", ".").stdout
    assert "has no commit yet" in machine.run("impact", ".", "HEAD~1..HEAD", code=1).stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("analyse", "."), "is in no git repository"),
        (("analyse", "./nowhere"), "there is no folder ./nowhere"),
        (("analyse", "nonsense"), "neither owner/name"),
        (("impact", ".", "HEAD"), "is not of the form BASE..HEAD"),
    ],
)
def test_what_cannot_be_done_is_one_message(machine: Machine, arguments: tuple[str, ...], problem: str) -> None:
    answer = machine.run(*arguments, code=1)
    assert problem in " ".join(answer.stderr.split())
    assert "Traceback" not in answer.stderr
    assert json.loads(machine.run(*arguments, "--json", code=1).stderr)["error"]["message"]


def test_an_unknown_commit_is_one_message(machine: Machine) -> None:
    machine.commit(SHOP)
    assert "has no commit HEAD~5" in " ".join(machine.run("analyse", ".", "--commit", "HEAD~5", code=1).stderr.split())


def test_names_do_not_write_to_the_terminal(machine: Machine) -> None:
    machine.commit({"bad\n\x1b[31mname.py": "def f(a):\n    if a:\n        return 1\n"})
    said = machine.run("analyse", ".").stdout
    assert "\x1b" not in said
    assert machine.json("analyse", ".")["files"][0]["path"] == "bad\n\x1b[31mname.py"
