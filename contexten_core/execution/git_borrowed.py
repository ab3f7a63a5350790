"""Repositories of this machine, read where they are: a bare repository of ours borrows their objects.

Nothing is copied, which would take as long as the analysis. Git still never runs inside the other folder: of it, only
objects are read, and neither its configuration nor its hooks.
"""

import os
from pathlib import Path
from typing import NamedTuple

from contexten_core.errors import GitError
from contexten_core.execution.file_lock import file_lock
from contexten_core.execution.git import HISTORY_DEPTH, Mirror, _Authorization
from contexten_core.execution.git_names import check_object_id, parse_source

_MOST_BYTES = 1024**2


class _Lender(NamedTuple):
    """Where a repository has its objects, and says where its history was cut off."""

    objects: Path
    shallow: Path


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
            self._root / f"{self._name}.lock", what=f"the mirror of {self.url}", timeout_seconds=self._timeout
        ):
            self._create(object_format="sha1" if len(commit) == 40 else "sha256")  # noqa: PLR2004 - hexadecimal digits
            _write(self._folder / "objects" / "info" / "alternates", os.fsencode(lender.objects) + b"\n")
            _write(self._folder / "shallow", _read(lender.shallow))
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
    except (OSError, ValueError):
        return None
    return _Lender(objects, place / "shallow") if is_there and "\n" not in str(objects) else None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except FileNotFoundError:
        return b""


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
