from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError, OperationalError

from contexten_core.db import migrate
from contexten_core.db.check import check
from contexten_core.db.engine import sync_address
from contexten_core.errors import NotFoundError
from contexten_core.settings import DatabaseConfig, DatabaseKind
from tests.component.db.filled import contents, fill

only_sqlite = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)
only_postgresql = pytest.mark.parametrize("database_config", ["postgresql"], indirect=True)


def _execute(config: DatabaseConfig, *statements: str) -> None:
    engine = create_engine(sync_address(config.address), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))
    finally:
        engine.dispose()


def test_a_migrated_database_is_as_it_should_be(database_config: DatabaseConfig) -> None:
    fill(database_config)
    before = contents(database_config)
    found = check(database_config)

    assert found.as_dict()["ok"] is True
    assert (found.problems, found.differences, found.integrity) == ((), (), ())
    assert found.revision == found.newest == migrate.newest_revision()
    assert found.dialect == ("sqlite" if database_config.kind is DatabaseKind.SQLITE else "postgresql")
    assert contents(database_config) == before


def test_an_old_revision_is_told_with_what_to_do(database_config: DatabaseConfig) -> None:
    migrate.downgrade(database_config, "0001")
    found = check(database_config)

    (problem,) = found.problems
    assert problem.message == f"the database is at revision 0001; the newest revision is {migrate.newest_revision()}"
    assert "contexten db upgrade" in problem.hint
    assert "the table task_dependencies is missing" in found.differences


def test_a_database_without_our_tables_is_told_with_what_to_do(database_config: DatabaseConfig) -> None:
    migrate.downgrade(database_config, "base")
    found = check(database_config)

    assert (found.revision, found.as_dict()["ok"]) == (None, False)
    assert "has no tables of Contexten" in found.problems[0].message


def test_a_database_of_a_newer_contexten_is_told(database_config: DatabaseConfig) -> None:
    _execute(database_config, "UPDATE alembic_version SET version_num = '9999'")

    (problem,) = check(database_config).problems
    assert "revision 9999, which this version of Contexten does not know" in problem.message
    assert "newer Contexten" in problem.hint


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("ALTER TABLE projects ADD COLUMN surplus TEXT", "the column projects.surplus is not one of ours"),
        ("ALTER TABLE projects RENAME COLUMN slug TO slogan", "the column projects.slug is missing"),
        ("DROP TABLE outbox", "the table outbox is missing"),
        ("DROP INDEX ix_tasks_created_at", "the index ix_tasks_created_at of tasks is missing"),
        ("CREATE INDEX surplus ON tasks (title)", "the index surplus of tasks is not one of ours"),
    ],
)
def test_a_table_that_was_changed_by_hand_is_told_in_words(
    database_config: DatabaseConfig, statement: str, words: str
) -> None:
    _execute(database_config, statement)
    found = check(database_config)

    assert words in found.differences
    assert words in {problem.message for problem in found.problems}
    assert all("changed the tables by hand" in problem.hint for problem in found.problems)


@only_postgresql
@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("ALTER TABLE projects ALTER slug DROP NOT NULL", "the column projects.slug has another nullability"),
        ("ALTER TABLE projects ALTER total_tasks TYPE BIGINT", "the column projects.total_tasks has another type"),
        (
            "ALTER TABLE projects DROP CONSTRAINT uq_projects_slug",
            "the constraint uq_projects_slug of projects is missing",
        ),
        (
            "ALTER TABLE tasks DROP CONSTRAINT fk_tasks_project_id_projects",
            "the foreign key fk_tasks_project_id_projects of tasks is missing",
        ),
    ],
)
def test_a_column_or_constraint_that_was_changed_by_hand_is_told_in_words(
    database_config: DatabaseConfig, statement: str, words: str
) -> None:
    _execute(database_config, statement)

    assert check(database_config).differences == (words,)


def test_tables_of_others_are_none_of_our_business(database_config: DatabaseConfig) -> None:
    _execute(
        database_config,
        "CREATE TABLE theirs (id INTEGER PRIMARY KEY, title TEXT UNIQUE)",
        "CREATE INDEX theirs_too ON theirs (title)",
    )

    assert check(database_config).problems == ()


@only_sqlite
def test_a_reference_that_leads_nowhere_is_damage(database_config: DatabaseConfig) -> None:
    fill(database_config)
    _execute(database_config, "PRAGMA foreign_keys=OFF", "DELETE FROM projects")
    found = check(database_config)

    assert any("of tasks refers to a row of projects that is not there" in line for line in found.integrity)
    assert all("restore the last backup" in problem.hint for problem in found.problems)


@only_sqlite
def test_a_damaged_page_is_damage(database_config: DatabaseConfig) -> None:
    fill(database_config)
    path = database_config.sqlite_path
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)

    assert check(database_config).integrity


@only_sqlite
def test_a_file_that_is_no_database_is_damage(database_config: DatabaseConfig) -> None:
    database_config.sqlite_path.write_bytes(b"not a database at all" * 500)
    found = check(database_config)

    assert found.integrity == ("file is not a database",)
    assert found.as_dict()["ok"] is False


def test_a_sqlite_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no database"):
        check(DatabaseConfig(use_sqlite=True, sqlite_path=tmp_path / "gone.db"))

    assert list(tmp_path.iterdir()) == []


@only_postgresql
def test_an_index_that_could_not_be_built_is_damage(database_config: DatabaseConfig) -> None:
    fill(database_config)
    with pytest.raises(IntegrityError):
        _execute(database_config, "CREATE UNIQUE INDEX CONCURRENTLY broken ON tasks ((1))")

    assert check(database_config).integrity == ("the index broken of tasks is invalid",)


@only_postgresql
def test_a_constraint_that_was_never_checked_is_damage(database_config: DatabaseConfig) -> None:
    _execute(database_config, "ALTER TABLE tasks ADD CONSTRAINT later CHECK (title <> '') NOT VALID")

    assert check(database_config).integrity == ("the constraint later of tasks is invalid",)


def test_a_database_that_does_not_answer_is_an_error_and_no_damage(tmp_path: Path) -> None:
    nowhere = DatabaseConfig(url=SecretStr(f"postgresql://ci:hunter2@/ci?host={tmp_path}"))

    with pytest.raises(OperationalError):
        check(nowhere)


def test_no_password_is_told(database_config: DatabaseConfig) -> None:
    password = database_config.address.password
    told = str(check(database_config).as_dict())

    assert database_config.address.database is not None
    assert database_config.address.database in told
    assert password is None or str(password) not in told
