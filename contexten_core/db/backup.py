"""Write everything that a database holds into one file, from which either kind of database can be restored."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO

from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from contexten_core.db import migrate
from contexten_core.db.archive import BackupError, Manifest, new_archive
from contexten_core.db.base import utc_now
from contexten_core.db.portable import PortableTable, tables_at
from contexten_core.db.snapshot import snapshot
from contexten_core.errors.base import ConflictError
from contexten_core.settings import DatabaseConfig

# What is held in memory at once: as many rows as fit into so many bytes if they are like the largest before.
_BYTES_AT_ONCE = 8 * 1024 * 1024
_MOST_ROWS = 50
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


def back_up(config: DatabaseConfig, path: Path, *, force: bool = False) -> Manifest:
    """Write all rows of our tables, as they are at this moment, into the file `path`, readable by this account only.

    The database may be in use. The file appears under its name only when it is whole and safely on disk. It holds raw
    deliveries and digests of tokens, so it is as sensitive as the database; it does not hold the secrets of the home.

    Args:
        force: whether a file that exists is replaced.

    Raises:
        ConflictError: the file exists, or the database has no tables of ours.
        ConfigurationError: the database is of a newer Contexten.
        NotFoundError: there is no such SQLite file.
        BackupError: the file cannot be written, a row is too large, or the tables are not as they should be.
    """
    if path.exists() and not force:
        raise _exists(path)
    with snapshot(config) as connection:
        migrate.position_of(connection)
        revision = migrate.revision_of(connection)
        if revision is None:
            raise ConflictError("the database has no tables of Contexten", hint="there is nothing to back up yet")
        with _new_file(path, force=force) as file, new_archive(file) as writer:
            contents = {table.name: writer.add(table, _lines(connection, table)) for table in tables_at(revision)}
            manifest = Manifest(
                contexten=version("contexten"),
                revision=revision,
                dialect="sqlite" if connection.dialect.name == "sqlite" else "postgresql",
                created_at=utc_now(),
                tables=contents,
            )
            writer.finish(manifest)
    return manifest


def _lines(connection: Connection, table: PortableTable) -> Iterator[bytes]:
    largest, count = 1, 1
    try:
        with connection.execution_options(stream_results=True).execute(table.select()) as result:
            rows = result.mappings()
            while some := rows.fetchmany(count):
                for row in some:
                    line = table.line(row)
                    largest = max(largest, len(line))
                    yield line
                count = max(1, min(2 * count, _MOST_ROWS, _BYTES_AT_ONCE // largest))
    except (DatabaseError, ValueError) as error:
        reason = error.orig if isinstance(error, DatabaseError) else error
        raise BackupError(
            f"{table.name} cannot be read: {str(reason).splitlines()[0]}", hint="`contexten db check` looks closer"
        ) from error


@contextmanager
def _new_file(path: Path, *, force: bool) -> Iterator[IO[bytes]]:
    """Open a file that takes its name when the block ends, and is removed when it raises."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name[:100]}.", suffix=".part")
    except OSError as error:
        raise _cannot_write(path, error) from error
    scratch = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _name(scratch, path, force=force)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        scratch.unlink(missing_ok=True)


def _name(scratch: Path, path: Path, *, force: bool) -> None:
    if force:
        scratch.replace(path)
    else:
        try:
            path.hardlink_to(scratch)
        except FileExistsError:
            raise _exists(path) from None
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            if path.exists():
                raise _exists(path) from None
            scratch.replace(path)
    folder = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _exists(path: Path) -> ConflictError:
    return ConflictError(f"the file {path} exists", hint="choose another name, or replace it with --force")


def _cannot_write(path: Path, error: OSError) -> BackupError:
    return BackupError(
        f"{path} cannot be written: {error.strerror or error}", hint="choose another place, or make room"
    )
