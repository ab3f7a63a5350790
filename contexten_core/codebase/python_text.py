r"""Python source with everything in it that is not its structure made to look alike, at the same places.

Python's structure is in its lines and their indents. To see it, strings become runs of `\2`, comments become spaces,
and the line breaks inside of strings and brackets, and after backslashes, become `\1`: what is left of `\n` ends
statements.
Nothing moves, so a place in the result is a place in the source. All of it is done by regular expressions that take
linear time, several times as fast as a syntax tree is walked.

What repeats a group and gives nothing back is written `(?>(?:...)*)`, since `(?:...)*+` is wrong before Python 3.11.5
(CPython's issue 106052).
"""

import re
from typing import NamedTuple

from contexten_core.codebase.count import Span

_CLOSED = (
    rb"#[^\n]*"
    rb'|"""[^"\\]*+(?>(?:(?:\\.|"(?!""))[^"\\]*+)*)"""'
    rb"|'''[^'\\]*+(?>(?:(?:\\.|'(?!''))[^'\\]*+)*)'''"
    rb'|"(?!"")[^"\\\n]*+(?>(?:\\.[^"\\\n]*+)*)"'
    rb"|'(?!'')[^'\\\n]*+(?>(?:\\.[^'\\\n]*+)*)'"
)
_TOKEN = re.compile(b"(" + _CLOSED + b")", re.DOTALL)
# With what has no end: it ends with the text, or with its line.
_ANY_TOKEN = re.compile(b"(" + _CLOSED + rb'|""".*' + rb"|'''.*" + rb"""|["'][^\n]*)""", re.DOTALL)
_HASH, _NEWLINE = ord("#"), ord("\n")
_MASK = bytes(0x01 if byte == _NEWLINE else 0x02 for byte in range(256))
_OWN_MARKS = (b"\x01", b"\x02", b"\x03")
_WITHOUT_OWN_MARKS = bytes(ord("?") if bytes([byte]) in _OWN_MARKS else byte for byte in range(256))
_FORMAT_PREFIX = re.compile(rb"(?<![\w.])(?:[fFtT][rR]?|[rR][fFtT])\Z")
_FIELD = re.compile(
    rb"\{\{|\}\}|\{([^{}'\"]*+(?>(?:(?:'[^'\n]*+'|\"[^\"\n]*+\"|\{[^{}]*+\})[^{}'\"]*+)*))\}",
)
_INNER_STRING = re.compile(rb"\"[^\"\n]*+\"|'[^'\n]*+'")

_SAME_LINE_LEVELS = 4
_LEVELS = 10
_BRACKETS = re.compile(rb"[()\[\]{}]")
_OPENING = {ord(")"): ord("("), ord("]"): ord("["), ord("}"): ord("{")}
_ALONE = re.compile(rb"\n[ \t\x0c]*+((?:[rR]?[bB]|[bBuUfF]?[rR]?)\x02[\x02\x01]*+)[ \t]*+(?=\n|\Z)")


class PythonText(NamedTuple):
    r"""A file made ready to be read.

    Attributes:
        source: the file with `\n` in front, so that every line starts with one.
        text: the same, masked.
        strings: where statements are that are nothing but one string.
        is_broken: whether a string or bracket has no end, or no start.
    """

    source: bytes
    text: bytes
    strings: list[Span]
    is_broken: bool


def python_text(data: bytes) -> PythonText:
    r"""Mask a file; its lines end with `\n`."""
    source = b"\n" + data
    is_plain = not any(mark in data for mark in _OWN_MARKS)
    masked, is_closed = _masked(source if is_plain else source.translate(_WITHOUT_OWN_MARKS))
    if b"\\\n" in masked:
        masked = masked.replace(b"\\\n", b"\\\x01")
    text, is_balanced = _joined(masked)
    strings = [match.span(1) for match in _ALONE.finditer(text)]
    return PythonText(source, text, strings, not (is_closed and is_balanced))


def _masked(source: bytes) -> tuple[bytes, bool]:
    """Mask comments and strings; tell whether all strings have an end."""
    masked = _mask_tokens(_TOKEN.split(source))
    if b'"' not in masked and b"'" not in masked:
        return masked, True
    return _mask_tokens(_ANY_TOKEN.split(source)), False


