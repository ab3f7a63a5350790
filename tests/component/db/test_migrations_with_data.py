from collections.abc import Callable

import pytest
from sqlalchemy import create_engine, text

from contexten_core.db import migrate
from contexten_core.db.check import check
from contexten_core.db.engine import sync_address
from contexten_core.db.portable import tables_at
from contexten_core.errors import ConfigurationError, ConflictError, NotFoundError
from contexten_core.settings import DatabaseConfig
from tests.component.db.filled import ROWS, Contents, contents, fill

REVISIONS = migrate.known_revisions()
STEPS = list(zip([migrate.BASE, *REVISIONS], REVISIONS, strict=False))
# Tables of what is found out again, which a revision empties instead of rewriting.
FORGOTTEN = {"0003": ("file_facts",)}
# Tables that a revision fills itself, of what was there.
FILLED = {"0004": {"prompt_catalogue", "prompt_changes", "prompt_versions"}}
step = pytest.mark.parametrize(("previous", "revision"), STEPS, ids=str)


def _contents(config: DatabaseConfig, revision: str, *, step: str) -> Contents:
    """Return every row as the tables of a revision have it, without those that the step to `step` empties."""
    tables = [found.table for found in tables_at(revision)]
    return contents(config, [table for table in tables if table.name not in FORGOTTEN.get(step, ())])


def _shared(one: Contents, other: Contents) -> Contents:
    """Return what of `one` is in tables and columns that `other` has as well."""
    columns = {table: rows[0].keys() for table, rows in other.items() if rows}
    return {
        table: [{name: value for name, value in row.items() if name in columns[table]} for row in rows]
        for table, rows in one.items()
        if table in columns
    }


def _at(config: DatabaseConfig, revision: str) -> None:
    """Leave the database empty, at a revision."""
    migrate.downgrade(config, migrate.BASE)
    migrate.upgrade(config, revision)


@step
def test_data_survives_an_upgrade_and_the_way_back(
    database_config: DatabaseConfig, previous: str, revision: str
) -> None:
    _at(database_config, previous)
    if previous != migrate.BASE:
        fill(database_config, revision=previous)
    before = _contents(database_config, previous, step=revision)
    assert all(len(rows) == ROWS + 1 for rows in before.values())

    migrate.upgrade(database_config, revision)
    after = _contents(database_config, revision, step=revision)
    assert _shared(before, after) == _shared(after, before)
    assert set(_shared(before, after)) == set(before) & set(after)

    migrate.downgrade(database_config, previous)
    assert _contents(database_config, previous, step=revision) == before


@step
def test_a_downgrade_takes_only_what_its_revision_had_brought(
    database_config: DatabaseConfig, previous: str, revision: str
) -> None:
    _at(database_config, revision)
    fill(database_config, revision=revision)
    before = _contents(database_config, revision, step=revision)

    migrate.downgrade(database_config, previous)
    left = _contents(database_config, previous, step=revision)
    assert _shared(left, before) == left == _shared(before, left)

    migrate.upgrade(database_config, revision)
    again = _contents(database_config, revision, step=revision)
    assert _shared(again, left) == left
    assert {table for table, rows in again.items() if rows} == set(left) | FILLED.get(revision, set())


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_full_database_of_any_age_becomes_what_the_models_say(database_config: DatabaseConfig, revision: str) -> None:
    _at(database_config, revision)
    fill(database_config, revision=revision)
    migrate.upgrade(database_config)

    assert check(database_config).problems == ()


def test_a_full_database_goes_down_to_nothing(database_config: DatabaseConfig) -> None:
    fill(database_config)
    migrate.downgrade(database_config, migrate.BASE)

    assert migrate.current_revision(database_config) is None
    assert "has no tables of Contexten" in check(database_config).problems[0].message


@pytest.mark.parametrize("move", [migrate.upgrade, migrate.downgrade])
@pytest.mark.parametrize("revision", ["0099", "", "+1", "head~1", "0001; DROP TABLE tasks", "--sql"])
def test_a_revision_that_there_is_not_is_refused_with_those_that_there_are(
    database_config: DatabaseConfig, move: Callable[..., None], revision: str
) -> None:
    with pytest.raises(NotFoundError, match="there is no revision") as refused:
        move(database_config, revision)

    assert refused.value.hint == f"there are base, {', '.join(REVISIONS)}, head"
    assert migrate.current_revision(database_config) == REVISIONS[-1]


def test_neither_an_upgrade_goes_back_nor_a_downgrade_forward(database_config: DatabaseConfig) -> None:
    with pytest.raises(ConflictError, match=f"at revision {REVISIONS[-1]}, which is beyond 0001"):
        migrate.upgrade(database_config, "0001")
    migrate.downgrade(database_config, "0001")
    with pytest.raises(ConflictError, match=f"at revision 0001, which is before {REVISIONS[-1]}"):
        migrate.downgrade(database_config, REVISIONS[-1])

    assert migrate.current_revision(database_config) == "0001"


@pytest.mark.parametrize("move", [migrate.upgrade, lambda config: migrate.downgrade(config, "base")])
def test_a_database_of_a_newer_contexten_is_not_touched(
    database_config: DatabaseConfig, move: Callable[..., None]
) -> None:
    engine = create_engine(sync_address(database_config.address))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()

    with pytest.raises(ConfigurationError, match="at revision 9999, which this version of Contexten does not know"):
        move(database_config)
    assert migrate.current_revision(database_config) == "9999"
