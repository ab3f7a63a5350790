"""Databases in which every table has rows, and every column a value that is hard to keep."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Date,
    Float,
    Integer,
    LargeBinary,
    Table,
    Uuid,
    create_engine,
    insert,
    select,
)

from contexten_core.db import EnumText, JSONValue, TZDateTime
from contexten_core.db.engine import sync_address
from contexten_core.db.models import metadata
from contexten_core.db.portable import tables_at
from contexten_core.prompts.models import Executor
from contexten_core.settings import DatabaseConfig

ROWS = 3
TEXT = "ünï♥👍 <b>' \" \\ %s {0} \t\r\n\u2028 end"
START = datetime(2026, 3, 29, 0, 59, 59, 999_999, tzinfo=UTC)

Contents = dict[str, list[dict[str, Any]]]


def row_id(table: str, number: int) -> UUID:
    return uuid5(NAMESPACE_URL, f"{table}/{number}")


def full_row(table: Table, number: int) -> dict[str, Any]:
    """Return a row with a value in every column; references lead to rows of the same kind, also to later ones."""
    references = [column.name for column in table.columns if column.foreign_keys]
    row: dict[str, Any] = {}
    for column in table.columns:
        if column.name in references:
            (key,) = column.foreign_keys
            # Two references to one table are to two rows of it, and no two rows have the same two.
            index = references.index(column.name)
            bare = ROWS if index == 0 else ROWS - 1 - index % ROWS
            other = (number + 1 + index) % ROWS if number < ROWS else bare
            row[column.name] = row_id(key.column.table.name, other)
        else:
            row[column.name] = row_id(table.name, number) if column.primary_key else value_for(column, number)
    return row


def bare_row(table: Table, number: int) -> dict[str, Any]:
    """Return a row without anything that it need not have."""
    full = full_row(table, number)
    return {column.name: full[column.name] for column in table.columns if not column.nullable}


def value_for(column: Column[Any], number: int) -> Any:
    kind = column.type
    if isinstance(kind, EnumText):
        members = tuple(kind.enum.__members__.values())
        return members[number % len(members)]
    if column.name == "executor":
        # A name, and as such no text of any kind.
        return Executor(f"executor-{number}")
    if isinstance(kind, JSONValue):
        return {"text": TEXT, "list": [number, -1.5, None, True, 2**60, []], "": {"ключ": {}}}
    if isinstance(kind, TZDateTime):
        return START + timedelta(days=number)
    for simple, value in (
        (Uuid, uuid5(NAMESPACE_URL, f"{column} {number}")),
        (Date, date(2026, 3, 29) + timedelta(days=number)),
        (Boolean, number % 2 == 0),
        (Integer, 2**31 - 1 - number),
        (Float, 0.1 + number),
        (LargeBinary, bytes(range(256)) * (number + 1)),
    ):
        if isinstance(kind, simple):
            return value
    return f"{column.name} {number} {TEXT}"


def fill(config: DatabaseConfig, *, revision: str | None = None) -> None:
    """Add full rows, and one bare row, to every table, as the tables are at a revision (the models' without one)."""
    tables = metadata.sorted_tables if revision is None else [found.table for found in tables_at(revision)]
    engine = create_engine(sync_address(config.address))
    try:
        with engine.begin() as connection:
            for table in tables:
                # One statement, so that rows may refer to later ones.
                connection.execute(insert(table).values([full_row(table, number) for number in range(ROWS)]))
                connection.execute(insert(table).values(bare_row(table, ROWS)))
    finally:
        engine.dispose()


def contents(config: DatabaseConfig, tables: Sequence[Table] | None = None) -> Contents:
    """Return every row, with which of its columns are NULL; null in JSON is something else."""
    engine = create_engine(sync_address(config.address))
    try:
        with engine.connect() as connection:
            return {
                table.name: _rows(connection, table) for table in (metadata.sorted_tables if tables is None else tables)
            }
    finally:
        engine.dispose()


def _rows(connection: Connection, table: Table) -> list[dict[str, Any]]:
    nulls = [column.is_(None).label(f"{column.name} is NULL") for column in table.columns if column.nullable]
    found = connection.execute(select(table, *nulls).order_by(table.c.id)).mappings()
    return [{name: bool(value) if " is " in name else value for name, value in row.items()} for row in found]
