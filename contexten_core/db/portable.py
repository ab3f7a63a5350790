"""Rows in a form that SQLite and PostgreSQL share: JSON lines, and the statements that read and write them."""

import base64
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from typing import Any, NoReturn
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    RowMapping,
    Select,
    String,
    Table,
    Text,
    Uuid,
    cast,
    create_engine,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import CHAR, TypeEngine

from contexten_core.db import migrate
from contexten_core.db.types import CleanText, JSONValue, TZDateTime

_LARGEST_INTEGER = 2**63 - 1


class _NullableJSON(JSONValue):
    """JSON that tells NULL (`None`) from JSON's own null (`JSON.NULL`)."""

    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        kind = JSONB if dialect.name == "postgresql" else JSON
        return dialect.type_descriptor(kind(none_as_null=True))


@dataclass(frozen=True, slots=True)
class _Form:
    """How the values of one type are kept in a database, and in a line of JSON.

    Attributes:
        write: turns a value, as it is selected, into JSON.
        read: turns JSON into a value to insert; raises ValueError.
    """

    column_type: TypeEngine[Any]
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class PortableTable:
    """One of our tables, with column types that mean the same on both databases.

    Attributes:
        own_references: columns that refer to rows of the same table.
    """

    table: Table
    own_references: tuple[str, ...]
    _forms: Mapping[str, _Form]

    @property
    def name(self) -> str:
        return self.table.name

    def select(self) -> Select[Any]:
        """Select all rows in the order of their ids, with JSON as its text."""
        columns = [
            cast(column, Text).label(column.name) if isinstance(column.type, JSONValue) else column
            for column in self.table.columns
        ]
        return select(*columns).order_by(*self.table.primary_key)

    def line(self, row: RowMapping) -> bytes:
        """Write a row as one line: always the same bytes for the same values. Columns that are NULL are left out."""
        values = {name: self._forms[name].write(value) for name, value in row.items() if value is not None}
        text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)
        return text.encode("utf-8", "replace") + b"\n"

    def row(self, line: bytes) -> dict[str, Any]:
        """Read what `line` wrote, as values to insert; every column is there.

        Raises:
            ValueError: it is something else.
        """
        values = _parsed(line)
        unknown = values.keys() - self._forms.keys()
        if unknown:
            raise ValueError(f"there is no column {min(unknown)[:100]!r}")
        row: dict[str, Any] = {}
        for column in self.table.columns:
            if column.name in values:
                row[column.name] = _read(column, self._forms[column.name], values[column.name])
            elif column.nullable:
                row[column.name] = None
            else:
                raise ValueError(f"{column.name} is missing")
        return row


@cache
def tables_at(revision: str) -> tuple[PortableTable, ...]:
    """Return our tables as they are at a revision, each after those that it refers to.

    They are read from an empty database in memory that the migrations have made, so that it does not matter what the
    models have become since, nor what else is in the database.
    """
    engine = create_engine("sqlite://")
    found = MetaData()
    try:
        with engine.begin() as connection:
            migrate.upgrade_on(connection, revision)
            found.reflect(connection)
    finally:
        engine.dispose()
    return tuple(_portable(table) for table in found.sorted_tables if table.name != "alembic_version")


def _portable(table: Table) -> PortableTable:
    forms = {column.name: _form(column) for column in table.columns}
    for column in table.columns:
        column.type = forms[column.name].column_type
    own = tuple(key.parent.name for key in table.foreign_keys if key.column.table is table)
    return PortableTable(table, own, forms)


def _form(column: Column[Any]) -> _Form:
    for kind, form in _FORMS:
        if isinstance(column.type, kind):
            return form
    raise TypeError(f"{column} is of the type {column.type!r}, for which backups have no form")


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line.decode("utf-8"), parse_constant=_no_number)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(values, dict):
        raise ValueError(f"it is a {type(values).__name__}, not an object")  # noqa: TRY004 - wrong data, not a wrong call
    return values


def _read(column: Column[Any], form: _Form, value: Any) -> Any:
    if value is None and form is not _JSON:
        raise ValueError(f"{column.name} is null")
    try:
        return form.read(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{column.name}: {str(error)[:200]}") from error


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _same(value: Any) -> Any:
    return value


def _of(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        # A bool is an int to Python.
        if type(value) is not kind:
            raise ValueError(f"is a {type(value).__name__}, not a {kind.__name__}")
        return value

    return read


def _integer(value: Any) -> int:
    number: int = _of(int)(value)
    if abs(number) > _LARGEST_INTEGER:
        raise ValueError("is beyond 64 bits")
    return number


def _float_out(value: float) -> float | str:
    """JSON has no word for what a column of floats can hold as well."""
    return value if math.isfinite(value) else str(value)


def _float(value: Any) -> float:
    if type(value) not in {int, float} and value not in ("nan", "inf", "-inf"):
        raise ValueError("is not a number")
    return float(value)


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("has no time zone")
    return moment.astimezone(UTC)


def _json(value: Any) -> Any:
    return JSON.NULL if value is None else value


def _bytes_out(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _bytes(value: Any) -> bytes:
    return base64.b64decode(_of(str)(value), validate=True)


def _uuid(value: Any) -> UUID:
    return UUID(_of(str)(value))


_JSON = _Form(_NullableJSON(), json.loads, _json)
# The first that fits; CHAR, which is a String, is how SQLite keeps a UUID.
_FORMS: tuple[tuple[type[TypeEngine[Any]], _Form], ...] = (
    (JSON, _JSON),
    (CHAR, _Form(Uuid(), str, _uuid)),
    (String, _Form(CleanText(), _same, _of(str))),
    (DateTime, _Form(TZDateTime(), datetime.isoformat, _moment)),
    (Date, _Form(Date(), date.isoformat, date.fromisoformat)),
    (Boolean, _Form(Boolean(), _same, _of(bool))),
    (Integer, _Form(BigInteger(), _same, _integer)),
    (Float, _Form(Float(), _float_out, _float)),
    (LargeBinary, _Form(LargeBinary(), _bytes_out, _bytes)),
)
