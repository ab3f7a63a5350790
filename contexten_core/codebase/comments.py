"""Where comments are in a text that is not parsed, by their marks alone."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from contexten_core.codebase.count import Span


@dataclass(frozen=True, slots=True)
class Syntax:
    """What comments look like.

    Attributes:
        line: what starts a comment that ends with the line.
        block: what starts and what ends a longer comment; a newline in front ties it to the start of a line.
        quotes: what encloses a string within a line, where a backslash escapes.
        texts: what encloses a string of several lines.
    """

    line: tuple[str, ...] = ()
    block: tuple[tuple[str, str], ...] = ()
    quotes: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()


def comments(*, text: bytes, syntax: Syntax) -> Iterator[Span]:
    """Yield where comments are, in order. Comments within comments, and code within strings, are not understood."""
    if not (syntax.line or syntax.block):
        return iter(())
    return (match.span() for match in comment_pattern(syntax).finditer(text) if match.lastgroup == "comment")


@cache
def comment_pattern(syntax: Syntax) -> re.Pattern[bytes]:
    """Compile a pattern that takes linear time: what opens always ends, with its line or the text if need be."""
    blocks = {opening: rf"{_mark(opening)}(?s:.*?)(?:{_mark(closing)}|\Z)" for opening, closing in syntax.block}
    lines = {opening: rf"{_mark(opening)}[^\n]*" for opening in syntax.line}
    texts = {quote: rf"{quote}(?s:.*?)(?:{quote}|\Z)" for quote in syntax.texts}
    quotes = {quote: rf"{quote}[^{quote}\\\n]*+(?>(?:\\(?s:.)[^{quote}\\\n]*+)*){quote}?" for quote in syntax.quotes}
    pattern = f"(?P<comment>{_longest_first(blocks | lines)})|(?P<string>{_longest_first(texts | quotes)})"
    return re.compile(pattern.encode("ascii"))


def _mark(mark: str) -> str:
    return f"(?m:^){re.escape(mark[1:])}" if mark.startswith("\n") else re.escape(mark)


def _longest_first(patterns: dict[str, str]) -> str:
    """Join patterns by the length of their marks, or return what matches nowhere."""
    return "|".join(patterns[mark] for mark in sorted(patterns, key=len, reverse=True)) or r"(?!)"
