import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text

from contexten_core.db import migrate
from contexten_core.db.engine import sync_address
from contexten_core.db.models import metadata
from contexten_core.settings import DatabaseConfig, DatabaseKind

UPGRADE = """
from contexten_core.db import migrate
from contexten_core.settings import DatabaseConfig
print("ready", flush=True)
input()
migrate.upgrade(DatabaseConfig())
print(migrate.current_revision(DatabaseConfig()), flush=True)
"""


def _tables(config: DatabaseConfig) -> set[str]:
    engine = create_engine(sync_address(config.address))
    try:
        return set(inspect(engine).get_table_names()) - {"alembic_version"}
    finally:
        engine.dispose()


def _execute(config: DatabaseConfig, statement: str) -> None:
    engine = create_engine(sync_address(config.address))
    try:
        with engine.begin() as connection:
            connection.execute(text(statement))
    finally:
        engine.dispose()


def _upgrading(config: DatabaseConfig, folder: Path) -> subprocess.Popen[str]:
    """Start a process that upgrades as soon as it is told to."""
    if config.kind is DatabaseKind.SQLITE:
        address = {"DB_USE_SQLITE": "true", "DB_SQLITE_PATH": str(config.sqlite_path)}
    else:
        assert config.url is not None
        address = {"DATABASE_URL": config.url.get_secret_value()}
    return subprocess.Popen(
        [sys.executable, "-c", UPGRADE],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **address},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_models_and_migrations_agree(database_config: DatabaseConfig) -> None:
    assert migrate.differences(database_config) == []
    assert migrate.current_revision(database_config) == migrate.newest_revision() is not None
    assert _tables(database_config) == set(metadata.tables)


def test_a_difference_is_found(database_config: DatabaseConfig) -> None:
    _execute(database_config, "ALTER TABLE projects ADD COLUMN surplus TEXT")

    assert "surplus" in repr(migrate.differences(database_config))


def test_down_to_nothing_and_up_again(database_config: DatabaseConfig) -> None:
    migrate.downgrade(database_config, "base")
    assert _tables(database_config) == set()
    assert migrate.current_revision(database_config) is None

    migrate.upgrade(database_config)
    assert migrate.differences(database_config) == []


def test_an_upgrade_that_has_been_done_does_nothing(database_config: DatabaseConfig) -> None:
    _execute(database_config, "CREATE TABLE somebody_elses (id INTEGER)")
    migrate.upgrade(database_config)
    migrate.upgrade(database_config)

    assert _tables(database_config) == {*metadata.tables, "somebody_elses"}


def test_an_upgrade_that_fails_leaves_everything_as_it_was(database_config: DatabaseConfig) -> None:
    migrate.downgrade(database_config, "base")
    last = max(metadata.tables)
    _execute(database_config, f"CREATE TABLE {last} (id INTEGER)")

    with pytest.raises(Exception, match=last):
        migrate.upgrade(database_config)
    assert _tables(database_config) == {last}
    assert migrate.current_revision(database_config) is None


def test_a_sqlite_file_and_its_folder_are_made(tmp_path: Path) -> None:
    config = DatabaseConfig(use_sqlite=True, sqlite_path=tmp_path / "not/there/yet.db")
    migrate.upgrade(config)

    assert migrate.differences(config) == []


def test_two_processes_that_upgrade_at_once_do_it_once(database_config: DatabaseConfig, tmp_path: Path) -> None:
    migrate.downgrade(database_config, "base")
    with ExitStack() as stack:
        processes = [stack.enter_context(_upgrading(database_config, tmp_path)) for _ in range(2)]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        said = [process.communicate(timeout=60) for process in processes]

    assert [process.returncode for process in processes] == [0, 0], said
    assert [out.strip() for out, _ in said] == [migrate.newest_revision()] * 2
    assert migrate.differences(database_config) == []
