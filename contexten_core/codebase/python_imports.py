"""The imports of Python, from its masked text."""

import re
from collections.abc import Iterator

from contexten_core.codebase.facts import ImportFact
from contexten_core.codebase.imports_of import MOST_IMPORTS
from contexten_core.codebase.python_text import PythonText

_MOST_NAMES = 200
_MOST_CHARACTERS = 300
_IMPORT = re.compile(rb"[\n;:][ \t\x0c]*+(import|from)(?![\w\x80-\xff])([^\n;]*)")
_FROM = re.compile(rb"([. \t\x01\\]*[\w.\x80-\xff]*)[ \t\x01\\]*(?<![\w\x80-\xff])import(?![\w\x80-\xff])([^\n;]*)")
_TO_SPACE = bytes(ord(" ") if byte in b"\x01\\()\t" else byte for byte in range(256))


def python_imports(python: PythonText) -> tuple[ImportFact, ...]:
    """Return what a file imports, in order."""
    return tuple(_imports(python))


def _imports(python: PythonText) -> Iterator[ImportFact]:
    line = counted = found = 0
    for match in _IMPORT.finditer(python.text):
        line += python.source.count(b"\n", counted, match.start(1))
        counted = match.start(1)
        for module, names in _taken(match[1], match[2]):
            yield ImportFact(module, line, names)
            found += 1
        if found >= MOST_IMPORTS:
            return


def _taken(word: bytes, rest: bytes) -> Iterator[tuple[str, tuple[str, ...]]]:
    if word == b"import":
        for name in _names(rest):
            yield name, ()
    elif taken := _FROM.match(rest):
        module = taken[1].translate(_TO_SPACE).decode(errors="replace").replace(" ", "")[:_MOST_CHARACTERS]
        if module:
            yield module, tuple(_names(taken[2]))


def _names(rest: bytes) -> Iterator[str]:
    for part in rest.translate(_TO_SPACE).split(b",")[:_MOST_NAMES]:
        if words := part.split(None, 1):
            yield words[0].decode(errors="replace")[:_MOST_CHARACTERS]
