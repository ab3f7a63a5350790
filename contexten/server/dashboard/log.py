"""A log as a page shows it: readable lines with their numbers, the telling ones marked, within bounds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contexten_core.learning.lines import MAX_LINE, strip_escapes
from contexten_core.security.text import shorten

MAXIMUM_LINES = 5_000
_BEFORE_FAILURE = 500


@dataclass(frozen=True, slots=True)
class LogLine:
    number: int
    text: str
    telling: bool


@dataclass(frozen=True, slots=True)
class LogView:
    """A stretch of a log. `failing` is the number of the first telling line, where there is one."""

    lines: list[LogLine]
    total: int
    failing: int | None

    @property
    def is_whole(self) -> bool:
        return len(self.lines) == self.total


def view_log(text: str, failure: Mapping[str, Any] | None = None, *, limit: int = MAXIMUM_LINES) -> LogView:
    """Return at most `limit` lines: the end of the log, or the stretch with the telling line where that is earlier.

    Args:
        text: the log as it was captured, escapes and all.
        failure: the stored `Failure` of the outcome, which counts lines from 1 as this does.
        limit: how many lines are shown.
    """
    lines = strip_escapes(text).split("\n")
    if lines[-1] == "":
        lines.pop()
    failing = _failing_line(failure, len(lines))
    telling = range(failing, failing + _cause_length(failure)) if failing else range(0)
    first = max(len(lines) - limit, 0)
    if failing is not None and failing <= first:
        first = max(failing - 1 - min(_BEFORE_FAILURE, limit - 1), 0)
    shown = [
        LogLine(number, shorten(_last_drawn(line), MAX_LINE), number in telling)
        for number, line in enumerate(lines[first : first + limit], start=first + 1)
    ]
    return LogView(shown, total=len(lines), failing=failing)


def _failing_line(failure: Mapping[str, Any] | None, count: int) -> int | None:
    line = (failure or {}).get("line")
    return line if isinstance(line, int) and 1 <= line <= count else None


def _cause_length(failure: Mapping[str, Any] | None) -> int:
    cause = (failure or {}).get("cause")
    return len(cause.split("\n")) if isinstance(cause, str) else 1


def _last_drawn(line: str) -> str:
    return line.rstrip("\r").rpartition("\r")[2]