def _mask_tokens(parts: list[bytes]) -> bytes:
    """Put what is between tokens, and the tokens themselves masked, together again."""
    tokens = parts[1::2]
    parts[1::2] = [b" " * len(token) if token[0] == _HASH else token.translate(_MASK) for token in tokens]
    for number, token in enumerate(tokens):
        if b"{" in token and token[0] != _HASH and _FORMAT_PREFIX.search(parts[2 * number][-3:]):
            parts[2 * number + 1] = _with_fields(token)
    return b"".join(parts)


def _with_fields(literal: bytes) -> bytes:
    """Mask an f-string, but for the expressions in it, and in what says how to format them."""
    pieces: list[bytes] = []
    position = 0
    for match in _FIELD.finditer(literal):
        if match.start(1) < 0:
            continue
        field = _INNER_STRING.sub(lambda string: b"\x02" * len(string[0]), match[1].replace(b"\n", b"\x01"))
        expression = _EXPRESSION.match(field)
        length = expression.end() if expression else 0
        pieces += [literal[position : match.start()].translate(_MASK), b"{", field[:length]]
        pieces += [_with_fields(field[length:]), b"}"]
        position = match.end()
    pieces.append(literal[position:].translate(_MASK))
    return b"".join(pieces)


def _nested(plain: bytes, levels: int) -> bytes:
    """Return a pattern for text with brackets in it, that many levels of them, which gives nothing back."""
    pattern = plain
    for _ in range(levels):
        pattern = plain + rb"(?>(?:[(\[{]" + pattern + rb"[)\]}]" + plain + rb")*)"
    return pattern


_OPEN_AT_END = re.compile(rb"[(\[{]" + _nested(rb"[^()\[\]{}\n]*+", _SAME_LINE_LEVELS) + rb"(?:\n|\Z|(?=[(\[{]))")
GROUP = rb"[(\[{]" + _nested(rb"[^()\[\]{}]*+", _LEVELS) + rb"[)\]}]"
_GROUP = re.compile(GROUP)
_EXPRESSION = re.compile(
    rb"[^()\[\]{}!:=]*+(?>(?:(?:" + GROUP + rb"|[!=<>:]=|=(?=\s*+\w))[^()\[\]{}!:=]*+)*)",
)


def _joined(masked: bytes) -> tuple[bytes, bool]:
    """Join the lines of each bracket; tell whether all brackets have their other half."""
    is_balanced = all(masked.count(one) == masked.count(two) for one, two in ((b"(", b")"), (b"[", b"]"), (b"{", b"}")))
    pieces: list[bytes] = []
    position = 0
    search, group = _OPEN_AT_END.search, _GROUP.match
    while found := search(masked, position):
        start = found.start()
        whole = group(masked, start)
        if whole is None:
            return _joined_by_pairs(masked)
        end = whole.end()
        pieces += [masked[position:start], masked[start:end].replace(b"\n", b"\x01")]
        position = end
    pieces.append(masked[position:])
    return b"".join(pieces), is_balanced


def _joined_by_pairs(masked: bytes) -> tuple[bytes, bool]:
    """Do the same at any depth, and in spite of brackets without another half, which join nothing."""
    opened: list[tuple[int, int]] = []
    pairs: list[Span] = []
    is_balanced = True
    for match in _BRACKETS.finditer(masked):
        place = match.start()
        opening = _OPENING.get(masked[place])
        if opening is None:
            opened.append((place, masked[place]))
        elif opened and opened[-1][1] == opening:
            start = opened.pop()[0]
            while pairs and pairs[-1][0] > start:
                pairs.pop()
            pairs.append((start, place + 1))
        else:
            is_balanced = False
    pieces: list[bytes] = []
    position = 0
    for start, end in pairs:
        pieces += [masked[position:start], masked[start:end].replace(b"\n", b"\x01")]
        position = end
    pieces.append(masked[position:])
    return b"".join(pieces), is_balanced and not opened
