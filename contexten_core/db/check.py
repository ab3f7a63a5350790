"""Look at a database as a whole: its revision, its tables, and whether it is damaged."""

import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DatabaseError, OperationalError, SAWarning

from contexten_core.db import migrate
from contexten_core.db.models import metadata
from contexten_core.db.snapshot import snapshot
from contexten_core.errors.base import ConfigurationError
from contexten_core.settings import DatabaseConfig

_MOST_REPORTED = 100
_RESTORE = "restore the last backup into a new database (`contexten db restore FILE`)"
_NOUNS = {"fk": "foreign key", "nullable": "nullability"}
_INVALID_INDEXES = """
SELECT tables.relname AS table_name, indexes.relname AS name FROM pg_index
JOIN pg_class AS indexes ON indexes.oid = pg_index.indexrelid
JOIN pg_class AS tables ON tables.oid = pg_index.indrelid
WHERE tables.relnamespace = current_schema()::regnamespace AND NOT (indisvalid AND indisready)
ORDER BY 1, 2
"""
_INVALID_CONSTRAINTS = """
SELECT tables.relname AS table_name, conname AS name FROM pg_constraint
JOIN pg_class AS tables ON tables.oid = pg_constraint.conrelid
WHERE tables.relnamespace = current_schema()::regnamespace AND NOT convalidated
ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and what can be done about it."""

    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class DatabaseCheck:
    """What a check found.

    Attributes:
        database: the address, without its password.
        revision: where the database is; None before its first migration.
        differences: how its tables differ from the models, in words.
        integrity: damage that the database itself reports.
        problems: everything that needs somebody to do something; empty when all is well.
    """

    database: str
    dialect: str
    revision: str | None
    newest: str | None
    differences: tuple[str, ...]
    integrity: tuple[str, ...]
    problems: tuple[Problem, ...]

    def as_dict(self) -> dict[str, Any]:
        return {"ok": not self.problems, **asdict(self)}


def check(config: DatabaseConfig) -> DatabaseCheck:
    """Look at a database. Changes nothing, and may be done while it is in use.

    Raises:
        NotFoundError: there is no such SQLite file.
        sqlalchemy.exc.OperationalError: the database does not answer.
    """
    revision: str | None = None
    differences: tuple[str, ...] = ()
    integrity: tuple[str, ...] = ()
    problems: list[Problem] = []
    newest = migrate.newest_revision()
    try:
        with snapshot(config) as connection:
            revision = migrate.revision_of(connection)
            problems += _behind(connection, revision, newest)
            if revision is not None:
                differences = _differences(connection)
            integrity = tuple(_damage(connection))
    except DatabaseError as error:
        # That is how a SQLite file which is damaged shows; a database that does not answer is something else.
        if isinstance(error, OperationalError) or config.address.get_backend_name() != "sqlite":
            raise
        integrity = (str(error.orig),)
    if not problems:
        problems += [
            Problem(difference, f"somebody changed the tables by hand: undo that, or {_RESTORE}")
            for difference in differences
        ]
    problems += [Problem(damage, f"copy what there is, then {_RESTORE}") for damage in integrity]
    return DatabaseCheck(
        database=config.address.render_as_string(),
        dialect="sqlite" if config.address.get_backend_name() == "sqlite" else "postgresql",
        revision=revision,
        newest=newest,
        differences=differences,
        integrity=integrity,
        problems=tuple(problems),
    )


def _behind(connection: Connection, revision: str | None, newest: str | None) -> Iterator[Problem]:
    try:
        migrate.position_of(connection)
    except ConfigurationError as error:
        yield Problem(error.message, error.hint or "")
        return
    if revision != newest:
        found = "has no tables of Contexten" if revision is None else f"is at revision {revision}"
        yield Problem(f"the database {found}; the newest revision is {newest}", "`contexten db upgrade` migrates it")


def _differences(connection: Connection) -> tuple[str, ...]:
    with warnings.catch_warnings():
        # SQLAlchemy warns of constraints that were never checked, which `_damage` tells.
        warnings.simplefilter("ignore", SAWarning)
        return tuple(_in_words(migrate.differences_on(connection)))[:_MOST_REPORTED]


def _in_words(differences: list[Any]) -> Iterator[str]:
    for difference in differences:
        # Changes of one column come as a list of their own.
        for kind, *parts in difference if isinstance(difference, list) else [difference]:
            words = _one_in_words(kind, parts)
            if words is not None:
                yield words


def _one_in_words(kind: str, parts: list[Any]) -> str | None:
    """Say what one difference of alembic's is; None for tables that are not ours."""
    verb, _, what = kind.partition("_")
    state = {"add": "is missing", "remove": "is not one of ours"}.get(verb, f"has another {_NOUNS.get(what, what)}")
    if "comment" in what:
        return None
    if what == "table":
        return f"the table {parts[0].name} {state}" if parts[0].name in metadata.tables else None
    if isinstance(parts[0], str | None):
        table, column = parts[1], parts[2] if isinstance(parts[2], str) else parts[2].name
        return f"the column {table}.{column} {state}"
    if parts[0].table.name not in metadata.tables:
        return None
    return f"the {_NOUNS.get(what, what)} {parts[0].name} of {parts[0].table.name} {state}"


def _damage(connection: Connection) -> Iterator[str]:
    if connection.dialect.name == "sqlite":
        for (line,) in connection.exec_driver_sql(f"PRAGMA integrity_check({_MOST_REPORTED})"):
            if line != "ok":
                yield line
        for table, row, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(_MOST_REPORTED):
            yield f"row {row} of {table} refers to a row of {parent} that is not there"
        return
    for noun, query in (("index", _INVALID_INDEXES), ("constraint", _INVALID_CONSTRAINTS)):
        for found in connection.execute(text(query)):
            if found.table_name in metadata.tables:
                yield f"the {noun} {found.name} of {found.table_name} is invalid"
