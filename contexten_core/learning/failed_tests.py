"""Collects the names of failing tests while a log is read line by line."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import re2

from contexten_core.learning.runners import FailureLine, Groups, Landmark, Mark
from contexten_core.security.text import shorten

MAX_TESTS = 200
"""Names kept of one log."""
MAX_NAME = 300
"""Characters kept of a name."""
_MAX_CONTINUATION = 6


class FailedTests:
    """The failing tests that a log names, each with the index of the line that first named it.

    Attributes:
        capped: there were more names than are kept.
    """

    def __init__(self) -> None:
        self.capped = False
        self._found: dict[tuple[str, str], int] = {}
        self._fallbacks: dict[tuple[str, str], int] = {}
        self._scopes: dict[str, str] = {}
        self._completed_before: dict[str, int] = {}
        self._unfinished: tuple[FailureLine, str, int, int] | None = None

    def read(self, *, index: int, line: str, rows: Sequence[FailureLine | Landmark]) -> None:
        """Take in a line, with the rows of the tables that occur in it."""
        if self._unfinished:
            self._continue(line)
        for row in rows:
            if isinstance(row, Landmark):
                self._pass(row, index, line)
        for row in rows:
            if isinstance(row, FailureLine) and self._take(row, index, line):
                return

    def names(self) -> dict[str, int]:
        """Return each name once, in the order of the log."""
        runners = {runner for runner, _ in self._found}
        found = self._found | {key: at for key, at in self._fallbacks.items() if key[0] not in runners}
        names: dict[str, int] = {}
        for (_, name), at in sorted(found.items(), key=lambda item: item[1]):
            names.setdefault(name, at)
        return names

    def _pass(self, row: Landmark, index: int, line: str) -> None:
        scope = _groups(row.pattern, line).get("scope") or ""
        if row.mark is Mark.OPENS:
            self._scopes[row.runner] = scope
        elif row.mark is Mark.ENDS:
            self._scopes.pop(row.runner, None)
        else:
            since = self._completed_before.get(row.runner, 0)
            self._found = {
                (runner, shorten(f"{scope}.{name}", MAX_NAME) if runner == row.runner and at >= since else name): at
                for (runner, name), at in self._found.items()
            }
            self._completed_before[row.runner] = index

    def _take(self, row: FailureLine, index: int, line: str) -> bool:
        if row.within and row.runner not in self._scopes:
            return False
        groups = _groups(row.pattern, line)
        name = row.name(groups, self._scopes.get(row.runner, "")).strip()
        if not name or re.search(row.unless, groups["name"] or ""):
            return False
        if row.until and not name.endswith(row.until):
            self._unfinished = (row, name, index, _MAX_CONTINUATION)
        else:
            self._add(row, name.removesuffix(row.until), index)
        return True

    def _continue(self, line: str) -> None:
        assert self._unfinished
        row, start, index, left = self._unfinished
        name = f"{start} {line.strip()}"
        if not line.strip() or not left:
            self._unfinished = None
        elif name.endswith(row.until):
            self._unfinished = None
            self._add(row, name.removesuffix(row.until), index)
        else:
            self._unfinished = (row, name, index, left - 1)

    def _add(self, row: FailureLine, name: str, index: int) -> None:
        into = self._fallbacks if row.fallback else self._found
        key = (row.runner, shorten(name, MAX_NAME))
        if row.nests_with:
            into.pop((row.runner, name.rpartition(row.nests_with)[0]), None)
        if len(into) < MAX_TESTS:
            into.setdefault(key, index)
        elif key not in into:
            self.capped = True


@cache
def _compiled(pattern: str) -> Any:
    return re2.compile(pattern)


def _groups(pattern: str, line: str) -> Groups:
    found = _compiled(pattern).search(line)
    return found.groupdict() if found else {}
