"""What a coding agent has made of a checkout: told by comparing plain files, and never by running git in there.

Everything in the folder may be hostile afterwards: no link is followed, nothing but plain files is opened, and what is
read is bounded.
"""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import IO

from contexten_core.outputs.patch_paths import path_problem
from contexten_core.outputs.patch_read import MOST_FILES

LARGEST_FILE_BYTES = 2 * 1024**2
MOST_CHANGED_BYTES = 32 * 1024**2
_MOST_READ_BYTES = 512 * 1024**2
_MOST_ENTRIES = 500_000
_DEEPEST = 100
_READ_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BY_THE_WAY = frozenset(
    {
        ".cache",
        ".claude",
        ".codex",
        ".coverage",
        ".DS_Store",
        ".gemini",
        ".gradle",
        ".mypy_cache",
        ".next",
        ".nox",
        ".pytest_cache",
        ".ruff_cache",
        ".tox",
        ".venv",
        "__pycache__",
        "node_modules",
        "venv",
    }
)
"""What tools and agents leave behind; new, it is no part of a change."""


_Read = Callable[[int, str, str, os.stat_result], bytes | None]


class _Kind(StrEnum):
    FILE = "a file"
    FOLDER = "a folder"
    LINK = "a symbolic link"
    OTHER = "neither a file nor a folder"
    CLOSED = "a folder that cannot be looked into"


