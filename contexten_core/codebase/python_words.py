"""The words of a function of Python: what it calls, and where it branches."""

import re
from collections.abc import Sequence
from typing import NamedTuple

MOST_CALLS = 1_000

_WORD_BYTES = frozenset(b"_.(0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ\x03") | set(
    range(0x80, 0x100)
)
_TO_WORDS = bytes(byte if byte in _WORD_BYTES else ord(" ") for byte in range(256))
_OPENING = ord("(")
_SUPER, _SUPER_WORD = b"super().", b"super\x03."
_BRANCHES = ("if", "elif", "for", "while", "except", "and", "or")
_OTHERS = ("assert", "lambda")
_KEYS = frozenset(word.encode() + end for word in (*_BRANCHES, *_OTHERS) for end in (b"", b"("))
_BRANCH_KEYS = frozenset(word.encode() + end for word in _BRANCHES for end in (b"", b"("))
_COSTLY = frozenset(word.encode() + end for word in ("and", "or", "lambda") for end in (b"", b"("))
_IFS = (b"if", b"if(")
# What may stand in front of a bracket without being called.
_NOT_CALLED = frozenset(
    word + b"("
    for word in b" and as assert async await case class def del elif else except finally for from global if import in"
    b" is lambda match nonlocal not or raise return try while with yield".split(b" ")
)
_ASSERT = re.compile(rb"(?:(?<=[\n;:])|\A)[ \t\x01]*+assert(?![\w\x80-\xff])[^\n;]*")


class Words(NamedTuple):
    """What the words of a function tell.

    Attributes:
        calls: distinct names that it calls, in order.
        branches: how many words branch; what an `assert` asserts is not looked into, and it branches itself.
        ifs: how many of them are `if`.
        is_costly: whether there are words whose cognitive complexity depends on how they stand together.
    """

    calls: tuple[str, ...]
    branches: int
    ifs: int
    is_costly: bool


def words_of(text: bytes) -> Words:
    """Look at the masked text of a function."""
    if _SUPER in text:
        text = text.replace(_SUPER, _SUPER_WORD)
    words = _split(text)
    distinct = dict.fromkeys(words)
    calls = called(distinct)
    present = _KEYS.intersection(distinct)
    if not present:
        return Words(calls, 0, 0, False)
    ifs = _count(words, _IFS, present)
    asserts = 0
    if b"assert" in present or b"assert(" in present:
        if present.isdisjoint(_BRANCH_KEYS):
            asserts = words.count(b"assert") + words.count(b"assert(")
        else:
            text, asserts = _ASSERT.subn(b"", text)
            words = _split(text)
    branches = asserts + _count(words, _BRANCH_KEYS, present)
    return Words(calls, branches, ifs, not present.isdisjoint(_COSTLY))


def called(distinct: dict[bytes, None]) -> tuple[str, ...]:
    """Return the words that open a bracket, as names; "().save" after anything but names."""
    opened = [word for word in distinct if word[-1] == _OPENING and word not in _NOT_CALLED][:MOST_CALLS]
    if not opened:
        return ()
    names = b" ".join(opened).decode(errors="replace")[:-1].replace("\x03", "()").split("( ")
    return tuple([name if name[0] != "." else f"().{name.lstrip('.')}" for name in names])


def calls_in(pieces: Sequence[bytes]) -> tuple[str, ...]:
    """Return what is called in pieces of masked text."""
    text = b"\n".join(pieces).replace(_SUPER, _SUPER_WORD)
    return called(dict.fromkeys(_split(text)))


def _split(text: bytes) -> list[bytes]:
    return text.translate(_TO_WORDS).replace(b"(", b"( ").split()


def _count(words: Sequence[bytes], keys: Sequence[bytes] | frozenset[bytes], present: frozenset[bytes]) -> int:
    return sum(words.count(key) for key in keys if key in present)
