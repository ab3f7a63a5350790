"""What is wrong with a file of prompts, and where: each problem with its line, its column and its path."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar

from contexten_core.errors import InvalidInputError
from contexten_core.security.text import one_line

MOST_PROBLEMS = 20
_LONGEST_MESSAGE = 400
_LONGEST_PATH = 200
_LONGEST_NAME = 200
_ALIKE = 0.7

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in a file; both numbers begin with 1, and a column counts characters."""

    line: int
    column: int


BEGINNING = Place(1, 1)


@dataclass(frozen=True, slots=True)
class FileProblem:
    """One thing that is wrong in a file.

    Attributes:
        path: which value it is about, such as `prompts[0].when.event.type`; empty for the file as a whole.
    """

    message: str
    line: int
    column: int
    path: str = ""


class PromptFileError(InvalidInputError):
    """A file of prompts that cannot be taken as it is; nothing of it was.

    Attributes:
        name: what the file is called.
        problems: at most 20, in the order of the file.
    """

    code: ClassVar[str] = "prompt_file"

    def __init__(self, name: str, problems: Sequence[FileProblem], *, more: int = 0) -> None:
        self.name = one_line(name, _LONGEST_NAME)
        self.problems = tuple(problems)
        lines = [
            f"{self.name}:{found.line}:{found.column}: {found.path + ': ' if found.path else ''}{found.message}"
            for found in self.problems
        ]
        more_of_them = [f"and {more} more"] if more else []
        fields = {f"{found.line}:{found.column} {found.path}".rstrip(): found.message for found in self.problems}
        super().__init__(
            "\n".join([*lines, *more_of_them]),
            fields=fields,
            hint="`contexten prompts schema` writes the JSON schema that editors check such files by.",
        )


def refuse(name: str, problems: Iterable[FileProblem]) -> None:
    """Raise PromptFileError if there is any problem: one for each place, in the order of the file."""
    first: dict[tuple[int, int], FileProblem] = {}
    for problem in problems:
        first.setdefault((problem.line, problem.column), problem)
    found = [first[place] for place in sorted(first)]
    if found:
        raise PromptFileError(name, found[:MOST_PROBLEMS], more=len(found[MOST_PROBLEMS:]))


def problem_at(place: Place, message: str, path: Path = ()) -> FileProblem:
    return FileProblem(one_line(message, _LONGEST_MESSAGE), place.line, place.column, shown(path))


def shown(path: Path) -> str:
    """Return a path as people write it: `prompts[0].when.event.type`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return one_line(text.removeprefix("."), _LONGEST_PATH)


def near(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean X?` where a known word is like this one, else nothing."""
    meant = nearest(word, known)
    return f"; did you mean {meant}?" if meant else ""


def nearest(word: str, known: Iterable[str]) -> str | None:
    # Comparing takes time that grows with the product of the lengths.
    close = get_close_matches(word, known, n=1, cutoff=_ALIKE) if len(word) <= _LONGEST_NAME else []
    return close[0] if close else None


def kind_of(value: Any) -> str:
    """Return what a value is, in the words of somebody who writes YAML."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text {one_line(value, 40)!r}" if value else "empty text"
        case list():
            return "a list"
        case _:
            return "a mapping"
