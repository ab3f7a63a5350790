"""What is known of a file and of a codebase, as plain values that survive JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

ANALYSER_VERSION = "1"
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
    """A named function or method, and its first and last line, counted from 1; comments that end its body are in it."""

    name: str
    line: int
    end_line: int


@dataclass(frozen=True, slots=True)
class ClassFact:
    """A class or another type with a body of its own, and its first and last line, counted from 1."""

    name: str
    line: int
    end_line: int


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
    note: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the facts in JSON's types, definitions as [name, line, end line] since a large codebase has many."""
        return {
            "path": self.path,
            "language": self.language,
            "lines": self.lines,
            "code_lines": self.code_lines,
            "comment_lines": self.comment_lines,
            "blank_lines": self.blank_lines,
            "functions": [[fact.name, fact.line, fact.end_line] for fact in self.functions],
            "classes": [[fact.name, fact.line, fact.end_line] for fact in self.classes],
            "note": self.note,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the facts that `as_dict` of the same ANALYSER_VERSION wrote; anything else is a KeyError or TypeError.

        The path is the one they were written with; `dataclasses.replace(facts, path=...)` moves them to another.
        """
        return cls(
            path=values["path"],
            language=values["language"],
            lines=values["lines"],
            code_lines=values["code_lines"],
            comment_lines=values["comment_lines"],
            blank_lines=values["blank_lines"],
            functions=tuple(FunctionFact(*fact) for fact in values["functions"]),
            classes=tuple(ClassFact(*fact) for fact in values["classes"]),
            note=values["note"],
        )


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
