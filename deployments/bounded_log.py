"""A child's log file that cannot fill the disk."""

import logging
import os
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

_TAIL_BYTES: Final = 16 * 1024


class BoundedLog:
    """Appends to a 0600 file and rotates it by size, keeping its end in memory for error messages.

    Args:
        path: the file; older parts get the suffixes `.1` (newest), `.2` and so on.
        limit: bytes at which a file is rotated.
        kept: number of files in all, so that never more than `limit * kept` bytes are on disk.
    """

    def __init__(self, path: Path, *, limit: int = 10_000_000, kept: int = 3) -> None:
        self._path = path
        self._limit = limit
        self._kept = kept
        self._tail = bytearray()
        self._lost = 0
        self._file, self._size = self._open()

    def write(self, data: bytes) -> None:
        """Append output; when the disk refuses, the output is dropped and the child is not held up."""
        self._tail += data
        del self._tail[:-_TAIL_BYTES]
        for start in range(0, len(data), self._limit):
            self._append(data[start : start + self._limit])

    def tail(self, lines: int = 20) -> str:
        """Return the last lines of this run's output."""
        text = bytes(self._tail).decode(errors="replace")
        return "\n".join(text.rstrip().splitlines()[-lines:])

    def forget(self) -> None:
        """Start a new tail, so that a later error does not quote an earlier run."""
        self._tail.clear()

    def close(self) -> None:
        os.close(self._file)

    def _append(self, data: bytes) -> None:
        try:
            if self._size + len(data) > self._limit:
                self._rotate()
            self._size += os.write(self._file, data)
        except OSError as error:
            if self._lost == 0:
                logger.warning("Output is not written to %s any more: %s", self._path, error)
            self._lost += len(data)
            return
        if self._lost:
            logger.warning("Output is written to %s again; %d bytes were lost", self._path, self._lost)
            self._lost = 0

    def _rotate(self) -> None:
        for number in range(self._kept - 1, 0, -1):
            older = self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))
        self._path.unlink(missing_ok=True)
        fresh, size = self._open()
        os.close(self._file)
        self._file, self._size = fresh, size

    def _numbered(self, number: int) -> Path:
        return self._path if number == 0 else self._path.with_name(f"{self._path.name}.{number}")

    def _open(self) -> tuple[int, int]:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o600)
        return descriptor, os.fstat(descriptor).st_size
