"""Repositories of this machine, read where they are: a bare repository of ours borrows their objects.

Nothing is copied, which would take as long as the analysis. Git still never runs inside the other folder: of it, only
objects are read, and neither its configuration nor its hooks.
"""

import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from contexten_core.errors import GitError
from contexten_core.execution.file_lock import file_lock
from contexten_core.execution.git import HISTORY_DEPTH, Mirror, _Authorization, lock_of
from contexten_core.execution.git_names import check_object_id, parse_source

_MOST_BYTES = 1024**2
_ID = re.compile(rb"(?:[0-9a-f]{40}|[0-9a-f]{64})")


class _Lender(NamedTuple):
    """Where a repository has its objects, and says where its history was cut off."""

    objects: Path
    shallow: bytes


class BorrowingMirror(Mirror):
    """A mirror whose commits are still those of the repository that it mirrors.

    Args:
        root: the folder of all such mirrors, which nobody else writes to.
        repository: an absolute path.
        timeout_seconds: how long one git call, or one wait for another process, may take.

    Raises:
        GitError: that is no path.
    """

    def __init__(self, root: Path, repository: str, *, timeout_seconds: float = 120) -> None:
        source = parse_source(repository, allow_local=True)
        super().__init__(
            root.absolute(), source, _Authorization(), timeout_seconds=timeout_seconds, history_depth=HISTORY_DEPTH
        )

    def fetch(self, commit: str, ref: str | None = None) -> None:
        """Make one commit readable, with all of the history that is there; `ref` is not needed for it.

        Raises:
            GitError: the repository has no such commit.
        """
        commit = check_object_id(commit)
        lender = _lender(self.url)
        if lender is None:
            super().fetch(commit, ref)
            return
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with file_lock(
            lock_of(self._root, self._name), what=f"the mirror of {self.url}", timeout_seconds=self._timeout
        ):
            self._note_use()
            self._create(object_format="sha1" if len(commit) == 40 else "sha256")  # noqa: PLR2004 - hexadecimal digits
            _write(self._folder / "objects" / "info" / "alternates", os.fsencode(lender.objects) + b"\n")
            _write(self._folder / "shallow", _ids(lender.shallow))
            if not self._has(commit):
                self._borrow(commit)

    def _borrow(self, commit: str) -> None:
        try:
            self._git(["cat-file", "-e", f"{commit}^{{commit}}"])
        except GitError as error:
            if error.transient:
                raise
            raise GitError(
                f"{self.url} has no commit {commit}", hint="Give the id of a commit that is there."
            ) from error
        self._git(["update-ref", f"refs/contexten/{commit}", commit])


def _lender(url: str) -> _Lender | None:
    """Find the objects of a repository; None where they cannot be borrowed."""
    folder = Path(url)
    try:
        place = folder / ".git"
        if place.is_file():
            place = folder / _read(place).decode(errors="surrogateescape").removeprefix("gitdir:").strip()
        elif not place.is_dir():
            place = folder
        if common := _read(place / "commondir"):
            place = place / common.decode(errors="surrogateescape").strip()
        objects = (place / "objects").resolve()
        is_there = objects.is_dir()
        shallow = _read(place / "shallow")
    except (OSError, ValueError):
        return None
    return _Lender(objects, shallow) if is_there and "\n" not in str(objects) else None


def _ids(content: bytes) -> bytes:
    """Return those lines that are ids: git would repeat others in what it says of them."""
    return b"".join(line + b"\n" for line in content.split(b"\n") if _ID.fullmatch(line))


def _read(path: Path) -> bytes:
    """Return what a file holds; nothing for what is no file, such as a pipe, which might never end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return b""
    with os.fdopen(descriptor, "rb") as file:
        return file.read(_MOST_BYTES)


def _write(path: Path, content: bytes) -> None:
    """Give a file a content; an empty one it does not need to be there for."""
    if _read(path) == content:
        return
    if not content:
        path.unlink()
        return
    path.parent.mkdir(exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(content)
    new.replace(path)
