"""The lines of a unified diff, file by file. Strict: a line that is none of those expected is an error."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from contexten_core.errors import ContextenError

MOST_FILES = 200

_HUNK = re.compile(r"@@ -([0-9]{1,9})(?:,([0-9]{1,9}))? \+([0-9]{1,9})(?:,([0-9]{1,9}))? @@(?: .*)?")
_INDEX = re.compile(r"index [0-9a-f]{4,64}\.\.[0-9a-f]{4,64}(?: ([0-7]{6}))?")
_SIMILARITY = re.compile(r"(?:dis)?similarity index [0-9]{1,3}%")
_MODE = re.compile(r"(old mode|new mode|new file mode|deleted file mode) ([0-7]{6})")
_OCTAL = re.compile(r'\\([0-7]{3}|[abtnvfr"\\])')
_ESCAPES = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_NOTHING = "/dev/null"
_NO_BREAK = "\\ No newline at end of file"
_FILE = "100644"
_EXECUTABLE = "100755"
_KINDS = {"120000": "a symbolic link", "160000": "a submodule", "040000": "a folder"}


class PatchError(ContextenError):
    """A diff that is refused, or does not fit the code."""

    code = "patch"
    status = 422


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines that are there and those that take their place, each with its line break; `start` counts from 0."""

    start: int
    old: tuple[bytes, ...]
    new: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class FilePatch:
    """What is done to one file: a new one has no old path, one that goes no new path."""

    old_path: str | None
    new_path: str | None
    hunks: tuple[Hunk, ...] = ()

    @property
    def path(self) -> str:
        return self.new_path or self.old_path or ""


@dataclass(slots=True)
class _Header:
    """What the lines before the hunks of a file say."""

    names: str | None = None
    old: str | None = None
    new: str | None = None
    renamed_from: str | None = None
    renamed_to: str | None = None
    is_new: bool = False
    is_gone: bool = False
    hunks: list[Hunk] = field(default_factory=list)


class _Lines:
    """The lines of a diff, one ahead."""

    def __init__(self, diff: str) -> None:
        self._lines = diff.split("\n")
        if self._lines[-1] == "":
            self._lines.pop()
        self.number = 0

    @property
    def next(self) -> str | None:
        return self._lines[self.number] if self.number < len(self._lines) else None

    def take(self) -> str:
        line = self._lines[self.number]
        self.number += 1
        return line

    def wrong(self, what: str) -> PatchError:
        return PatchError(
            f"line {self.number + 1} of the patch: {what}", hint="It has to be like the output of git diff."
        )


def files_of(diff: str) -> Iterator[FilePatch]:
    """Yield what a diff does to each file; paths are as it says them, and not checked.

    Raises:
        PatchError: it is not of the form, or does what is not taken.
    """
    lines = _Lines(diff)
    count = 0
    while (line := lines.next) is not None:
        if not line.strip():
            lines.take()
            continue
        header = _header(lines)
        while (line := lines.next) is not None and line.startswith("@@"):
            header.hunks.append(_hunk(lines))
        count += 1
        if count > MOST_FILES:
            raise PatchError(f"the patch touches more than {MOST_FILES} files")
        yield _file(lines, header)


def _header(lines: _Lines) -> _Header:
    header = _Header()
    first = (lines.next or "").rstrip("\r")
    if first.startswith("diff --git "):
        header.names = first.removeprefix("diff --git ")
        lines.take()
    elif not first.startswith("--- "):
        raise lines.wrong(f"a file does not begin with {first[:60]!r}")
    while (line := lines.next) is not None:
        line = line.rstrip("\r")
        if line.startswith("--- "):
            lines.take()
            header.old = _name(lines, line.removeprefix("--- "))
            following = (lines.next or "").rstrip("\r")
            if not following.startswith("+++ "):
                raise lines.wrong("--- without +++")
            lines.take()
            header.new = _name(lines, following.removeprefix("+++ "))
            if not (lines.next or "").startswith("@@"):
                raise lines.wrong("+++ without a hunk")
            break
        if header.names is None or not _extended(lines, header, line):
            break
        lines.take()
    return header


def _extended(lines: _Lines, header: _Header, line: str) -> bool:
    """Take one of git's own header lines; return False when it is none."""
    if mode := _MODE.fullmatch(line):
        _check_mode(lines, mode[2], may_execute=mode[1] == "deleted file mode")
        if mode[1] in ("old mode", "new mode"):
            raise lines.wrong("a patch may not change modes")
        header.is_new, header.is_gone = mode[1] == "new file mode", mode[1] == "deleted file mode"
    elif index := _INDEX.fullmatch(line):
        _check_mode(lines, index[1] or _FILE, may_execute=True)
    elif line.startswith("rename from "):
        header.renamed_from = _plain(lines, line.removeprefix("rename from "))
    elif line.startswith("rename to "):
        header.renamed_to = _plain(lines, line.removeprefix("rename to "))
    elif line.startswith(("copy from ", "copy to ")):
        raise lines.wrong("a patch may not copy files; give the new one as a whole")
    elif line.startswith(("Binary files ", "GIT binary patch")):
        raise lines.wrong("a patch may not have binary files")
    else:
        return _SIMILARITY.fullmatch(line) is not None
    return True


def _check_mode(lines: _Lines, mode: str, *, may_execute: bool) -> None:
    if mode != _FILE and not (may_execute and mode == _EXECUTABLE):
        what = _KINDS.get(mode, "an executable file" if mode == _EXECUTABLE else f"something of the mode {mode}")
        raise lines.wrong(f"a patch may not make or change {what}")


