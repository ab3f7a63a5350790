"""The forms in which a known secret can be told by somebody who has it: as it is, and encoded."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from html import escape
from urllib.parse import quote, quote_plus

SHORTEST = 8
"""Shorter ones would be found in ordinary text."""

_LONGEST = 8_192
_BREAK = r"(?:\r?\n)?"


def forms_of(secret: str) -> tuple[str, ...]:
    """Return regular expressions for the forms of one secret; none where it is too short to be told from other text.

    Of base64 those at all three offsets, since a secret inside of something longer is encoded in one of them, each
    without the characters that depend on its neighbours; both alphabets; lines may be broken in it.
    """
    if not SHORTEST <= len(secret) <= _LONGEST:
        return ()
    plain = dict.fromkeys(
        (
            secret,
            secret[::-1],
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            quote(secret, safe=""),
            quote(secret, safe="").replace("%", "%25"),
            quote_plus(secret),
            escape(secret),
            repr(secret)[1:-1],
        )
    )
    data = secret.encode("utf-8", "surrogatepass")
    return (*(_exactly(form) for form in plain), *_hexadecimal(data), *_base64(data))


def _exactly(text: str) -> str:
    """Match a text; the hexadecimal digits of percent signs in either case."""
    return re.sub(
        r"%([0-9A-F]{2})", lambda found: f"%(?i:{found[1]})", "".join(_escaped(character) for character in text)
    )


def _escaped(character: str) -> str:
    return character if character.isalnum() or character in "%_" else f"\\x{{{ord(character):x}}}"


def _hexadecimal(data: bytes) -> Iterator[str]:
    for separator in ("", " ", ":", r"\\x"):
        yield "(?i:" + separator.join(f"{byte:02x}{_BREAK}" for byte in data) + ")"


def _base64(data: bytes) -> Iterator[str]:
    for offset in range(3):
        encoded = b64encode(b"\0" * offset + data).decode()
        start = (offset * 8 + 5) // 6
        text = encoded[start : (offset + len(data)) * 8 // 6]
        if len(text) >= SHORTEST:
            yield _BREAK.join(_base64_character(character) for character in text)


def _base64_character(character: str) -> str:
    return {"+": "[+\\-]", "/": "[/_]"}.get(character, character)
