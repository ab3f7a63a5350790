"""What the command line keeps of its analyses where no stack runs: one SQLite file, without SQLAlchemy.

It holds nothing that cannot be found out again, so another version of the analyser starts with a file of its own, and
so does one that has grown too large or is damaged.
"""

import os
import sqlite3
import time
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from contexten_core.codebase.commit import FactsKey
from contexten_core.codebase.record import RECORD_VERSION

SNAPSHOTS_KEPT = 5
MOST_BYTES = 1024**3

_BUSY_SECONDS = 10.0
_KEYS_AT_ONCE = 400
_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (blob_id TEXT, kind TEXT, record BLOB, UNIQUE (blob_id, kind));
CREATE TABLE IF NOT EXISTS snapshots (
    repository TEXT, commit_id TEXT, kept_at REAL, content BLOB, UNIQUE (repository, commit_id)
);
"""


class LocalStore:
    """Brief records by content, and the newest snapshots of each repository. Used as a context manager.

    Args:
        folder: private to this account; made when it is missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / f"facts-{RECORD_VERSION}.db"
        for other in folder.glob("facts-*.db*"):
            if not other.name.startswith(self._path.name) or other.stat().st_size > MOST_BYTES:
                other.unlink(missing_ok=True)
        try:
            self._database = self._open()
        except sqlite3.DatabaseError:
            self._path.unlink(missing_ok=True)
            self._database = self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def records(self, keys: Iterable[FactsKey]) -> dict[FactsKey, bytes]:
        """Return what is kept of some contents."""
        wanted = set(keys)
        blob_ids = sorted({blob_id for blob_id, _ in wanted})
        found: dict[FactsKey, bytes] = {}
        for start in range(0, len(blob_ids), _KEYS_AT_ONCE):
            part = blob_ids[start : start + _KEYS_AT_ONCE]
            marks = ",".join("?" * len(part))
            query = f"SELECT blob_id, kind, record FROM records WHERE blob_id IN ({marks})"  # noqa: S608 - marks alone
            for blob_id, kind, record in self._database.execute(query, part):
                if (blob_id, kind) in wanted:
                    found[blob_id, kind] = record
        return found

    def snapshot(self, repository: str, commit: str) -> bytes | None:
        """Return the snapshot of a commit, or else the newest one of its repository."""
        row = self._database.execute(
            "SELECT content FROM snapshots WHERE repository = ? ORDER BY commit_id = ? DESC, kept_at DESC LIMIT 1",
            (repository, commit),
        ).fetchone()
        return None if row is None else bytes(row[0])

    def keep(self, records: Mapping[FactsKey, bytes], *, repository: str, commit: str, snapshot: bytes | None) -> None:
        """Keep what was found out for a commit, all of it or nothing."""
        with self._database:
            self._database.executemany(
                "INSERT OR IGNORE INTO records VALUES (?, ?, ?)", [(*key, record) for key, record in records.items()]
            )
            if snapshot is not None:
                self._database.execute(
                    "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?)", (repository, commit, time.time(), snapshot)
                )
                self._database.execute(
                    "DELETE FROM snapshots WHERE repository = ?1 AND kept_at < ("
                    "SELECT min(kept_at) FROM ("
                    "SELECT kept_at FROM snapshots WHERE repository = ?1 ORDER BY kept_at DESC LIMIT ?2))",
                    (repository, SNAPSHOTS_KEPT),
                )

    def _open(self) -> sqlite3.Connection:
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        database = sqlite3.connect(self._path, timeout=_BUSY_SECONDS)
        try:
            # What is lost when the machine stops is found out again.
            database.execute("PRAGMA synchronous = OFF")
            with closing(database.cursor()) as cursor:
                cursor.executescript(_SCHEMA)
        except BaseException:
            database.close()
            raise
        return database
