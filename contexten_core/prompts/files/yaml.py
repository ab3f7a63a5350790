"""The part of YAML that prompts are written in: what JSON can say, with the place of each value.

Scalars are read by the core schema of YAML 1.2. What readers of YAML 1.1 take for something else (`yes`, `1_000`, a
date) is refused without quotes, and so are anchors, tags and merge keys, so that nobody can misread a file.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from contexten_core.inputs import LARGEST_INTEGER
from contexten_core.prompts.files.problems import (
    BEGINNING,
    FileProblem,
    Path,
    Place,
    PromptFileError,
    kind_of,
    problem_at,
)
from contexten_core.security.text import one_line

LARGEST_FILE = 256 * 1024
DEEPEST_FILE = 60
MOST_VALUES = 20_000

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OLD_RESOLVER: Any = yaml.resolver.Resolver()
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_LONGEST_NUMBER = 40
_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(slots=True)
class Document:
    """One file as plain values, and where each of them begins.

    Attributes:
        places: of each value, by its path; a value that a mapping has is at its key in `keys`.
        blank: the paths at which nothing at all is written.
        literal: the paths of texts that are written as they are, line by line (`|`).
        lines: of the file.
        problems: what has been found so far; the values around it can be looked at all the same.
    """

    value: Any = None
    places: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)
    blank: set[Path] = field(default_factory=set)
    literal: set[Path] = field(default_factory=set)
    lines: list[str] = field(default_factory=list)
    problems: list[FileProblem] = field(default_factory=list)

    def place(self, path: Path) -> Place:
        """Return where a value begins, or the nearest one around it that is there."""
        return self.places.get(self._there(path), BEGINNING)

    def complain(self, path: Path, message: str, *, at_key: bool = False) -> None:
        """Add a problem of the value at a path, or of its key."""
        path = self._there(path)
        place = self.keys.get(path) if at_key else None
        self.problems.append(problem_at(place or self.place(path), message, path))

    def complain_inside(self, path: Path, message: str, *, text: str, line: int, column: int) -> None:
        """Add a problem at a line and a column of the text that is at a path; both begin with 1."""
        path = self._there(path)
        place = self.place(path)
        if path in self.literal:
            written, meant = self._line(place.line + line - 1), text.split("\n")[line - 1 :][:1]
            indentation = len(written) - len(meant[0]) if meant and written.endswith(meant[0]) else 0
            place = Place(place.line + line, indentation + column)
        elif line > 1:
            message = f"{message} (line {line} of the text)"
        elif self._line(place.line - 1)[place.column - 1 :].startswith(text[:column]):
            place = Place(place.line, place.column + column - 1)
        self.problems.append(problem_at(place, message, path))

    def _line(self, number: int) -> str:
        return self.lines[number] if number < len(self.lines) else ""

    def _there(self, path: Path) -> Path:
        while path and path not in self.places:
            path = path[:-1]
        return path


@dataclass(slots=True)
class _Open:
    """A list or a mapping that has not ended."""

    value: Any
    path: Path
    key: str | None = None
    wants_key: bool = True


def check_size(size: int, *, name: str) -> None:
    """Raise PromptFileError where a file has more bytes than are read."""
    if size > LARGEST_FILE:
        message = f"the file has {size} bytes, more than the {LARGEST_FILE} that are read"
        raise PromptFileError(name, [problem_at(BEGINNING, message)])


def text_of(data: bytes, *, name: str) -> str:
    """Return the text of a file.

    Raises:
        PromptFileError: it is too large, or not UTF-8.
    """
    check_size(len(data), name=name)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        raise PromptFileError(
            name, [problem_at(_end_of(before), f"the byte 0x{data[error.start]:02x} is not UTF-8")]
        ) from None


def parse(text: str, *, name: str) -> Document:
    """Read a file of at most 256 KiB, 60 levels and 20,000 values, in time that grows with its length.

    Raises:
        PromptFileError: it is no YAML, is too large, or has anchors, aliases, tags, or more than one document.
    """
    check_size(len(text.encode("utf-8", "surrogatepass")), name=name)
    text = text.removeprefix("\ufeff")
    if found := _NOT_YAML.search(text):
        message = f"the character U+{ord(found[0]):04X} may not be in YAML"
        raise PromptFileError(name, [problem_at(_end_of(text[: found.start()]), message)])
    document = _Builder(name)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            document.take(event)
    except yaml.MarkedYAMLError as error:
        raise PromptFileError(name, [_syntax_problem(error, text)]) from None
    except yaml.YAMLError as error:
        raise PromptFileError(name, [problem_at(BEGINNING, f"is no YAML: {error}")]) from None
    document.document.lines = text.split("\n")
    return document.document


class _Builder:
    """Makes a document of the parser's events, without ever calling itself."""

    def __init__(self, name: str) -> None:
        self.document = Document()
        self._name = name
        self._open: list[_Open] = []
        self._values = 0
        self._documents = 0

    def take(self, event: Any) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise self._stop(event, "a second document begins here; a file is one")
            case yaml.AliasEvent():
                raise self._stop(event, "aliases (*name) are not taken; write the value out")
            case yaml.ScalarEvent():
                self._check(event)
                self._scalar(event)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._check(event)
                if len(self._open) >= DEEPEST_FILE:
                    raise self._stop(event, f"is nested more than {DEEPEST_FILE} levels deep")
                value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
                self._open.append(_Open(value, self._add(event, value)))
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._open.pop()

    def _check(self, event: Any) -> None:
        self._values += 1
        if self._values > MOST_VALUES:
            raise self._stop(event, f"there are more than {MOST_VALUES} values")
        if event.anchor is not None:
            raise self._stop(event, "anchors (&name) are not taken; write the value out where it is used")
        if event.tag is not None:
            raise self._stop(event, "tags (!name) are not taken; put text in quotes")

    def _scalar(self, event: Any) -> None:
        place = _place(event.start_mark)
        plain = bool(event.implicit[0])
        parent = self._open[-1] if self._open else None
        is_key = parent is not None and isinstance(parent.value, dict) and parent.wants_key
        path = self._path()
        value, problem = _read(event.value) if plain else (event.value, None)
        if problem:
            self.document.problems.append(problem_at(place, problem, path))
        if found := _NOT_STORABLE.search(event.value):
            message = f"holds the character U+{ord(found[0]):04X}, which no database keeps"
            self.document.problems.append(problem_at(place, message, path))
        if is_key:
            assert parent is not None
            self._key(parent, event, value)
            return
        if event.style == "|":
            self.document.literal.add(path)
        if plain and event.value == "":
            self.document.blank.add(path)
        self._add(event, value)

    def _key(self, parent: _Open, event: Any, value: Any) -> None:
        place = _place(event.start_mark)
        key, path = event.value, (*parent.path, event.value)
        if not isinstance(value, str) or (event.implicit[0] and key == "<<"):
            what = "merge keys (<<) are not taken; write the keys out"
            text = f"a key has to be text, not {kind_of(value)}: put it in quotes"
            self.document.problems.append(problem_at(place, what if key == "<<" else text, parent.path))
        elif key in parent.value:
            first = self.document.keys[path]
            message = f"the key {one_line(key, 80)!r} is there twice; the first is in line {first.line}"
            self.document.problems.append(problem_at(place, message, parent.path))
        self.document.keys.setdefault(path, place)
        parent.key, parent.wants_key = key, False

    def _path(self) -> Path:
        """Return the path of the value that comes next."""
        if not self._open:
            return ()
        parent = self._open[-1]
        if isinstance(parent.value, list):
            return (*parent.path, len(parent.value))
        return parent.path if parent.wants_key else (*parent.path, parent.key or "")

    def _add(self, event: Any, value: Any) -> Path:
        path = self._path()
        self.document.places.setdefault(path, _place(event.start_mark))
        if not self._open:
            self.document.value = value
            return path
        parent = self._open[-1]
        if isinstance(parent.value, list):
            parent.value.append(value)
        elif parent.wants_key:
            raise self._stop(event, "a key has to be text, not a list or a mapping")
        else:
            parent.value.setdefault(parent.key, value)
            parent.wants_key = True
        return path

    def _stop(self, event: Any, message: str) -> PromptFileError:
        return PromptFileError(self._name, [problem_at(_place(event.start_mark), message, self._path())])