@dataclass(frozen=True, slots=True)
class _Entry:
    """Something in a checkout.

    Attributes:
        stamp: by which the kernel tells that something may have changed: inode, size, times.
        content: of a file that is not too large; of a link where it leads to.
        place: where the content of a file is kept, and how long it is.
    """

    kind: _Kind
    stamp: tuple[int, ...]
    is_executable: bool = False
    content: bytes | None = None
    place: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one file of text; None where there was, or is, none."""

    path: str
    old: bytes | None
    new: bytes | None
    is_executable: bool = False


@dataclass(slots=True)
class Changes:
    """What an agent changed.

    Attributes:
        left_out: what cannot be part of a patch, by its path, and why.
        problem: why it is too much to be a patch at all.
    """

    files: list[Change] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    problem: str | None = None


class _TooMuchError(Exception):
    """More than is looked at; never leaves this module."""


class Original:
    """A checkout as it was. Making it reads all of the checkout.

    Args:
        kept: where the content of its files is kept: open, empty, and where nothing in the sandbox can reach it.

    Raises:
        OSError: the checkout cannot be read, or what is kept cannot be written.
    """

    def __init__(self, checkout: Path, kept: IO[bytes]) -> None:
        self._checkout = checkout
        self._kept = kept
        self._entries: dict[str, _Entry] = {}
        self._read_bytes = 0
        self._problem: str | None = None
        try:
            for path, entry in _walk(checkout, known=None, read=_read_small):
                self._entries[path] = self._keep(entry)
        except _TooMuchError as error:
            self._problem = str(error)

    def changes(self) -> Changes:
        """Compare the checkout as it is now with what was remembered."""
        found = Changes(problem=self._problem)
        if found.problem is not None:
            return found
        try:
            self._compare(found)
        except _TooMuchError as error:
            found.problem = str(error)
        except OSError as error:
            found.problem = f"the checkout cannot be read any more: {os.strerror(error.errno or 0)}"
        return found

    def _compare(self, found: Changes) -> None:
        seen: set[str] = set()
        size = 0
        for path, entry in _walk(self._checkout, known=self._entries, read=self._read_changed):
            seen.add(path)
            before = self._entries.get(path)
            if before is not None and before.stamp == entry.stamp:
                continue
            if _is_below(path, found.left_out):
                continue
            change = self._change(path, before, entry, found)
            if change is not None:
                size = _counted(found, change, size)
        for path in sorted(self._entries.keys() - seen):
            if not _is_below(path, found.left_out) and (gone := self._removal(path, found)) is not None:
                size = _counted(found, gone, size)
        found.files.sort(key=lambda change: change.path)

    def _change(self, path: str, before: _Entry | None, entry: _Entry, found: Changes) -> Change | None:
        if before is not None and before.kind is not entry.kind:
            found.left_out[path] = f"was {before.kind.value}, and is {entry.kind.value}"
        elif entry.kind is _Kind.FOLDER or (entry.kind is _Kind.LINK and before and before.content == entry.content):
            return None
        elif entry.kind is not _Kind.FILE:
            found.left_out[path] = f"is {entry.kind.value}"
        elif entry.content is None or (before is not None and before.place is None):
            found.left_out[path] = f"has more than {LARGEST_FILE_BYTES:,} bytes, or cannot be read"
        elif before is None:
            change = _told(found, Change(path, None, entry.content))
            if change is not None and entry.is_executable:
                found.left_out[path] = "its mode: a patch makes no executable files"
            return change
        elif (old := self._content(before)) != entry.content:
            return _told(found, Change(path, old, entry.content, before.is_executable))
        elif before.is_executable is not entry.is_executable:
            found.left_out[path] = "has another mode only"
        return None

    def _removal(self, path: str, found: Changes) -> Change | None:
        before = self._entries[path]
        if before.kind is _Kind.FOLDER:
            return None
        if before.place is None:
            found.left_out[path] = f"was {before.kind.value} that no patch can remove"
            return None
        return _told(found, Change(path, self._content(before), None, before.is_executable))

    def _keep(self, entry: _Entry) -> _Entry:
        if entry.kind is not _Kind.FILE or entry.content is None:
            return entry
        place = (self._kept.seek(0, os.SEEK_END), len(entry.content))
        self._kept.write(entry.content)
        return _Entry(entry.kind, entry.stamp, entry.is_executable, place=place)

    def _content(self, entry: _Entry) -> bytes:
        assert entry.place is not None
        self._kept.seek(entry.place[0])
        return self._kept.read(entry.place[1])

    def _read_changed(self, folder: int, name: str, path: str, state: os.stat_result) -> bytes | None:
        before = self._entries.get(path)
        if before is not None and before.stamp == _stamp(state):
            return None
        content = _read_small(folder, name, path, state)
        # A file with holes takes no room on the disk, but time to be read.
        self._read_bytes += len(content or b"")
        if self._read_bytes > _MOST_READ_BYTES:
            raise _TooMuchError(f"what it changed has more than {_MOST_READ_BYTES:,} bytes")
        return content


def _told(found: Changes, change: Change) -> Change | None:
    """Return a change of text; what is none is left out with the reason."""
    if problem := path_problem(change.path) or _text_problem(change):
        found.left_out[change.path] = problem
        return None
    return change


def _text_problem(change: Change) -> str | None:
    for content in (change.old, change.new):
        try:
            if content is not None and "\0" in content.decode():
                return "is no text"
        except UnicodeDecodeError:
            return "is no text in UTF-8"
    return None


def _counted(found: Changes, change: Change, size: int) -> int:
    found.files.append(change)
    if len(found.files) > MOST_FILES:
        raise _TooMuchError(f"it changed more than {MOST_FILES} files")
    size += len(change.old or b"") + len(change.new or b"")
    if size > MOST_CHANGED_BYTES:
        raise _TooMuchError(f"the files that it changed have more than {MOST_CHANGED_BYTES:,} bytes")
    return size


def _is_below(path: str, others: dict[str, str]) -> bool:
    above = path.rpartition("/")[0]
    while above:
        if above in others:
            return True
        above = above.rpartition("/")[0]
    return False


def _stamp(state: os.stat_result) -> tuple[int, ...]:
    if stat.S_ISDIR(state.st_mode):
        return (stat.S_IFDIR,)
    return (state.st_mode, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


class _Walk:
    """One way through a checkout, by descriptors of its folders, so that nothing can lead out of it."""

    def __init__(self, known: dict[str, _Entry] | None, read: _Read) -> None:
        self._known = known
        self._read = read
        self._left = _MOST_ENTRIES

    def folder(self, folder: int, prefix: str, depth: int) -> Iterator[tuple[str, _Entry]]:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in islice(entries, self._left + 1))
        self._left -= len(names)
        if self._left < 0:
            raise _TooMuchError(f"the checkout has more than {_MOST_ENTRIES:,} files and folders")
        for name in names:
            path = f"{prefix}{name}"
            if name.casefold() == ".git" or (self._known is not None and self._is_by_the_way(name, path)):
                continue
            try:
                state = os.stat(name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(state.st_mode):
                yield from self._inside(folder, name, path, state, depth)
            else:
                yield path, self._entry(folder, name, path, state)

    def _is_by_the_way(self, name: str, path: str) -> bool:
        return (name in _BY_THE_WAY or name.startswith(".aider")) and path not in (self._known or {})

    def _inside(
        self, folder: int, name: str, path: str, state: os.stat_result, depth: int
    ) -> Iterator[tuple[str, _Entry]]:
        try:
            if depth == _DEEPEST:
                raise PermissionError
            inner = os.open(name, _READ_FOLDER, dir_fd=folder)
        except OSError:
            yield path, _Entry(_Kind.CLOSED, ())
            return
        try:
            yield path, _Entry(_Kind.FOLDER, _stamp(state))
            yield from self.folder(inner, f"{path}/", depth + 1)
        finally:
            os.close(inner)

    def _entry(self, folder: int, name: str, path: str, state: os.stat_result) -> _Entry:
        is_executable = bool(state.st_mode & stat.S_IXUSR)
        if stat.S_ISREG(state.st_mode):
            return _Entry(_Kind.FILE, _stamp(state), is_executable, self._read(folder, name, path, state))
        if stat.S_ISLNK(state.st_mode):
            target = os.fsencode(os.readlink(name, dir_fd=folder))
            return _Entry(_Kind.LINK, _stamp(state), content=target)
        return _Entry(_Kind.OTHER, _stamp(state))


def _walk(checkout: Path, *, known: dict[str, _Entry] | None, read: _Read) -> Iterator[tuple[str, _Entry]]:
    """Yield what is in a checkout, folders before what is in them.

    Args:
        known: what was there before; what tools leave behind is passed over unless it is among that.
        read: gives the content of a plain file, None for one that is not looked into.
    """
    root = os.open(checkout, _READ_FOLDER)
    try:
        yield from _Walk(known, read).folder(root, "", 0)
    finally:
        os.close(root)


def _read_small(folder: int, name: str, _path: str, state: os.stat_result) -> bytes | None:
    """Return the content of a plain file; None for one that is too large or cannot be read."""
    if state.st_size > LARGEST_FILE_BYTES:
        return None
    try:
        with os.fdopen(os.open(name, _READ_FILE, dir_fd=folder), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            content = file.read(LARGEST_FILE_BYTES + 1)
    except OSError:
        return None
    return content if len(content) <= LARGEST_FILE_BYTES else None
