"""Whether Python may have syntax errors, told by what stands beside each other in it.

Parsing every file would double the time of an analysis. What looks doubtful here is parsed, so nothing that is correct
is ever called wrong; of the errors that one missing token makes in real files, two thirds are found this way or by
`python_reader`.
"""

import re

from contexten_core.codebase.python_text import PythonText

_SPACE = rb"[ \t\x01\\]"
# Each begins with one set of bytes, which is what makes a search fast.
_OPERATORS = re.compile(
    rb"[=+%&|^<>@~*/(\[{,-](?:"
    # Without its second operand; `*` and `/` may stand alone among parameters.
    rb"(?<=[=+%&|^<>@~-])" + _SPACE + rb"*+[)\],:;\n]"
    rb"|(?<=[*/])" + _SPACE + rb"*+[\]}:]"
    # Without its first one.
    rb"|(?<=[(\[{])" + _SPACE + rb"*+[=%&|^<>;,]"
    rb"|(?<=,)" + _SPACE + rb"*+[%&|^<>;,]"
    # Two that are not one.
    rb"|(?<=[=+%&|^<>@~*/-])" + _SPACE + rb"++[=/%&|^<>@!]"
    rb")"
)  # fmt: skip
_STARTS = re.compile(rb"\n[ \t]*+(?:[=%&|^<>/,:;)\]}$?!]|\d++[A-Za-z_])")
_INFIX = rb"(?:and|or|not|in|is|if|else|for|async|as|from|import)(?![\w\x80-\xff])"
_TWO_OPERANDS = re.compile(
    rb" (?<=[\w)\]}\x02\x80-\xff] )(?=[\w\x80-\xff\x02])(?!"
    + _INFIX
    + rb")(?<!return.)(?<!def.)(?<!import.)(?<!class.)(?<!from.)(?<!assert.)(?<! if.)(?<!not.)(?<! in.)(?<!lambda.)"
    rb"(?<!raise.)(?<!with.)(?<!and.)(?<! or.)(?<!elif.)(?<! is.)(?<! for.)(?<! as.)(?<!else.)(?<!yield.)"
)
_BEFORE_OPERAND = frozenset(
    b"and as assert async await case class def del elif else except for from global if import in is lambda match"
    b" nonlocal not or raise return type while with yield".split()
)
_MOST_WORD = 9
_LAST_WORD = re.compile(rb"[\w.\x80-\xff]*\Z")
_STRING = 0x02
_STRING_PREFIX = re.compile(rb"[rRbBuUfFtT]{1,2}\x02")


def is_doubtful(python: PythonText) -> bool:
    """Tell whether it takes a parser to know that a file has no syntax errors."""
    text = python.text
    return bool(_OPERATORS.search(text) or _STARTS.search(text)) or _has_two_operands(text)


def _has_two_operands(text: bytes) -> bool:
    for match in _TWO_OPERANDS.finditer(text):
        place = match.start()
        word = _LAST_WORD.search(text, max(0, place - _MOST_WORD), place)
        if word is not None and word[0] in _BEFORE_OPERAND:
            continue
        if text[place - 1] == _STRING and (text[place + 1] == _STRING or _STRING_PREFIX.match(text, place + 1)):
            continue
        return True
    return False
