"""The imports of Python, from its masked text."""

import re
from collections.abc import Iterator

from contexten_core.codebase.facts import ImportFact
from contexten_core.codebase.imports_of import MOST_IMPORTS
from contexten_core.codebase.python_text import PythonText

_MOST_NAMES = 200
_MOST_CHARACTERS = 300
_MOST_HEAD_BYTES = 500
_MOST_BYTES = 20_000
_WORD = b"import"
_END = re.compile(rb"[\n;]|\Z")
_IN_WORD = re.compile(rb"[\w\x80-\xff]")
_HEAD = re.compile(rb"[ \t\x0c]*+(?:from(?![\w\x80-\xff])([. \t\x01\\]*[\w.\x80-\xff]*)[ \t\x01\\]*)?")
_TO_SPACE = bytes(ord(" ") if byte in b"\x01\\()\t" else byte for byte in range(256))


def python_imports(python: PythonText) -> tuple[ImportFact, ...]:
    """Return what a file imports, in order."""
    return tuple(_imports(python))


def _imports(python: PythonText) -> Iterator[ImportFact]:
    text = python.text
    line = counted = found = 0
    place = text.find(_WORD)
    while place >= 0 and found < MOST_IMPORTS:
        first = max(0, place - _MOST_HEAD_BYTES)
        start = max(text.rfind(b"\n", first, place), text.rfind(b";", first, place), first - 1) + 1
        if b":" in text[start:place]:
            start = text.rindex(b":", start, place) + 1
        head = _HEAD.fullmatch(text, start, place)
        after = place + len(_WORD)
        if head is not None and not _IN_WORD.match(text, after) and not _IN_WORD.match(text, place - 1):
            end = _END.search(text, after, after + _MOST_BYTES)
            rest = text[after : end.start() if end else after + _MOST_BYTES]
            start = head.end() if head[1] is None else text.rindex(b"from", start, place)
            line += python.source.count(b"\n", counted, start)
            counted = start
            for module, names in _taken(head[1], rest):
                yield ImportFact(module, line, names)
                found += 1
        place = text.find(_WORD, after)


def _taken(module: bytes | None, rest: bytes) -> Iterator[tuple[str, tuple[str, ...]]]:
    if module is None:
        for name in _names(rest):
            yield name, ()
    elif name := module.translate(_TO_SPACE).decode(errors="replace").replace(" ", "")[:_MOST_CHARACTERS]:
        yield name, tuple(_names(rest))


def _names(rest: bytes) -> Iterator[str]:
    for part in rest.translate(_TO_SPACE).split(b",")[:_MOST_NAMES]:
        if words := part.split(None, 1):
            yield words[0].decode(errors="replace")[:_MOST_CHARACTERS]
