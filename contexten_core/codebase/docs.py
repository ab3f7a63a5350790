"""Comments and strings that document, without their marks."""

import re
from collections.abc import Mapping

MOST_DOC_CHARACTERS = 500

_MOST_BYTES = 4_000
_MOST_COMMENTS = 40
_MARKS = re.compile(r"^[ \t]*(?:/\*\*?!?<?|\*+/|\*(?!\*)|///?!?<?|//|#+!?|=begin|=end)?[ \t]?", re.MULTILINE)
_END = re.compile(r"\s*\*+/\s*$")
_TAGS = re.compile(r"</?(?:summary|remarks|para)>")
_STRING = re.compile(r"[a-zA-Z]{0,2}(\"\"\"|'''|\"|')(.*)\Z", re.DOTALL)


def comment_before(*, text: bytes, place: int, ends: Mapping[int, int], marks: tuple[bytes, ...]) -> str | None:
    """Return what the comments directly in front of a place say, or None when there are none that document.

    Args:
        text: the file.
        place: where what they document starts.
        ends: where each comment starts, by where it ends.
        marks: how such comments start; the first of several lines decides.
    """
    first = last = None
    for _ in range(_MOST_COMMENTS):
        stop = _without_gap(text, place)
        start = ends.get(stop)
        if start is None or not _alone(text, start):
            break
        if last is not None and not text.startswith(marks, start):
            break
        first, last = start, last or stop
        if text.startswith(b"/*", start):
            break
        place = start
    if first is None or last is None or not text.startswith(marks, first):
        return None
    return _cleaned(text[first : min(last, first + _MOST_BYTES)].decode(errors="replace"))


def _without_gap(text: bytes, place: int) -> int:
    """Return where what is in front of a place ends, a line break at most between the two."""
    breaks = 0
    while place > 0 and text[place - 1] in b" \t\n":
        breaks += text[place - 1 : place] == b"\n"
        if breaks > 1:
            break
        place -= 1
    return place


def _alone(text: bytes, start: int) -> bool:
    """Tell whether nothing but space is in front of a comment in its line."""
    return not text[text.rfind(b"\n", 0, start) + 1 : start].strip()


def _cleaned(comment: str) -> str | None:
    cleaned = _TAGS.sub("", _MARKS.sub("", _END.sub("", comment))).strip()
    return cleaned[:MOST_DOC_CHARACTERS].rstrip() or None


def docstring(literal: str, *, indent: str = "") -> str | None:
    """Return what a string literal says, without its quotes and the indent of its lines."""
    match = _STRING.match(literal)
    if match is None:
        return None
    inner = match[2].removesuffix(match[1]).strip()
    if "\n" in inner:
        inner = "\n".join(line.rstrip() for line in inner.replace(f"\n{indent}", "\n").split("\n"))
    return inner[:MOST_DOC_CHARACTERS].rstrip() or None
