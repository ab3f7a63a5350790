"""The path by which clients reach PostgreSQL's socket, which has to be short and plain."""

import fcntl
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from contexten_core.errors import StackError

SOCKET_NAME: Final = ".s.PGSQL.5432"
# sockaddr_un holds 104 bytes on macOS and 108 on Linux, with a zero at the end.
_LONGEST_SOCKET_PATH: Final = 103
# libpq separates hosts by commas, SQLAlchemy looks for ports behind colons.
_PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9/._+ -]+")
_LINK: Final = "s"


class SocketPath:
    """Where clients find the socket: in its folder or, when the path of that will not do, by a link in the temp folder.

    Args:
        folder: the folder with the socket.
        record: a file that remembers the link, so that it can be removed after a crash.
    """

    def __init__(self, folder: Path, *, record: Path) -> None:
        self._record = record
        self._forget()
        self._lock: int | None = None
        self.path = folder if _usable(folder) else self._link(folder)

    def close(self) -> None:
        """Remove the link, if there is one."""
        self._forget()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _link(self, folder: Path) -> Path:
        for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - a private folder is made inside
            if not _usable(Path(parent) / f"contexten-{'x' * 8}" / _LINK):
                continue
            private = Path(tempfile.mkdtemp(prefix="contexten-", dir=parent))
            self._record.write_text(str(private), encoding="utf-8")
            (private / _LINK).symlink_to(folder)
            # Programs that clean the temp folder leave locked folders alone.
            self._lock = os.open(private, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(self._lock, fcntl.LOCK_SH)
            return private / _LINK
        raise StackError(
            f"No path short enough for a socket leads to {folder}",
            hint="Set CONTEXTEN_HOME to a shorter path, or TMPDIR to a folder such as /tmp.",
        )

    def _forget(self) -> None:
        with suppress(FileNotFoundError):
            private = Path(self._record.read_text(encoding="utf-8"))
            self._record.unlink()
            (private / _LINK).unlink()
            private.rmdir()


def _usable(folder: Path) -> bool:
    text = str(folder / SOCKET_NAME)
    return len(os.fsencode(text)) <= _LONGEST_SOCKET_PATH and _PLAIN_PATH.fullmatch(text) is not None