def is_plainly_text(text: str) -> bool:
    """Tell whether every reader of YAML takes this for text where it stands without quotes."""
    return _old_kind(text) == "str" and _core_kind(text) == "str"


def _read(text: str) -> tuple[Any, str | None]:
    """Return the value of a scalar without quotes, and what is wrong with it."""
    kind, shown = _core_kind(text), one_line(text, 40)
    if text != "<<" and (kind != _old_kind(text) or _LEADING_ZERO.fullmatch(text)):
        means = "; write true or false" if _old_kind(text) == "bool" else ""
        return text, f"{shown} is read in two ways: put it in quotes to have it as text{means}"
    match kind:
        case "null":
            return None, None
        case "bool":
            return text in _TRUE, None
        case "int" | "float":
            number = _integer(text) if kind == "int" else _finite(text)
            return (text, f"{shown} is a number that cannot be kept") if number is None else (number, None)
        case _:
            return text, None


def _integer(text: str) -> int | None:
    number = int(text, 0) if len(text) <= _LONGEST_NUMBER else LARGEST_INTEGER + 1
    return number if -LARGEST_INTEGER - 1 <= number <= LARGEST_INTEGER else None


def _finite(text: str) -> float | None:
    number = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return number if math.isfinite(number) else None


def _core_kind(text: str) -> str:
    if text in _NULL:
        return "null"
    if text in _TRUE or text in _FALSE:
        return "bool"
    if _INTEGER.fullmatch(text):
        return "int"
    return "float" if _FLOAT.fullmatch(text) else "str"


def _old_kind(text: str) -> str:
    tag: str = _OLD_RESOLVER.resolve(yaml.ScalarNode, text, (True, False))
    return tag.rpartition(":")[2]


def _syntax_problem(error: yaml.MarkedYAMLError, text: str) -> FileProblem:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return problem_at(BEGINNING, f"is no YAML: {error.problem}")
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    if line[mark.column : mark.column + 1] == "\t" or line[: mark.column].strip(" ").startswith("\t"):
        return problem_at(_place(mark), "there is a tab; YAML is indented with spaces")
    context = f" ({error.context})" if error.context else ""
    return problem_at(_place(mark), f"is no YAML: {error.problem}{context}")


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def _end_of(text: str) -> Place:
    return Place(text.count("\n") + 1, len(text) - text.rfind("\n"))
