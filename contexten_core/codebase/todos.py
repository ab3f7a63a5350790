"""What is left to do, as the comments of a file say."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

from contexten_core.codebase.count import Span
from contexten_core.codebase.facts import TodoFact

MOST_TODOS = 1_000
MOST_TODO_CHARACTERS = 200

_MARKERS = (b"TODO", b"FIXME", b"XXX", b"HACK")
_MARKER = re.compile(rb"(TODO|FIXME|XXX|HACK)(?![\w-])([^\n]{0,900})")
_WORD = re.compile(rb"[\w-]")
_END = re.compile(r"\s*(?:\*+/|-->).*\Z")


def todos_in(*, text: bytes, is_comment: Callable[[int], bool], first_line: int = 1) -> tuple[TodoFact, ...]:
    """Return the markers in comments, the first thousand.

    Args:
        text: the file.
        is_comment: tells whether a place in the text is in a comment.
        first_line: the number of the first line of the text.
    """
    return tuple(_todos(text, is_comment, first_line))


def within(comments: Sequence[Span]) -> Callable[[int], bool]:
    """Return what tells whether a place is in one of some parts of a text, which are in order."""
    starts = [start for start, _ in comments]

    def is_within(place: int) -> bool:
        before = bisect_right(starts, place) - 1
        return before >= 0 and place < comments[before][1]

    return is_within


def _todos(text: bytes, is_comment: Callable[[int], bool], line: int) -> Iterator[TodoFact]:
    if not any(marker in text for marker in _MARKERS):
        return
    counted = found = 0
    for match in _MARKER.finditer(text):
        start = match.start()
        if not is_comment(start) or _WORD.match(text, start - 1, start):
            continue
        line += text.count(b"\n", counted, start)
        counted = start
        said = _END.sub("", match[2].decode(errors="replace")).lstrip(": -")
        yield TodoFact(match[1].decode(), line, " ".join(said.split())[:MOST_TODO_CHARACTERS])
        found += 1
        if found == MOST_TODOS:
            return
