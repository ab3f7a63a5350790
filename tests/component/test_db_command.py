"""`contexten db`, on SQLite, on a PostgreSQL of one's own, and on the embedded one while no stack runs."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from contexten.cli.db import app
from contexten_core.db import migrate
from contexten_core.db.restore import restore
from contexten_core.settings import DatabaseConfig, DatabaseKind, get_settings
from deployments.home import Home
from deployments.process_table import ProcessId
from deployments.state import StackState
from tests.component.db.filled import contents, fill

NEWEST = migrate.known_revisions()[-1]


class Command:
    """The command line, as it is in a given environment."""

    def __init__(self, environment: pytest.MonkeyPatch, folder: Path) -> None:
        self._environment = environment
        self.home = folder / "home"
        environment.chdir(folder)
        for name in list(os.environ):
            if name.startswith(("DB_", "CONTEXTEN_", "DATABASE_URL")):
                environment.delenv(name)
        environment.setenv("CONTEXTEN_HOME", str(self.home))
        environment.setenv("DB_USE_SQLITE", "true")
        environment.setenv("DB_SQLITE_PATH", str(folder / "of-the-command.db"))

    @property
    def config(self) -> DatabaseConfig:
        return DatabaseConfig()

    def use(self, config: DatabaseConfig) -> None:
        if config.kind is DatabaseKind.SQLITE:
            self._environment.setenv("DB_SQLITE_PATH", str(config.sqlite_path))
        else:
            assert config.url is not None
            self._environment.setenv("DATABASE_URL", config.url.get_secret_value())

    def use_embedded(self) -> None:
        self._environment.delenv("DB_USE_SQLITE")

    def run(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        get_settings.cache_clear()
        answer = CliRunner().invoke(app, list(arguments))
        assert answer.exit_code == code, (answer.stdout, answer.stderr, answer.exception)
        return answer.stdout, answer.stderr

    def json(self, *arguments: str, code: int = 0) -> Any:
        out, err = self.run(*arguments, "--json", code=code)
        return json.loads(out if code == 0 or out else err)

    def error(self, *arguments: str) -> dict[str, Any]:
        """Run a command that has to fail, and return the problem that it tells."""
        out, err = self.run(*arguments, "--json", code=1)
        assert out == ""
        problem: dict[str, Any] = json.loads(err)["error"]
        assert problem["message"]
        assert problem["hint"]
        return problem

    def let_a_stack_run(self) -> None:
        home = Home(self.home)
        home.create()
        home.write_state(
            StackState(
                supervisor=ProcessId.of_started(os.getpid()),
                started_at="2026-03-29T12:00:00+00:00",
                urls={"web": "http://localhost:8000", "prefect_api": "http://localhost:4200/api"},
            )
        )


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    yield Command(monkeypatch, tmp_path)
    get_settings.cache_clear()


def test_an_empty_database_is_made_ready_and_taken_back(db: Command) -> None:
    first, last = migrate.known_revisions()[0], NEWEST

    assert db.json("upgrade", first) == {"before": None, "revision": first, "newest": last}
    assert db.json("upgrade") == {"before": first, "revision": last, "newest": last}
    assert db.json("downgrade", first, "--yes") == {"before": last, "revision": first, "newest": last}
    assert db.json("downgrade", "base", "--yes") == {"before": first, "revision": None, "newest": last}


def test_people_are_told_on_stderr(db: Command) -> None:
    assert db.run("upgrade") == ("", f"The database is at revision {NEWEST}; it was at base.\n")
    assert db.run("upgrade") == ("", f"The database is at revision {NEWEST} already.\n")


def test_a_downgrade_has_to_be_meant(db: Command, database_config: DatabaseConfig) -> None:
    db.use(database_config)
    problem = db.error("downgrade", "base")

    assert "loses the data" in problem["message"]
    assert "--yes" in problem["hint"]
    assert migrate.current_revision(database_config) == NEWEST


@pytest.mark.parametrize("command", [("upgrade", "0099"), ("downgrade", "0099", "--yes")])
def test_a_revision_that_there_is_not_is_told_with_those_that_there_are(db: Command, command: tuple[str, ...]) -> None:
    problem = db.error(*command)

    assert problem["code"] == "not_found"
    assert NEWEST in problem["hint"]


def test_a_good_database_passes_the_check(db: Command, database_config: DatabaseConfig) -> None:
    db.use(database_config)
    found = db.json("check")

    assert (found["ok"], found["revision"], found["newest"], found["problems"]) == (True, NEWEST, NEWEST, [])
    assert (found["differences"], found["integrity"]) == ([], [])
    out, err = db.run("check")
    assert (NEWEST in out, err) == (True, "")


def test_a_check_that_finds_something_says_what_to_do_and_exits_with_1(
    db: Command, database_config: DatabaseConfig
) -> None:
    db.use(database_config)
    migrate.downgrade(database_config, "0001")
    found = db.json("check", code=1)

    assert found["ok"] is False
    assert found["problems"][0]["hint"] == "`contexten db upgrade` migrates it"
    out, _ = db.run("check", code=1)
    assert "the database is at revision 0001" in out
    assert "contexten db upgrade" in out


def test_a_backup_goes_from_one_database_to_another(
    db: Command, database_config: DatabaseConfig, tmp_path: Path
) -> None:
    fill(database_config)
    file = tmp_path / "backup"
    target = db.config
    db.use(database_config)
    said = db.json("backup", str(file))
    assert said["file"] == str(file)
    assert said["bytes"] == file.stat().st_size
    assert said["rows"] == sum(said["tables"].values())

    if database_config.kind is DatabaseKind.SQLITE:
        db.use(target)
        restored = db.json("restore", str(file))
    else:
        restored = db.json("restore", str(file), "--replace")
    assert (restored["rows"], restored["tables"], restored["now_at"]) == (said["rows"], said["tables"], NEWEST)
    assert contents(db.config) == contents(database_config)


def test_nothing_is_overwritten_that_is_not_meant_to_be(
    db: Command, database_config: DatabaseConfig, tmp_path: Path
) -> None:
    fill(database_config)
    db.use(database_config)
    file = tmp_path / "backup"
    db.run("backup", str(file))

    assert db.error("backup", str(file))["code"] == "conflict"
    assert "--force" in db.error("backup", str(file))["hint"]
    assert "--replace" in db.error("restore", str(file))["hint"]
    _, said = db.run("backup", str(file), "--force")
    assert re.search(r"\d+ rows at revision \d+ are in .*as sensitive as the database", said)
    _, said = db.run("restore", str(file), "--replace")
    assert f"the database is at revision {NEWEST}" in said


def test_a_damaged_file_is_told_and_nothing_is_made(db: Command, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    file.write_bytes(b"PK")
    problem = db.error("restore", str(file))

    assert problem["code"] == "backup"
    assert not (tmp_path / "of-the-command.db").exists()


def test_a_database_that_is_not_there_is_told(db: Command, tmp_path: Path) -> None:
    for command in (("check",), ("backup", str(tmp_path / "backup"))):
        assert db.error(*command)["code"] == "not_found"

    assert list(tmp_path.glob("*.db")) == []


@pytest.mark.parametrize("command", [("restore", "backup", "--replace"), ("downgrade", "base", "--yes")])
def test_what_would_pull_the_rug_away_is_refused_while_a_stack_runs(
    db: Command, tmp_path: Path, command: tuple[str, ...]
) -> None:
    db.run("upgrade")
    db.run("backup", "backup")
    db.let_a_stack_run()
    problem = db.error(*command)

    assert problem["message"] == "a stack works on this home: http://localhost:8000"
    assert f"kill {os.getpid()}" in problem["hint"]
    assert db.json("check")["revision"] == NEWEST


def test_what_only_reads_is_done_while_a_stack_runs(db: Command) -> None:
    db.run("upgrade")
    db.let_a_stack_run()

    assert db.json("upgrade")["revision"] == NEWEST
    assert db.json("check")["ok"] is True
    assert db.json("backup", "backup")["rows"] == 0


def test_a_restore_waits_for_nobody_who_holds_the_home(db: Command) -> None:
    """A stack that is just starting has no addresses yet."""
    db.run("upgrade")
    db.run("backup", "backup")
    home = Home(db.home)
    home.create()
    with home.lock():
        assert "uses the home" in db.error("restore", "backup")["message"]


@pytest.mark.parametrize("command", [("check",), ("backup", "backup")])
def test_without_a_stack_and_without_its_database_there_is_nothing_to_look_at(
    db: Command, command: tuple[str, ...]
) -> None:
    db.use_embedded()
    problem = db.error(*command)

    assert problem["code"] == "stack"
    assert "no stack runs" in problem["message"]
    assert not db.home.exists()


def test_the_embedded_database_is_started_for_as_long_as_it_takes(db: Command, tmp_path: Path) -> None:
    db.run("upgrade")
    fill(db.config)
    before = contents(db.config)
    db.run("backup", "from-sqlite")
    db.use_embedded()

    restored = db.json("restore", "from-sqlite")
    assert db.json("check")["ok"] is True
    assert db.json("backup", "from-postgresql")["tables"] == restored["tables"]
    assert Home(db.home).read_state() is None

    other = DatabaseConfig(use_sqlite=True, sqlite_path=tmp_path / "again.db")
    restore(other, tmp_path / "from-postgresql")
    assert contents(other) == before
