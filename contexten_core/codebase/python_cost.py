"""Cognitive complexity of Python's expressions: boolean operators, conditional expressions and lambdas."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from contexten_core.codebase.count import Span
from contexten_core.codebase.parse import cost_of
from contexten_core.codebase.python_text import GROUP, PythonText

_NO_WORD = rb"(?![\w\x80-\xff])"
_KEY = re.compile(rb"(?:[\n \t\x01\x02()\[\]{}=,:;]|\A)(?:and|or|if|lambda)" + _NO_WORD)
_WORDS = re.compile(rb"(?<![\w.\x80-\xff])(?:and|or|else|lambda)" + _NO_WORD)
_OPERATORS = re.compile(rb"(?<![\w.\x80-\xff])(?:and|or)" + _NO_WORD)
_GROUP = re.compile(GROUP)
_SEPARATORS = re.compile(rb"[,;:]|(?<![=!<>])=(?!=)|(?<![\w.\x80-\xff])(?:if|else|lambda|for|return|yield)" + _NO_WORD)
_HEAD = re.compile(
    rb"[ \t\x0c]*+(?:async[ \t\x01]+)?(if|elif|else|for|while|with|try|except|finally|match|case)"
    + _NO_WORD
    + rb"([^:()\[\]{}\n]*+(?>(?:(?:"
    + GROUP
    + rb"|:=)[^:()\[\]{}\n]*+)*)):(?!=)"
)
_GUARD = re.compile(rb"[ \t\x01)\]}]if" + _NO_WORD)
_DEEPER = frozenset({b"if", b"elif", b"else", b"for", b"while", b"except", b"match"})


class Cost(NamedTuple):
    """Cognitive complexity at the level where something stands, and how many parts of it grow with the level."""

    cognitive: int
    structural: int


def expressions_cost(python: PythonText, *, spans: Sequence[Span], levels: Sequence[tuple[int, int]]) -> Cost:
    """Return what the expressions in parts of a file cost.

    Args:
        python: the file.
        spans: the parts.
        levels: how deep what follows each place is nested, in order.
    """
    text = python.text
    cognitive = structural = 0
    for start, end in spans:
        position = start
        while found := _KEY.search(text, position, end):
            line = max(start, text.rfind(b"\n", 0, found.start() + 1) + 1)
            stop = text.find(b"\n", found.start() + 1, end)
            stop = end if stop < 0 else stop
            level = levels[bisect_right(levels, (line, 1 << 30)) - 1][1] if levels else 0
            for cost, deeper in _line_costs(python, line, stop):
                cognitive += cost.cognitive + cost.structural * (level + deeper)
                structural += cost.structural
            position = stop
            if position >= end:
                break
    return Cost(cognitive, structural)


def _line_costs(python: PythonText, start: int, end: int) -> list[tuple[Cost, int]]:
    """Return what the header of a statement costs, and what stands behind it in its line, with its level there."""
    head = _HEAD.match(python.text, start, end)
    if head is None:
        return [(_cost(python, start, end), 0)]
    first, last = head.span(2)
    if head[1] == b"case" and (guard := _GUARD.search(python.text, first, last)):
        first = guard.end()
    costs = [(_cost(python, first, last), 0)]
    if _KEY.search(python.text, head.end(), end):
        costs.append((_cost(python, head.end(), end), int(head[1] in _DEEPER)))
    return costs


def _cost(python: PythonText, start: int, end: int) -> Cost:
    part = python.text[start:end]
    words = _WORDS.findall(part)
    operators = words.count(b"and") + words.count(b"or")
    choices = words.count(b"else")
    if choices > 1 or (choices and b"lambda" in words):
        return _parsed(python, start, end)
    cognitive = choices
    if operators == 1:
        cognitive += 1
    elif operators:
        outside = _GROUP.sub(b" ", part)
        if len(_OPERATORS.findall(outside)) != operators:
            return _parsed(python, start, end)
        cognitive += sum(_changes(_OPERATORS.findall(piece)) for piece in _SEPARATORS.split(outside))
    return Cost(cognitive, choices)


def _changes(operators: Sequence[bytes]) -> int:
    """Count sequences of like operators."""
    return sum(one != two for one, two in zip(operators, (b"", *operators), strict=False))


def _parsed(python: PythonText, start: int, end: int) -> Cost:
    """Ask the parser, where it depends on how things stand in each other."""
    statement = python.source[start:end].strip().removeprefix(b"*")
    return Cost(*cost_of(text=b"def f():\n " + statement + b"\n", grammar="python"))
