"""Read a unified diff that is not trusted, and apply it to files, without git and without a file system.

Only text is taken: files that are new, changed, renamed or gone. What else git can say in a diff (binary data, links,
submodules, modes, copies) is refused as a whole, and so is a diff that touches a path that it may not.
"""

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from contexten_core.outputs.patch_paths import refusal
from contexten_core.outputs.patch_read import MOST_FILES, FilePatch, Hunk, PatchError, files_of

__all__ = ["LARGEST", "FilePatch", "Hunk", "Patch", "PatchError", "apply", "read_patch"]

LARGEST = 1024 * 1024
"""Bytes of a diff."""

_LARGEST_RESULT = 5 * LARGEST
_FURTHEST = 50
"""How many lines away from where it says a hunk may fit."""


@dataclass(frozen=True, slots=True)
class Patch:
    """What a diff does.

    Attributes:
        added: all that it adds, line by line, as text.
    """

    files: tuple[FilePatch, ...]
    added: str


def read_patch(diff: str, *, paths: tuple[str, ...] | None) -> Patch:
    """Read a diff in the form of `git diff`, or of `diff -u` with `a/` and `b/`.

    Args:
        paths: globs that it may touch, as `OutputSpec.paths`; None allows all but what is protected.

    Raises:
        PatchError: it is none, does more than change text, is too large or touches what it may not; says what.
    """
    try:
        size = len(diff.encode())
    except UnicodeEncodeError:
        raise PatchError("the patch is not valid text") from None
    if size > LARGEST:
        raise PatchError(f"the patch has {size:,} bytes, and {LARGEST:,} are the most")
    files = tuple(files_of(diff))
    if not files:
        raise PatchError("the patch changes nothing")
    _check_paths(files, paths)
    added: list[bytes] = []
    for hunk in (hunk for file in files for hunk in file.hunks):
        before = set(hunk.old)
        added += [line for line in hunk.new if line not in before]
    return Patch(files, b"".join(added).decode())


def apply(patch: Patch, read: Callable[[str], bytes | None]) -> dict[str, bytes | None]:
    """Return the files that a patch leaves, whole, and None for each that goes.

    A hunk fits where its old lines are exactly, at most 50 lines from where it says.

    Args:
        read: returns the content of a file of the commit, None where there is none.

    Raises:
        PatchError: it does not fit.
    """
    result: dict[str, bytes | None] = {}
    size = 0
    for file in patch.files:
        content = _content(file, read)
        if file.old_path is not None and file.old_path != file.new_path:
            result[file.old_path] = None
        changed = b"".join(_changed(file, content))
        if file.new_path is None:
            if changed:
                raise PatchError(f"the patch removes {file.path}, but not all that is in it")
            continue
        size += len(changed)
        if size > _LARGEST_RESULT:
            raise PatchError(f"the patch leaves more than {_LARGEST_RESULT:,} bytes of files")
        result[file.new_path] = changed
    return result


def _content(file: FilePatch, read: Callable[[str], bytes | None]) -> bytes:
    if file.new_path is not None and file.new_path != file.old_path and read(file.new_path) is not None:
        raise PatchError(f"the patch adds {file.new_path}, which there is already")
    if file.old_path is None:
        return b""
    content = read(file.old_path)
    if content is None:
        raise PatchError(f"the patch changes {file.old_path}, which there is not")
    return content


def _changed(file: FilePatch, content: bytes) -> Iterator[bytes]:
    lines = _lines(content)
    done = shift = 0
    for number, hunk in enumerate(file.hunks, 1):
        place = _place(lines, hunk, max(hunk.start + shift, 0), done)
        if place is None:
            raise PatchError(f"hunk {number} of {file.path} does not fit the file at line {hunk.start + 1}")
        yield from lines[done:place]
        yield from hunk.new
        shift = place - hunk.start
        done = place + len(hunk.old)
    yield from lines[done:]


def _lines(content: bytes) -> list[bytes]:
    """Return the lines of a file, which end with a newline and nothing else."""
    lines = [line + b"\n" for line in content.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _place(lines: list[bytes], hunk: Hunk, wanted: int, earliest: int) -> int | None:
    """Return the place nearest to where a hunk says that it fits."""
    old = list(hunk.old)
    distances = range(1, _FURTHEST + 1) if old else ()
    for place in (wanted, *(wanted + sign * by for by in distances for sign in (-1, 1))):
        if earliest <= place <= len(lines) - len(old) and lines[place : place + len(old)] == old:
            # A last line without a line break has nothing behind it, before or after.
            is_end = place + len(old) == len(lines)
            ends_open = bool(hunk.new) and not hunk.new[-1].endswith(b"\n")
            after_open = not old and place and not lines[place - 1].endswith(b"\n")
            if not (ends_open and not is_end) and not after_open:
                return place
    return None


def _check_paths(files: tuple[FilePatch, ...], globs: tuple[str, ...] | None) -> None:
    if len(files) > MOST_FILES:
        raise PatchError(f"the patch touches {len(files):,} files, and {MOST_FILES} are the most")
    seen: dict[str, str] = {}
    for file in files:
        for path in dict.fromkeys(filter(None, (file.old_path, file.new_path))):
            if problem := refusal(path, globs):
                raise PatchError(f"the patch touches {path[:200]!r}, which {problem}")
            key = unicodedata.normalize("NFC", path).casefold()
            if key in seen:
                raise PatchError(f"the patch touches {path[:200]!r} twice, or another of the same name")
            seen[key] = path
    for key, path in seen.items():
        above = key.rpartition("/")[0]
        while above:
            if above in seen:
                raise PatchError(f"the patch has {path[:200]!r} below {seen[above][:200]!r}, which is a file")
            above = above.rpartition("/")[0]
