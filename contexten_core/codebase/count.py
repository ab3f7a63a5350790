"""Bytes of a text and the places of its comments to lines of code, comment and blank."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_TEXT_OF_A_LINE = re.compile(rb"\S[^\n]*")

Span = tuple[int, int]
"""First byte and the byte after the last."""


@dataclass(frozen=True, slots=True)
class LineCounts:
    lines: int
    code: int
    comment: int
    blank: int


def count_lines(*, text: bytes, comments: Iterable[Span]) -> LineCounts:
    r"""Count lines, which end with \n, the last one perhaps without.

    Args:
        text: the whole file.
        comments: where its comments are, in order.
    """
    lines = text.count(b"\n") + (not text.endswith(b"\n") and text != b"")
    filled = _filled(text)
    code = _filled(_without(text, comments))
    return LineCounts(lines=lines, code=code, comment=filled - code, blank=lines - filled)


def _filled(text: bytes | bytearray) -> int:
    return sum(1 for _ in _TEXT_OF_A_LINE.finditer(text))


def _without(text: bytes, spans: Iterable[Span]) -> bytearray:
    kept, position = bytearray(), 0
    for start, end in spans:
        kept += text[position:start]
        kept += b"\n" * text.count(b"\n", max(start, position), end)
        position = max(end, position)
    kept += text[position:]
    return kept
