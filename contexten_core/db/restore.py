"""Fill a database from a backup: all of it, or nothing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, inspect, select, update
from sqlalchemy.exc import DataError, IntegrityError

from contexten_core.db import migrate
from contexten_core.db.archive import ArchiveReader, BackupError, Manifest, open_archive, refusal
from contexten_core.db.models import metadata
from contexten_core.db.portable import PortableTable, tables_at
from contexten_core.errors.base import ConflictError
from contexten_core.settings import DatabaseConfig

_MOST_ROWS = 500
_MOST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored, and the revision that the database is at now."""

    manifest: Manifest
    revision: str


def restore(config: DatabaseConfig, path: Path, *, replace: bool = False) -> Restored:
    """Fill a database with what a backup holds, and migrate it to the newest revision, in one transaction.

    The whole archive is read and checked before anything is touched. No process of ours may work on the database
    meanwhile; that is for the caller to make sure of.

    Args:
        replace: whether rows that are there are removed first, in the same transaction.

    Raises:
        NotFoundError: there is no such file.
        BackupError: it is not a whole backup, or one of a newer Contexten.
        ConflictError: the database is not empty.
        ConfigurationError: the database is of a newer Contexten.
    """
    with open_archive(path) as archive:
        manifest = archive.manifest
        if manifest.revision not in migrate.known_revisions():
            raise BackupError(
                f"{path} is a backup at revision {manifest.revision}, which this version of Contexten does not know",
                hint=f"restore it with Contexten {manifest.contexten}, which made it, or newer",
            )
        tables = tables_at(manifest.revision)
        archive.verify(tables)
        with migrate.locked(config) as connection:
            _make_room(connection, replace=replace)
            _migrate_to(connection, manifest.revision)
            try:
                for table in tables:
                    _load(connection, table, archive)
            except (IntegrityError, DataError) as error:
                raise refusal(path, f"the database refuses a row: {str(error.orig).splitlines()[0]}") from error
            dangling = _dangling(connection)
            if dangling:
                raise refusal(path, dangling)
            migrate.upgrade_on(connection)
            revision = migrate.revision_of(connection)
    assert revision is not None
    return Restored(manifest, revision)


def _make_room(connection: Connection, *, replace: bool) -> None:
    """Leave no row in our tables, or refuse to."""
    migrate.position_of(connection)
    revision = migrate.revision_of(connection)
    if revision is None:
        taken = sorted(set(inspect(connection).get_table_names()) & set(metadata.tables))
        if taken:
            raise ConflictError(
                f"the database has tables with the names of ours that no migration made: {', '.join(taken)[:200]}",
                hint="restore into an empty database",
            )
        return
    tables = tables_at(revision)
    full = [table.name for table in tables if connection.execute(select(table.table.c.id).limit(1)).first()]
    if full and not replace:
        raise ConflictError(
            f"the database is not empty: there are rows in {', '.join(full)}",
            hint="restore into an empty one, or replace everything with --replace (make a backup of it first)",
        )
    _empty(connection, tables)


def _empty(connection: Connection, tables: Sequence[PortableTable]) -> None:
    if connection.dialect.name == "postgresql":
        # Deleted one by one, each row would be looked for in every table that may refer to it.
        quote = connection.dialect.identifier_preparer.quote
        connection.exec_driver_sql(f"TRUNCATE {', '.join(quote(table.name) for table in tables)}")
        return
    for table in tables:
        connection.execute(delete(table.table))


def _migrate_to(connection: Connection, revision: str) -> None:
    known = migrate.known_revisions()
    if migrate.position_of(connection) > known.index(revision) + 1:
        migrate.downgrade_on(connection, revision)
    else:
        migrate.upgrade_on(connection, revision)


def _load(connection: Connection, table: PortableTable, archive: ArchiveReader) -> None:
    """Insert the rows of a table; those that refer to others of the same table, which may come later, do so at last."""
    none = dict.fromkeys(table.own_references)
    for rows in _in_batches(table, archive.lines(table)):
        connection.execute(insert(table.table), [{**row, **none} for row in rows])
    for column in table.own_references:
        refer = update(table.table).where(table.table.c.id == bindparam("row_id")).values({column: bindparam("other")})
        for rows in _in_batches(table, archive.lines(table)):
            pairs = [{"row_id": row["id"], "other": row[column]} for row in rows if row[column] is not None]
            if pairs:
                connection.execute(refer, pairs)


def _in_batches(table: PortableTable, lines: Iterable[bytes]) -> Iterator[Sequence[Mapping[str, Any]]]:
    rows: list[dict[str, Any]] = []
    size = 0
    for line in lines:
        rows.append(table.row(line))
        size += len(line)
        if len(rows) == _MOST_ROWS or size > _MOST_BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def _dangling(connection: Connection) -> str | None:
    """Have SQLite, which enforces no references during migrations, look for one that leads nowhere."""
    if connection.dialect.name != "sqlite":
        return None
    found = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    return None if found is None else f"a row of {found[0]} refers to one of {found[2]} that is not there"
