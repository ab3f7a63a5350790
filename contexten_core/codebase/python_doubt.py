"""Whether Python source may have syntax errors, told by what stands beside each other in it.

What is not doubtful here is taken for correct, without being parsed. Of the errors that a token removed, doubled or
swapped makes in real files, this doubts nearly all; the tests say how many.
"""

import re

from contexten_core.codebase.python_text import PythonText

_NO_WORD = rb"(?![\w\x80-\xff])"
_RUNS_OF_STRING = re.compile(rb"\x02[\x02\x01]+")
_INDENTS = re.compile(rb"\n[ \t\x0c\n]+")
_GAPS = re.compile(rb"[ \t\x0c\x01\\]{2,}|[\t\x01\\]")

# One character for what is alike: a word, s string, d division and other operators that need an operand in front,
# + what needs none, ( any opening bracket.
_CLASSES = {
    b"(": b"([{",
    b")": b")]}",
    b"+": b"+-~",
    b"d": b"/%&|^<>",
    b"$": b"$?`",
    b"s": b"\x02",
    b" ": b" \t\x01\\\x0c",
}
_OWN_CLASS = b"\n,:;.=*@!"


def _class_of(byte: int) -> int:
    for name, members in _CLASSES.items():
        if byte in members:
            return name[0]
    return byte if byte in _OWN_CLASS else ord("a")


_TO_CLASSES = bytes(map(_class_of, range(256)))
# An operator without its second operand, without its first, and what begins a statement and cannot.
_BAD = tuple(
    pair.encode()
    for pair in (
        *(
            f"{operator}{end}"
            for operator in "+=d*@!"
            for end in ")\n,:;"
            if operator + end not in {"*)", "*,", "d)", "d,"}
        ),
        *(f"{opening}{operator}" for opening in "(,\n" for operator in "=d,!;" if opening + operator != ",d"),
        *(",/", "\n)", "\n:", "=d", "=,", "$"),
    )
)  # fmt: skip
# Two operators that are not one.
_BAD_APART = tuple(f"{one} {two}".encode() for one in "+=d*@!" for two in "=d@!")
_INFIX = rb"(?:and|or|not|in|is|if|else|for|async|as|from|import)" + _NO_WORD
_TWO_OPERANDS = re.compile(
    rb" (?<=[\w)\]}\x02\x80-\xff] )(?=[\w\x80-\xff\x02])(?!"
    + _INFIX
    + rb")(?<!return.)(?<!def.)(?<!import.)(?<!class.)"
    rb"(?<!from.)(?<!assert.)(?<![ \n]if.)(?<!not.)(?<! in.)(?<!lambda.)(?<!raise.)(?<!with.)(?<!and.)(?<! or.)."
)
_BEFORE_OPERAND = frozenset(
    b"and as assert async await case class def del elif else except for from global if import in is lambda match"
    b" nonlocal not or raise return type while with yield print exec".split()
)
_STRING = 0x02
_LAST_WORD = re.compile(rb"[\w.\x80-\xff]*\Z")
_STRING_PREFIX = re.compile(rb"[rRbBuUfFtT]{1,2}\x02")
_HANGING = re.compile(
    rb"[ \n(](?:(?:and|or|not|in|is|if|elif|while|for|as|import|del|with|class|def|global|from) ?+[)\]}\n,=:;]"
    rb"|(?<=[^:;\n][ (])(?:return|while|raise|try|except|pass|break|continue|del|global|assert|elif|finally|class"
    rb"|nonlocal)" + _NO_WORD + rb"|\d+[ac-df-ik-np-wyz])"
)
_CALL_TARGET = re.compile(rb"\n[\w.]++\([^\n()]*+\) ?=(?!=)")


def is_doubtful(python: PythonText) -> bool:
    """Tell whether it takes a parser to know that a file has no syntax errors."""
    text = _RUNS_OF_STRING.sub(b"\x02", python.text)
    text = _GAPS.sub(b" ", _INDENTS.sub(b"\n", text)) + b"\n"
    classes = text.translate(_TO_CLASSES)
    while b"aa" in classes:
        classes = classes.replace(b"aa", b"a")
    if any(pair in classes for pair in _BAD_APART) or b"sa" in classes or b")a" in classes:
        return True
    together = classes.replace(b" ", b"")
    if any(pair in together for pair in _BAD) or together.count(b"!") != together.count(b"!="):
        return True
    if any(pair in text for pair in (b"){", b"]{", b") {", b"] {")):
        return True
    return bool(_HANGING.search(text) or _CALL_TARGET.search(text) or _two_operands(text))


def _two_operands(text: bytes) -> bool:
    for match in _TWO_OPERANDS.finditer(text):
        place = match.start()
        word = _LAST_WORD.search(text, max(0, place - 9), place)
        if word is not None and word[0] in _BEFORE_OPERAND:
            continue
        if text[place - 1] == _STRING and (text[place + 1] == _STRING or _STRING_PREFIX.match(text, place + 1)):
            continue
        return True
    return False
