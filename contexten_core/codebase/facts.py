"""What is known of a file and of a codebase, as plain values that survive JSON."""

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from operator import attrgetter
from typing import Any, Self

ANALYSER_VERSION = "4"
"""Part of the key under which facts are kept: raise it with every change that gives any file other facts."""


class Note(StrEnum):
    """What was left out of a file's facts, and why."""

    BINARY = "binary, nothing counted"
    TOO_LARGE = "too large to parse, functions and classes left out"
    TOO_SLOW = "parsing took too long, functions and classes left out"
    NOT_UNDERSTOOD = "partly not understood, functions and classes there may be missing"
    TOO_MANY = "too many functions and classes, those further down left out"


@dataclass(frozen=True, slots=True)
class FunctionFact:
    """A named function or method.

    Attributes:
        line: first line, counted from 1, decorators not included.
        end_line: last line; comments that end its body are in it.
        owner: qualified name of the class or function that it stands in, parts joined by "."; empty at the top.
        is_method: whether it belongs to a class.
        parameters: their names, in order, `self` and its like included.
        signature: from its name to its return type, on one line, cut to 300 characters.
        docstring: its documentation, cut to 500 characters; a doc comment in front of it counts.
        decorators: decorators, annotations or attributes, without their mark, cut to 200 characters each.
        complexity: cyclomatic, 1 for a function without a branch.
        cognitive: cognitive complexity (G. Ann Campbell, SonarSource 2017).
        nesting: how deep control structures stand in each other in it.
        calls: distinct names that it calls, in order, the last part with what stands before it ("self.save").
    """

    name: str
    line: int
    end_line: int
    owner: str = ""
    is_method: bool = False
    parameters: tuple[str, ...] = ()
    signature: str = ""
    docstring: str | None = None
    decorators: tuple[str, ...] = ()
    complexity: int = 1
    cognitive: int = 0
    nesting: int = 0
    calls: tuple[str, ...] = ()

    @property
    def qualified_name(self) -> str:
        return f"{self.owner}.{self.name}" if self.owner else self.name


@dataclass(frozen=True, slots=True)
class ClassFact:
    """A class or another type with a body of its own; fields as in FunctionFact, `bases` what it derives from."""

    name: str
    line: int
    end_line: int
    owner: str = ""
    bases: tuple[str, ...] = ()
    signature: str = ""
    docstring: str | None = None
    decorators: tuple[str, ...] = ()

    @property
    def qualified_name(self) -> str:
        return f"{self.owner}.{self.name}" if self.owner else self.name


@dataclass(frozen=True, slots=True)
class ImportFact:
    """What a file takes from elsewhere, as written: `module` "..pkg.mod", "./shapes", "github.com/acme/x", "stdio.h".

    Attributes:
        names: what is taken from it, by their names there; empty when it is taken as a whole, "*" for everything.
    """

    module: str
    line: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TodoFact:
    """A TODO, FIXME, XXX or HACK in a comment, and the rest of its line, cut to 200 characters."""

    marker: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What one file holds. `code_lines + comment_lines + blank_lines == lines`, always.

    Attributes:
        path: where the file is in its repository.
        language: its language, "Text" when the file is text of no known kind, None when it is binary.
        code_lines: lines with anything that is neither space nor comment.
        comment_lines: lines with comments alone.
        blank_lines: lines of white space, inside comments too.
        functions: in the order of the file; methods and nested functions are among them.
        classes: in the order of the file.
        calls: distinct names called outside of all functions.
        package: what the file says it belongs to: Go's and Java's package, PHP's and C#'s namespace.
        is_generated: whether its first lines say that a program wrote it.
        note: what was left out (see Note), several joined by "; ", or None when nothing was.
    """

    path: str
    language: str | None
    lines: int = 0
    code_lines: int = 0
    comment_lines: int = 0
    blank_lines: int = 0
    functions: tuple[FunctionFact, ...] = ()
    classes: tuple[ClassFact, ...] = ()
    imports: tuple[ImportFact, ...] = ()
    calls: tuple[str, ...] = ()
    todos: tuple[TodoFact, ...] = ()
    package: str | None = None
    is_generated: bool = False
    note: str | None = None

    def pack(self) -> bytes:
        """Return the facts, the path excepted, as they are stored."""
        values = [
            [*map(_VALUES[name], value)] if name in _VALUES else value
            for name, value in zip(_STORED, _STORED_VALUES(self), strict=True)
        ]
        return zlib.compress(_ENCODE(values).encode(), level=1)

    @classmethod
    def unpack(cls, packed: bytes, *, path: str) -> Self:
        """Return the facts that `pack` of the same ANALYSER_VERSION wrote, for a file of that path."""
        values = dict(zip(_STORED, json.loads(zlib.decompress(packed)), strict=True))
        for name, fact in _FACTS.items():
            values[name] = tuple(fact(*(_frozen(value) for value in row)) for row in values[name])
        return cls(path=path, **{name: _frozen(value) for name, value in values.items()})


_STORED = tuple(field.name for field in fields(FileFacts) if field.name != "path")
_FACTS: Mapping[str, type] = {
    "functions": FunctionFact,
    "classes": ClassFact,
    "imports": ImportFact,
    "todos": TodoFact,
}


_ENCODE = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_STORED_VALUES = attrgetter(*_STORED)
_VALUES = {name: attrgetter(*(field.name for field in fields(fact))) for name, fact in _FACTS.items()}


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class LanguageTotals:
    """Files and lines of one language."""

    files: int
    code: int
    comment: int
    blank: int


@dataclass(frozen=True, slots=True)
class FileNote:
    path: str
    note: str


@dataclass(frozen=True, slots=True)
class CodebaseFacts:
    """Totals of a codebase.

    Attributes:
        files: all files, binary ones included.
        languages: totals by language, most code first; their lines sum up to `lines`.
        primary_language: the source language with most lines of code; data and prose only where there is no source.
        notes: how many files have each note, by note.
        noted: files with a note, by path; the first thousand.
    """

    files: int
    lines: int
    functions: int
    classes: int
    languages: Mapping[str, LanguageTotals]
    primary_language: str | None
    notes: Mapping[str, int]
    noted: tuple[FileNote, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the totals in JSON's types, in an order that depends on the files alone."""
        return asdict(self)
