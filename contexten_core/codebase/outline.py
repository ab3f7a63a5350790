"""What the graphs of a commit need of one file, in a form that is cheap to keep, to move and to read again."""

import json
from typing import Any, NamedTuple, Self

from contexten_core.codebase.facts import FileFacts

_NO_HEAD = b"[[],null]\n"

FUNCTION, METHOD, CLASS = "function", "method", "class"

_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False).encode

Imports = tuple[tuple[str, tuple[str, ...]], ...]


class Definition(NamedTuple):
    """A function, method or class by its qualified name; a class has complexity 0."""

    name: str
    kind: str
    line: int
    end_line: int
    complexity: int = 0


class Head(NamedTuple):
    """The part that import resolution reads.

    Attributes:
        imports: modules as written, each with the names taken from it.
        settings: what the file says about how imports are resolved, for manifests.
    """

    imports: Imports = ()
    settings: dict[str, Any] | None = None

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read the head of an encoded outline."""
        if data.startswith(_NO_HEAD):
            return cls()
        imports, settings = json.loads(head_bytes(data))
        return cls(tuple([(module, tuple(names)) for module, names in imports]), settings)


class Outline(NamedTuple):
    """A file without its figures and texts.

    Attributes:
        definitions: functions, then classes, each in the order of the file.
        calls: names called, with the position of the calling function in `definitions`, -1 outside of all functions.
        entry_points: kinds and names of the places in it where programs start.
    """

    head: Head = Head()
    definitions: tuple[Definition, ...] = ()
    calls: tuple[tuple[int, tuple[str, ...]], ...] = ()
    entry_points: tuple[tuple[str, str], ...] = ()

    def encode(self) -> bytes:
        return _dump(self.head) + b"\n" + _dump(self[1:])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        definitions, calls, entry_points = json.loads(data[data.index(b"\n") :])
        return cls(
            Head.decode(data),
            tuple([Definition(*row) for row in definitions]),
            tuple([(index, tuple(names)) for index, names in calls]),
            tuple([(kind, name) for kind, name in entry_points]),
        )


def head_bytes(data: bytes) -> bytes:
    """Return the bytes of an encoded outline that hold its imports; names in them are JSON's, in UTF-8."""
    return data[: data.index(b"\n")]


def outline_of(
    facts: FileFacts, *, entry_points: tuple[tuple[str, str], ...], settings: dict[str, Any] | None
) -> Outline:
    functions = [
        Definition(
            f"{one.owner}.{one.name}" if one.owner else one.name,
            METHOD if one.is_method else FUNCTION,
            one.line,
            one.end_line,
            one.complexity,
        )
        for one in facts.functions
    ]
    classes = [Definition(found.qualified_name, CLASS, found.line, found.end_line) for found in facts.classes]
    calls = [(index, function.calls) for index, function in enumerate(facts.functions) if function.calls]
    outside = [(-1, facts.calls)] if facts.calls else []
    return Outline(
        head=Head(tuple((fact.module, fact.names) for fact in facts.imports), settings),
        definitions=(*functions, *classes),
        calls=(*calls, *outside),
        entry_points=entry_points,
    )


def _dump(value: Any) -> bytes:
    return _JSON(value).encode("utf-8", "replace")
