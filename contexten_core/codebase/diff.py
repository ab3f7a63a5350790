"""What a change does to files: which, and which of their lines."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from contexten_core.execution.git import Mirror

MOST_CHANGES = 20_000

_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_STATUS = re.compile(rb"[A-Z](?=\d*$)")

Lines = tuple[tuple[int, int], ...]
"""Ranges of lines, first and last, counted from 1."""


class ChangeKind(StrEnum):
    ADDED = "added"
    MODIFIED = "modified"
    REMOVED = "removed"
    RENAMED = "renamed"


@dataclass(frozen=True, slots=True)
class FileChange:
    """What a change does to one file.

    Attributes:
        path: its name afterwards, or before when it is removed.
        old_path: its name before.
        lines: those that are new or different afterwards; where lines were only taken out, the two around them.
        old_lines: those that were different or are gone.
        added: how many lines came.
        removed: how many went.
    """

    path: str
    old_path: str | None
    kind: ChangeKind
    lines: Lines = ()
    old_lines: Lines = ()
    added: int = 0
    removed: int = 0


@dataclass(frozen=True, slots=True)
class Diff:
    """What a change does, by path; `left_out` files more are changed that are not looked at."""

    files: tuple[FileChange, ...]
    left_out: int = 0


_KINDS = {b"A": ChangeKind.ADDED, b"C": ChangeKind.ADDED, b"D": ChangeKind.REMOVED, b"R": ChangeKind.RENAMED}


def read_diff(mirror: Mirror, base: str, head: str, *, limit: int = MOST_CHANGES) -> Diff:
    """Return what differs between two fetched commits; after `limit` files the rest is only counted.

    Raises:
        GitError: a commit has not been fetched.
    """
    found = mirror.diff(base, head)
    headers = list(islice(found, limit))
    left_out = sum(1 for _ in found)
    patches = _patches(mirror.hunks(base, head))
    return Diff(tuple(sorted(_changes(headers, patches), key=lambda change: change.path)), left_out)


def _changes(headers: Iterable[tuple[bytes, list[bytes]]], patches: Iterator[list[bytes]]) -> Iterator[FileChange]:
    for header, names in headers:
        found = _STATUS.search(header)
        status = found[0] if found else b"M"
        hunks = next(patches, [])
        # A file that becomes a link, say, is a removal and an addition in the patch.
        hunks = hunks + next(patches, []) if status == b"T" else hunks
        paths = [name.decode("utf-8", "backslashreplace") for name in names]
        kind = _KINDS.get(status, ChangeKind.MODIFIED)
        yield _change(paths[-1], None if kind is ChangeKind.ADDED else paths[0], kind, hunks)


def _change(path: str, old_path: str | None, kind: ChangeKind, hunks: list[bytes]) -> FileChange:
    lines, old_lines, added, removed = [], [], 0, 0
    for hunk in hunks:
        old, old_count, new, new_count = (
            int(number) if number is not None else 1
            for number in _HUNK.match(hunk).groups()  # type: ignore[union-attr]
        )
        added, removed = added + new_count, removed + old_count
        lines.append((new, new + new_count - 1) if new_count else (max(new, 1), new + 1))
        if old_count:
            old_lines.append((old, old + old_count - 1))
    is_gone = kind is ChangeKind.REMOVED
    return FileChange(path, old_path, kind, () if is_gone else tuple(lines), tuple(old_lines), added, removed)


def _patches(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield the hunk headers of each file of a patch, of which there may be none."""
    hunks: list[bytes] | None = None
    for line in lines:
        if line.startswith(b"diff --git "):
            if hunks is not None:
                yield hunks
            hunks = []
        elif hunks is not None and _HUNK.match(line):
            hunks.append(line)
    if hunks is not None:
        yield hunks
