"""Python by its lines: what a file defines, imports and calls, and how complex that is.

Django and SymPy take six times as long by a syntax tree. What is found is the same: names and lines as Python's `ast`
has them, cyclomatic complexity as radon counts it (`radon.complexity.cc_visit` with its default options).
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from contexten_core.codebase.count import LineCounts, Span
from contexten_core.codebase.docs import docstring
from contexten_core.codebase.facts import ClassFact, FunctionFact, Note, TodoFact
from contexten_core.codebase.names import (
    MOST_BASES,
    MOST_NAME_CHARACTERS,
    MOST_PARAMETERS,
    MOST_SIGNATURE_CHARACTERS,
    text_of,
)
from contexten_core.codebase.parse import has_error
from contexten_core.codebase.python_cost import expressions_cost
from contexten_core.codebase.python_doubt import is_doubtful
from contexten_core.codebase.python_imports import python_imports
from contexten_core.codebase.python_text import GROUP, PythonText, python_text
from contexten_core.codebase.python_words import calls_in, words_of
from contexten_core.codebase.reader import (
    MOST_DECORATOR_CHARACTERS,
    MOST_DECORATORS,
    MOST_OWNER_CHARACTERS,
    Parsed,
)
from contexten_core.codebase.todos import todos_in

_NO_WORD = rb"(?![\w\x80-\xff])"
_NAME = rb"[\w\x80-\xff]+"
_SPACE = rb"[ \t\x01\\]"
_LINE = re.compile(
    rb"\n([ \t\x0c]*+)(?:(@|(?:async"
    + _SPACE
    + rb"+)?(?:def|for|with)"
    + _NO_WORD
    + rb"|(?:class|if|elif|else|while|try|except|finally|match|case)"
    + _NO_WORD
    + rb")|[^\n])"
)
_TYPES = rb"(?:(?=\[)" + GROUP + _SPACE + rb"*)?"
_REST = rb"[^:()\[\]{}\n]*+(?>(?:" + GROUP + rb"[^:()\[\]{}\n]*+)*):"
_DEF = re.compile(
    rb"(?:async" + _SPACE + rb"+)?def" + _SPACE + rb"+(" + _NAME + rb")" + _SPACE + rb"*" + _TYPES
    + rb"((?=\()" + GROUP + rb")" + _REST
)  # fmt: skip
_CLASS = re.compile(
    rb"class" + _SPACE + rb"+(" + _NAME + rb")" + _SPACE + rb"*" + _TYPES
    + rb"((?=\()" + GROUP + rb")?" + _SPACE + rb"*:"
)  # fmt: skip
_BROKEN = re.compile(rb"(?:async" + _SPACE + rb"+)?(?:def|class)" + _SPACE + rb"+(" + _NAME + rb")")
_INNER_GROUP = re.compile(rb"[(\[{][^()\[\]{}]*+[)\]}]")
_LAMBDA = re.compile(rb"(?<![\w\x80-\xff])lambda" + _NO_WORD + rb"[^:]*:")
_PARAMETER = re.compile(rb"[ \t\x01\\]*\*{0,2}[ \t\x01\\]*(" + _NAME + rb")")
_KEYWORD = re.compile(rb"[ \t\x01\\]*" + _NAME + rb"[ \t\x01\\]*=(?!=)")
_MATCH_HEADER = re.compile(rb"match(?:[ \t\x01\\]+(?:[^ \t\x01\\=.,:)\]};]|\.\.\.)|[(\[{\x02-])")
_STARRED = re.compile(rb"except[ \t\x01\\]*\*")
_CASE_HEADER = re.compile(rb"case" + _NO_WORD + rb"([^:()\[\]{}\n]*+(?>(?:" + GROUP + rb"[^:()\[\]{}\n]*+)*)):")
_ANY_GROUP = re.compile(GROUP)
_GUARD = re.compile(rb"(?<![\w.\x80-\xff])if" + _NO_WORD)
_WILDCARD = re.compile(
    rb"[ \t\x01\\(]*(?!(?:True|False|None)"
    + _NO_WORD
    + rb")(?!\d)"
    + _NAME
    + rb"[ \t\x01\\)]*(?:if"
    + _NO_WORD
    + rb".*)?\Z",
    re.DOTALL,
)
_ONLY_RETURN = re.compile(rb"[\s\x01\x02rRuU]*return" + _NO_WORD + rb"[^\n]*\s*\Z")
_TRIVIA = re.compile(rb"\n[ \t\r\f\v]*+(?=\n|\Z)")
_PADDED = re.compile(rb"\n[ \t\r\f\v]++(?=\n|\Z)")
_BLANK = bytes(byte if byte == 0x01 else ord(" ") for byte in range(256))
_ONLY_STRING = re.compile(rb"[rRuU]?[\x01\x02]+")
_DOCUMENTS = re.compile(r"[rRuU]?[\"']")
_COMMENT = re.compile(r"(\"[^\"\n]*\"|'[^'\n]*')|#[^\n]*")


# Plain numbers, since a file has thousands of blocks and each is asked for its kind.
_MODULE, _DEFINITION, _IF, _LOOP, _TRY, _TRY_STAR, _MATCH, _CASE, _OTHER = range(9)
_HEADERS: Mapping[bytes, tuple[int, bool, int]] = {
    # Word: its block, whether it is one level deeper inside, and costs that; and whether it is so, and costs one.
    b"if": (_IF, True, 0),
    b"for": (_LOOP, True, 0),
    b"while": (_LOOP, True, 0),
    b"elif": (_IF, False, 1),
    b"else": (_OTHER, False, 0),
    b"try": (_TRY, False, 0),
    b"except": (_TRY, True, 0),
    b"finally": (_OTHER, False, 0),
    b"with": (_OTHER, False, 0),
    b"match": (_MATCH, True, 0),
    b"case": (_CASE, False, 0),
}
_SOFT = frozenset({b"match", b"case"})


class _Frame:
    """A module, function or class while it is read."""

    end_line = 0
    is_method = False
    values: tuple[str, ...] = ()
    signature = ""
    docstring: str | None = None
    decorators: tuple[str, ...] = ()
    extra = ifs = cognitive = structural = nest = nesting = level = 0
    calls: tuple[str, ...] = ()
    complexity = 1
    inner: tuple["_Frame", ...] = ()

    def __init__(
        self, *, name: str, owner: str, outer: "_Frame | None", is_function: bool, line: int, place: int
    ) -> None:
        self.name, self.owner, self.is_function, self.line, self.place = name, owner, is_function, line, place
        self.outer = outer or self
        self.segments: list[Span] = []
        self.levels: list[tuple[int, int]] = []

    @property
    def path(self) -> str:
        return f"{self.owner}.{self.name}"[:MOST_OWNER_CHARACTERS] if self.owner else self.name


class _Open(NamedTuple):
    """A block that is open: what is deeper than `indent` belongs to it."""

    indent: int
    kind: int
    frame: _Frame
    nests: bool = False
    has_default: bool = False


def read_python(*, text: bytes, seconds: float, most_definitions: int, is_brief: bool = False) -> Parsed:
    """Find what a text of Python defines, imports and calls, and count its lines.

    Args:
        text: UTF-8, errors included, its lines ended by a line feed.
        seconds: processor time of this thread that may be spent on parsing it, where it may have syntax errors.
        most_definitions: functions to keep, and as many classes.
        is_brief: see `analyse_file`.
    """
    python = python_text(text)
    reader = _Reader(python, most_definitions, is_brief=is_brief)
    reader.read()
    notes = []
    if reader.is_misshapen or (is_doubtful(python) and has_error(text=text, grammar="python", seconds=seconds)):
        notes.append(Note.NOT_UNDERSTOOD)
    if reader.has_too_many:
        notes.append(Note.TOO_MANY)
    return Parsed(
        functions=tuple(map(_function, reader.functions)),
        classes=tuple(map(_class, reader.classes)),
        imports=python_imports(python),
        calls=calls_in([python.text[start:end] for start, end in reader.module.segments]),
        lines=_lines(python, text),
        todos=_todos(python),
        notes=tuple(notes),
    )


class _Reader:
    """Goes through the lines once, with a stack of open blocks."""

    def __init__(self, python: PythonText, most_definitions: int, *, is_brief: bool) -> None:
        self.functions: list[_Frame] = []
        self.classes: list[_Frame] = []
        self.has_too_many = False
        self.is_misshapen = python.is_broken
        self.module = _Frame(name="", owner="", outer=None, is_function=False, line=0, place=0)
        self._is_brief = is_brief
        self._python = python
        self._text, self._source = python.text, python.source
        self._strings = dict(python.strings)
        self._most = most_definitions
        self._frame = self.module
        self._open: list[_Open] = [_Open(-1, _MODULE, self.module)]
        self._segment = 0
        self._line, self._counted = 0, 0
        self._decorators: list[Span] = []
        self._undocumented: _Frame | None = None

    def read(self) -> None:
        text, opened = self._text, self._open
        has_tabs = b"\t" in text
        current, header, last = 0, -1, 0
        for match in _LINE.finditer(text):
            start, place = match.span(1)
            indent = place - start
            if indent == current and header < 0 and match.lastindex == 1 and self._undocumented is None:
                last = place
                continue
            if has_tabs and indent:
                indent = len(match[1].expandtabs())
            if header >= indent or (indent > current and not has_tabs):
                # A header needs something deeper below, or in its own line; nothing else may have that.
                self.is_misshapen |= _ends_open(text, last, start) == (header >= indent)
            current = indent
            closed = _MODULE
            while opened[-1].indent >= indent:
                block = self._close(start - 1, last)
                if block.indent == indent:
                    closed = block.kind
            word = match[2]
            header = -1
            if self._undocumented is not None:
                self._document(place)
            if word is not None and self._header(word, place, indent, closed):
                header = indent
            last = place
        end = len(text)
        while len(opened) > 1:
            self._close(end, last)
        self.is_misshapen |= header >= 0 and _ends_open(text, last, end)
        self.module.segments.append((self._segment, end))

    def _header(self, word: bytes, place: int, indent: int, closed: int) -> bool:  # noqa: C901, PLR0912 - one case per kind of line
        """Open the block that a line starts; tell whether it does start one."""
        if word == b"@":
            if not self._decorators:
                self._end_segment(place)
            end = self._text.find(b"\n", place)
            self._decorators.append((place + 1, len(self._text) if end < 0 else end))
            return False
        if word[0] == ord("a"):
            word = word.removeprefix(b"async").lstrip(b" \t\x01\\")
        if word not in _SOFT and not self._has_colon(place):
            self.is_misshapen = True
        if word not in _HEADERS:
            self._define(place, indent, is_function=word == b"def")
            return True
        self._decorators.clear()
        frame = self._frame
        kind, nests, flat = _HEADERS[word]
        if kind == _IF:
            frame.ifs += nests
        elif word == b"else":
            # radon counts the `else` of loops and of `try`, Campbell that of conditions and loops.
            kind, flat = closed, int(closed in (_IF, _LOOP))
            frame.extra += closed in (_LOOP, _TRY)
        elif word == b"except":
            if closed == _TRY_STAR or _STARRED.match(self._text, place):
                kind = _TRY_STAR
                frame.extra -= 1
        elif kind == _MATCH:
            if not self._is_match(place):
                return False
        elif kind == _CASE:
            if self._open[-1].kind != _MATCH:
                return False
            frame.extra += self._case(place)
        if self._is_brief or not frame.is_function:
            self._open.append(_Open(indent, kind, frame))
            return True
        frame.cognitive += flat
        if nests:
            frame.cognitive += 1 + frame.nest
            frame.structural += 1
        if nests or flat:
            frame.nest += 1
            frame.nesting = max(frame.nesting, frame.nest)
            frame.levels.append((place + 1, frame.nest))
        self._open.append(_Open(indent, kind, frame, nests or bool(flat)))
        return True

    def _has_colon(self, place: int) -> bool:
        end = self._text.find(b"\n", place)
        return self._text.find(b":", place, len(self._text) if end < 0 else end) >= 0

    def _is_match(self, place: int) -> bool:
        if _MATCH_HEADER.match(self._text, place) is None:
            return False
        end = self._text.find(b"\n", place)
        return self._text[place : len(self._text) if end < 0 else end].rstrip().endswith(b":")

    def _case(self, place: int) -> int:
        """Return what a case adds to the branches.

        That is one, less the `if` of its guard, and less one for the first case without a pattern, which is the `else`.
        """
        case = _CASE_HEADER.match(self._text, place)
        if case is None:
            return 1
        branches = 1 - (_GUARD.search(_ANY_GROUP.sub(b"", case[1])) is not None)
        match = self._open[-1]
        if not match.has_default and _WILDCARD.match(case[1]):
            self._open[-1] = match._replace(has_default=True)
            branches -= 1
        return branches

    def _define(self, place: int, indent: int, *, is_function: bool) -> None:
        text, outer = self._text, self._frame
        head = (_DEF if is_function else _CLASS).match(text, place)
        broken = None
        if head is None:
            broken = _BROKEN.match(text, place)
            self.is_misshapen = True
            if broken is None:
                return
        found = head or broken
        assert found is not None
        if not self._decorators:
            self._end_segment(place)
        end = text.find(b"\n", found.end())
        end = len(text) if end < 0 else end
        body = found.end() if head else end
        self._line += self._source.count(b"\n", self._counted, place)
        self._counted = place
        name = found[1].decode(errors="replace")[:MOST_NAME_CHARACTERS]
        frame = _Frame(name=name, owner=outer.path, outer=outer, is_function=is_function, line=self._line, place=place)
        frame.is_method = is_function and not outer.is_function and outer is not self.module
        kept = self.functions if is_function else self.classes
        if len(kept) < self._most:
            kept.append(frame)
        else:
            self.has_too_many = True
        if self._is_brief:
            self._decorators.clear()
        else:
            self._describe(frame, head, found.start(1), body, end)
        self._open.append(_Open(indent, _DEFINITION, frame))
        self._frame = frame
        self._segment = body

    def _describe(self, frame: _Frame, head: re.Match[bytes] | None, start: int, body: int, end: int) -> None:
        """Add what is not needed to tell where a definition is, and how complex."""
        if head is not None and head[2]:
            inside = head[2][1:-1]
            frame.values = _parameters(inside) if frame.is_function else self._bases(head.start(2) + 1, inside)
        frame.signature = self._signature(start, body)
        frame.decorators = self._take_decorators()
        frame.level = frame.outer.nest
        if frame.is_function and frame.outer.is_function:
            frame.outer.inner += (frame,)
        rest = self._text[body:end].strip()
        if not rest:
            self._undocumented = frame
        elif _ONLY_STRING.fullmatch(rest):
            start = self._text.index(rest, body)
            frame.docstring = self._said(start, start + len(rest), "")

    def _close(self, place: int, last: int) -> _Open:
        """Close the innermost block; `last` is where the last line in it starts, `place` where the next one does."""
        block = self._open.pop()
        frame = block.frame
        if block.kind != _DEFINITION:
            if block.nests:
                frame.nest -= 1
                frame.levels.append((place, frame.nest))
            return block
        end = self._text.find(b"\n", last)
        end = len(self._text) if end < 0 else end
        self._end_segment(max(end, self._segment))
        content = last + len(self._text[last:end].rstrip(b" \t\x01\\\x0c"))
        frame.end_line = frame.line + self._source.count(b"\n", frame.place, max(content, frame.place))
        self._undocumented = None
        self._frame = frame.outer
        if frame.is_function:
            self._finish(frame)
        return block

    def _finish(self, frame: _Frame) -> None:
        text = self._text
        own = b"\n".join([text[start:end] for start, end in frame.segments])
        words = words_of(own)
        frame.calls, frame.complexity = words.calls, 1 + words.branches + frame.extra
        if (words.is_costly or words.ifs > frame.ifs) and not self._is_brief:
            cost = expressions_cost(self._python, spans=frame.segments, levels=frame.levels)
            frame.cognitive += cost.cognitive
            frame.structural += cost.structural
        for inner in frame.inner:
            # A function that only holds and returns another is a decorator, whose inner function stands for itself.
            is_decorator = len(frame.inner) == 1 and _ONLY_RETURN.match(own) is not None
            frame.cognitive += inner.cognitive + inner.structural * (inner.level + (not is_decorator))
            frame.structural += inner.structural
        frame.inner = ()
        frame.segments = []

    def _end_segment(self, place: int) -> None:
        owner = self._frame if self._frame.is_function else self.module
        if place > self._segment:
            owner.segments.append((self._segment, place))
        self._segment = place

    def _document(self, place: int) -> None:
        frame, self._undocumented = self._undocumented, None
        end = self._strings.get(place)
        if frame is not None and end is not None:
            start = self._source.rfind(b"\n", 0, place) + 1
            frame.docstring = self._said(place, end, self._source[start:place].decode(errors="replace"))

    def _said(self, start: int, end: int, indent: str) -> str | None:
        literal = self._source[start : min(end, start + 4_000)].decode(errors="replace")
        return docstring(literal, indent=indent) if _DOCUMENTS.match(literal) else None

    def _signature(self, start: int, end: int) -> str:
        written = self._source[start : min(end, start + 4 * MOST_SIGNATURE_CHARACTERS)].decode(errors="replace")
        if "#" in written:
            written = _COMMENT.sub(lambda found: found[1] or "", written)
        return " ".join(written.split())[:MOST_SIGNATURE_CHARACTERS].rstrip(" :")

    def _take_decorators(self) -> tuple[str, ...]:
        taken, self._decorators = self._decorators[:MOST_DECORATORS], []
        return tuple(
            filter(None, (text_of(self._source, start, end, MOST_DECORATOR_CHARACTERS) for start, end in taken))
        )

    def _bases(self, place: int, inside: bytes) -> tuple[str, ...]:
        bases, position = [], place
        for part in _flattened(inside).split(b","):
            if part.strip(b" \t\x01\\\x02") and _KEYWORD.match(part) is None:
                bases.append(text_of(self._source, position, position + len(part)).lstrip("*"))
            position += len(part) + 1
        return tuple(filter(None, bases[:MOST_BASES]))


def _ends_open(text: bytes, start: int, end: int) -> bool:
    """Tell whether a statement ends with the colon of a header."""
    return text[start:end].rstrip().endswith(b":")


def _flattened(inside: bytes) -> bytes:
    """Blank brackets and what is in them."""
    while found := _INNER_GROUP.search(inside):
        inside = _INNER_GROUP.sub(lambda group: b"\x02" * len(group[0]), inside)
        if len(found[0]) == 0:
            break
    return inside


def _parameters(inside: bytes) -> tuple[str, ...]:
    if b"(" in inside or b"[" in inside or b"{" in inside:
        inside = _flattened(inside)
    if b"lambda" in inside:
        inside = _LAMBDA.sub(b"", inside)
    found = map(_PARAMETER.match, inside.split(b",")[: 2 * MOST_PARAMETERS])
    return tuple(match[1].decode(errors="replace")[:MOST_NAME_CHARACTERS] for match in found if match)[:MOST_PARAMETERS]


def _function(frame: _Frame) -> FunctionFact:
    return FunctionFact(
        frame.name,
        frame.line,
        frame.end_line,
        frame.owner,
        frame.is_method,
        frame.values,
        frame.signature,
        frame.docstring,
        frame.decorators,
        frame.complexity,
        frame.cognitive,
        frame.nesting,
        frame.calls,
    )


def _class(frame: _Frame) -> ClassFact:
    return ClassFact(
        frame.name,
        frame.line,
        frame.end_line,
        frame.owner,
        frame.values,
        frame.signature,
        frame.docstring,
        frame.decorators,
    )


def _todos(python: PythonText) -> tuple[TodoFact, ...]:
    blank = ord(" ")
    return todos_in(text=python.source, is_comment=lambda place: python.text[place] == blank, first_line=0)


def _lines(python: PythonText, text: bytes) -> LineCounts:
    """Count lines; statements that are nothing but a string are comments."""
    lines = text.count(b"\n") + (not text.endswith(b"\n") and text != b"")
    pieces, position = [], 0
    for start, end in python.strings:
        pieces += [python.text[position:start], python.text[start:end].translate(_BLANK)]
        position = end
    pieces.append(python.text[position:])
    without = bytearray(b"".join(pieces).replace(b"\x01", b"\n"))
    for match in _PADDED.finditer(python.source):
        # A line of spaces is blank, inside of a string too.
        without[match.start() : match.end()] = match[0]
    return _counted(lines, _empty(python.source), _empty(without))


def _empty(text: bytes | bytearray) -> int:
    """Count the lines without anything, the last one only when no line break ends it."""
    found = len(_TRIVIA.findall(text))
    return found - text.endswith(b"\n") if found else 0


def _counted(lines: int, blank: int, without_code: int) -> LineCounts:
    return LineCounts(lines=lines, code=lines - without_code, comment=without_code - blank, blank=blank)
