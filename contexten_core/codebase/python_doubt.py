"""Whether Python source may have syntax errors, told by what stands beside each other in it.

What is not doubtful here is taken for correct, without being parsed. Of the errors that a token removed, doubled or
swapped makes in real files, this doubts nearly all; the tests say how many.
"""

import re

from contexten_core.codebase.python_text import PythonText

_NO_WORD = rb"(?![\w\x80-\xff])"
_SPACE = rb"[ \t\x01\\]"
_INFIX = rb"(?:and|or|not|in|is|if|else|for|async|as|from|import)" + _NO_WORD
_BEFORE_OPERAND = frozenset(
    b"and as assert async await case class def del elif else except for from global if import in is lambda match nonlocal"
    b" not or raise return type while with yield print exec".split()
)
# Two operands beside each other, if the first of them is no keyword.
_TWO_OPERANDS = re.compile(
    _SPACE + rb"(?<=[\w)\]}\x02\x80-\xff]" + _SPACE + rb")" + _SPACE + rb"*+(?!" + _INFIX + rb")[\w\x80-\xff\x02]"
)
_LAST_WORD = re.compile(rb"[\w.\x80-\xff]*\Z")
_OPERATORS = re.compile(
    rb"[-+%&|^<>=@~]" + _SPACE + rb"*+[)\]}\n,:;]"  # an operator without its second operand
    rb"|[-+*/%&|^<>=@]" + _SPACE + rb"++(?:[/%&|^>@]|=(?!=)|==)"  # two operators
    rb"|[(\[{,]" + _SPACE + rb"*+(?:[%&|^<>=]|,|/(?!" + _SPACE + rb"*[,)]))"  # an operator without its first
    rb"|[(\[{=]" + _SPACE + rb"*+(?:def|class|return|while|raise|try|except|with|pass|break|continue|del|global|assert"
    rb"|import|elif|finally|nonlocal)" + _NO_WORD +
    rb"|[$?`]|!(?!=)|[\n(\[,=][ \t]*+\d++[ac-df-ik-np-wyz]"
    rb"|\n" + _SPACE + rb"*+(?:[\w.]++\([^\n()]*+\)" + _SPACE + rb"*=(?!=)|[)\]}=,:;%&|^<>]|\.(?![.\d]))"
)  # fmt: skip
_HANGING = re.compile(
    rb"[ \t\x01\n(\[,=](?:and|or|not|in|is|if|elif|while|for|as|import|del|with|class|def|global|from|raise from)"
    + _SPACE
    + rb"*+[)\]}\n,=:;]"
)
_NEXT = re.compile(
    rb"[)\]}\x02](?!(?:if|else|and|or|in|is|for|not|as|async|from|import)" + _NO_WORD + rb")[\w\x80-\xff]|[)\]]"
    + _SPACE
    + rb"*+\{"
)  # fmt: skip


def is_doubtful(python: PythonText) -> bool:
    """Tell whether it takes a parser to know that a file has no syntax errors."""
    text = python.text
    return bool(_OPERATORS.search(text) or _HANGING.search(text) or _NEXT.search(text) or _two_operands(text))


def _two_operands(text: bytes) -> bool:
    for match in _TWO_OPERANDS.finditer(text):
        place = match.start()
        word = _LAST_WORD.search(text, max(0, place - 9), place)
        if word is None or word[0] not in _BEFORE_OPERAND:
            if text[place - 1] == 0x02 and text[match.end() - 1] == 0x02:
                continue
            prefix = text[match.end() - 1 :][:4]
            if text[place - 1] == 0x02 and re.match(rb"[rRbBuUfFtT]{1,2}\x02", prefix):
                continue
            return True
    return False
