"""What errors of SQLAlchemy, psycopg and sqlite3 mean: by SQLSTATE or SQLite's code, else by class."""

import sqlite3
from collections.abc import Mapping
from typing import Any

from sqlalchemy import exc

from contexten_core.errors import classification as kinds
from contexten_core.errors.classification import Classification

# https://www.postgresql.org/docs/current/errcodes-appendix.html; the longest prefix decides.
_SQLSTATES: Mapping[str, Classification] = {
    "08": kinds.DATABASE_DOWN,
    "22": kinds.DATABASE_DATA,
    "23": kinds.DATABASE_DATA,
    "28": kinds.DATABASE_BROKEN,
    "3D": kinds.DATABASE_BROKEN,
    "40": kinds.DATABASE_BUSY,
    "44": kinds.DATABASE_DATA,
    "53": kinds.DATABASE_DOWN,
    "55P03": kinds.DATABASE_BUSY,
    "57014": kinds.DATABASE_BUSY,
    "57P": kinds.DATABASE_DOWN,
    "58": kinds.DATABASE_BROKEN,
    "XX": kinds.DATABASE_BROKEN,
}

_SQLITE_PRIMARY = 0xFF
_SQLITE_CODES: Mapping[int, Classification] = {
    sqlite3.SQLITE_BUSY: kinds.DATABASE_BUSY,
    sqlite3.SQLITE_LOCKED: kinds.DATABASE_BUSY,
    sqlite3.SQLITE_INTERRUPT: kinds.DATABASE_BUSY,
    sqlite3.SQLITE_CANTOPEN: kinds.DATABASE_DOWN,
    sqlite3.SQLITE_IOERR: kinds.DATABASE_DOWN,
    sqlite3.SQLITE_PROTOCOL: kinds.DATABASE_DOWN,
    sqlite3.SQLITE_FULL: kinds.DATABASE_BROKEN,
    sqlite3.SQLITE_CORRUPT: kinds.DATABASE_BROKEN,
    sqlite3.SQLITE_NOTADB: kinds.DATABASE_BROKEN,
    sqlite3.SQLITE_READONLY: kinds.DATABASE_BROKEN,
    sqlite3.SQLITE_PERM: kinds.DATABASE_BROKEN,
    sqlite3.SQLITE_CONSTRAINT: kinds.DATABASE_DATA,
    sqlite3.SQLITE_MISMATCH: kinds.DATABASE_DATA,
    sqlite3.SQLITE_TOOBIG: kinds.DATABASE_DATA,
}

# The names that PEP 249 gives the classes of every driver, and SQLAlchemy its own.
_CLASSES: Mapping[str, Classification] = {
    "DataError": kinds.DATABASE_DATA,
    "IntegrityError": kinds.DATABASE_DATA,
    "InterfaceError": kinds.DATABASE_DOWN,
    "InternalError": kinds.DATABASE_BROKEN,
    "NotSupportedError": kinds.DATABASE_STATEMENT,
    "OperationalError": kinds.DATABASE_DOWN,
    "ProgrammingError": kinds.DATABASE_STATEMENT,
}


def judge_statement(error: exc.StatementError) -> Classification | BaseException | None:
    """Judge what SQLAlchemy wrapped: a driver's error, or one that a value raised on its way into the statement."""
    if not isinstance(error, exc.DBAPIError):
        return error.orig or kinds.DATABASE_STATEMENT
    if error.connection_invalidated:
        return kinds.DATABASE_DOWN
    return _by_code(error.orig) or _by_class(error)


def judge_driver(error: Any) -> Classification:
    return _by_code(error) or _by_class(error)


def _by_code(error: Any) -> Classification | None:
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(code, int):
        return _SQLITE_CODES.get(code & _SQLITE_PRIMARY, kinds.DATABASE_STATEMENT)
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str):
        found = (_SQLSTATES[state[:length]] for length in (5, 3, 2) if state[:length] in _SQLSTATES)
        return next(found, kinds.DATABASE_STATEMENT)
    return None


def _by_class(error: BaseException) -> Classification:
    found = (_CLASSES[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _CLASSES)
    return next(found, kinds.DATABASE_STATEMENT)
