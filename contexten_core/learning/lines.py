"""The lines of a log as a person would read them, and one automaton that finds the telling ones."""

import re
from collections.abc import Sequence
from typing import Generic, TypeVar

import re2

MAX_LINE = 2_000
"""Characters of a line that are read; what follows is cut."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*+[ -/]*+[@-~]|\][^\x07\x1b\n]*+(?:\x07|\x1b\\)?|[()*+][0-9A-Z]|[=>@-Z\\^_])")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff\ud800-\udfff]")
_STAMP = re.compile(r"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?\]?(?:[ \t]|$)")

Row = TypeVar("Row")


def strip_escapes(text: str) -> str:
    """Remove terminal colours and commands, control characters and whatever PostgreSQL cannot store."""
    return _UNPRINTABLE.sub("", _ESCAPES.sub("", text))


def clean_lines(text: str) -> list[str]:
    """Split a log into readable lines, index 0 being its line 1.

    Escapes and the time a CI service puts before each line are gone, a line redrawn by carriage returns is what was
    last drawn, and each is at most `MAX_LINE` characters.
    """
    return [_readable(line) for line in strip_escapes(text).split("\n")]


def _readable(line: str) -> str:
    if "\r" in line:
        line = line.rstrip("\r").rpartition("\r")[2]
    line = line[: MAX_LINE + 64]
    if line[:1].isdigit() or line[:1] == "[":
        line = _STAMP.sub("", line, count=1) if _STAMP.match(line) else line
    return line[:MAX_LINE].rstrip()


class LineMatcher(Generic[Row]):
    """Every pattern of a table at once, in time linear in the line whatever the patterns and the line are.

    RE2 makes one automaton of all patterns, so that another row costs nothing and no line can make it backtrack.
    """

    def __init__(self, rows: Sequence[tuple[str, Row]]) -> None:
        options = re2.Options()
        options.log_errors = False
        self._rows = [row for _, row in rows]
        self._set = re2.Set.SearchSet(options)
        for pattern, _ in rows:
            self._set.Add(pattern)
        self._set.Compile()

    def match(self, line: str) -> list[Row]:
        """Return the rows that occur in the line, in the table's order."""
        found = self._set.Match(line.encode())
        return [self._rows[index] for index in sorted(found)] if found else []