def _hunk(lines: _Lines) -> Hunk:
    head = _HUNK.fullmatch(lines.next or "")
    if head is None:
        raise lines.wrong("not the head of a hunk")
    lines.take()
    start, old_left, _, new_left = (1 if number is None else int(number) for number in head.groups())
    # Where nothing is replaced, the number is that of the line before.
    start = start if old_left == 0 else start - 1
    if start < 0:
        raise lines.wrong("there is no line 0")
    old: list[bytes] = []
    new: list[bytes] = []
    while old_left or new_left or lines.next == _NO_BREAK:
        mark, text = _hunk_line(lines)
        left_old, left_new = mark != "+", mark != "-"
        if (left_old and not old_left) or (left_new and not new_left):
            raise lines.wrong("the hunk is longer than it says")
        for side, applies in ((old, left_old), (new, left_new)):
            if applies:
                if side and not side[-1].endswith(b"\n"):
                    raise lines.wrong("more follows the last line of the file")
                side.append(text)
        old_left, new_left = old_left - left_old, new_left - left_new
    return Hunk(start, tuple(old), tuple(new))


def _hunk_line(lines: _Lines) -> tuple[str, bytes]:
    """Take a line of a hunk: what it is marked with, and what it says, with its line break unless it has none."""
    line = lines.next
    if line is None:
        raise lines.wrong("the hunk is shorter than it says")
    # Some programs take the space from a line that is otherwise empty.
    mark = line[:1] or " "
    if mark not in " -+":
        raise lines.wrong("a line of a hunk begins with a space, - or +")
    lines.take()
    if lines.next != _NO_BREAK:
        return mark, f"{line[1:]}\n".encode()
    lines.take()
    return mark, line[1:].encode()


def _file(lines: _Lines, header: _Header) -> FilePatch:
    old, new = _paths(lines, header)
    if header.names is not None:
        _check_names(lines, header.names, old or new or "", new or old or "")
    if (header.is_new and old is not None) or (header.is_gone and new is not None):
        raise lines.wrong("the header contradicts --- and +++")
    if (old is None or new is None) and header.names is not None and not (header.is_new or header.is_gone):
        raise lines.wrong("a new file, or one that goes, has to say its mode")
    if old is None and any(hunk.old for hunk in header.hunks):
        raise lines.wrong("a new file has no lines before")
    if old == new and not header.hunks:
        raise lines.wrong("nothing is changed in the file")
    return FilePatch(old, new, tuple(header.hunks))


def _paths(lines: _Lines, header: _Header) -> tuple[str | None, str | None]:
    renamed = header.renamed_from, header.renamed_to
    if (renamed[0] is None) != (renamed[1] is None):
        raise lines.wrong("half a rename")
    if header.old is None or header.new is None:
        if renamed[0] is not None:
            return renamed
        if not (header.is_new or header.is_gone):
            raise lines.wrong("the file has no change")
        name = _both(lines, header.names or "")
        return (None if header.is_new else name), (None if header.is_gone else name)
    old = None if header.old == _NOTHING else _without(lines, header.old, "a/")
    new = None if header.new == _NOTHING else _without(lines, header.new, "b/")
    if old is None and new is None:
        raise lines.wrong("a file that is neither there before nor after")
    if old is not None and new is not None and old != new and renamed != (old, new):
        raise lines.wrong("two names without a rename")
    if renamed[0] is not None and renamed != (old, new):
        raise lines.wrong("the rename contradicts --- and +++")
    return old, new


def _check_names(lines: _Lines, names: str, old: str, new: str) -> None:
    """Check that the first line of a file names the same as the others do."""
    if '"' in names:
        parts = [_unquoted(lines, found[1]) for found in _QUOTED.finditer(names)]
        rest = _QUOTED.sub("", names).strip()
        said = sorted([*parts, *([rest] if rest else [])])
    else:
        said = [names]
    if said not in (sorted([f"a/{old}", f"b/{new}"]), [f"a/{old} b/{new}"]):
        raise lines.wrong("the first line of the file names another than the rest")


def _both(lines: _Lines, names: str) -> str:
    """Return the name in a first line that says the same one twice."""
    if quoted := _QUOTED.match(names):
        return _without(lines, _unquoted(lines, quoted[1]), "a/")
    half = len(names) // 2
    return _without(lines, names[:half], "a/")


def _name(lines: _Lines, text: str) -> str:
    return _plain(lines, text.partition("\t")[0])


def _plain(lines: _Lines, text: str) -> str:
    quoted = _QUOTED.fullmatch(text)
    return _unquoted(lines, quoted[1]) if quoted else text


def _without(lines: _Lines, name: str, prefix: str) -> str:
    if not name.startswith(prefix):
        raise lines.wrong(f"the name {name[:80]!r} does not begin with {prefix}")
    return name.removeprefix(prefix)


def _unquoted(lines: _Lines, text: str) -> str:
    """Return a name that git wrote in quotes, with its bytes that are not ASCII as octal numbers."""
    parts, done = [], 0
    for found in _OCTAL.finditer(text):
        parts.append(text[done : found.start()].encode())
        parts.append(bytes([_ESCAPES[found[1]] if found[1] in _ESCAPES else int(found[1], 8) & 0xFF]))
        done = found.end()
    try:
        return (b"".join(parts) + text[done:].encode()).decode()
    except UnicodeDecodeError:
        raise lines.wrong("a name that is not UTF-8") from None
