"""What may be kept and shown of an error and its context: bounded, JSON-ready, and without secrets."""

import math
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date
from enum import Enum
from typing import Any

from contexten_core.security.text import clean_text, shorten

REDACTED = "[redacted]"
_DEEPEST = 6
_MOST_ITEMS = 50
_MOST_VALUES = 500
_LONGEST_KEY = 200
_LONGEST_TEXT = 2_000
_LARGEST_INTEGER = 2**63 - 1
_READ_MARGIN = 1_000

_SECRET_NAME = re.compile(
    r"token|secret|passw|passphrase|passcode|pwd|credential|authori[sz]ation|cookie|key|signature|bearer|jwt|dsn"
    r"|(?:^|[^a-z])auth(?:$|[^a-z])",
    re.IGNORECASE,
)
_SECRETS_IN_TEXT: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"://[^/\s@'\"]{1,500}@"), f"://{REDACTED}@"),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1 {REDACTED}"),
    (
        re.compile(
            r"((?:token|secret|passw(?:or)?d|passphrase|pwd|credentials?|authorization|cookie|api[_-]?key|access[_-]?key"
            r"|private[_-]?key|secret[_-]?key|signature)[\"']?\s{0,3}[=:]\s{0,3})"
            r"(?!\s|\[redacted\])(?:(?:bearer|basic)\s{1,3})?(?:\"[^\"]{1,500}\"|'[^']{1,500}'|[^\s\"',;&)}\]]{1,500})",
            re.IGNORECASE,
        ),
        rf"\1{REDACTED}",
    ),
    (
        re.compile(
            r"\b(?:gh[a-z]_\w{16,}|github_pat_\w{16,}|xox[a-z]-[\w-]{8,}|xapp-[\w-]{8,}|lin_(?:api|oauth|wh)_\w{8,}"
            r"|sk-[\w-]{16,}|AKIA[A-Z0-9]{12,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*)"
        ),
        REDACTED,
    ),
)


def safe_text(value: str, limit: int) -> str:
    """Return text without secrets that can be told by their form, in at most `limit` characters."""
    # A secret that the limit cuts in two would not be recognised.
    text = value[: limit + _READ_MARGIN]
    for pattern, instead in _SECRETS_IN_TEXT:
        text = pattern.sub(instead, text)
    return shorten(clean_text(text), limit)


def safe_str(value: object, limit: int = _LONGEST_TEXT) -> str:
    """Return `str(value)` made safe, also when the object cannot be turned into text."""
    try:
        return safe_text(str(value), limit)
    except Exception:  # noqa: BLE001 - a stranger's __str__ may raise anything
        return f"<{type(value).__name__} that has no text>"


def safe_context(context: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a context as JSON-ready values, with whatever is called like a secret left out."""
    cleaned: dict[str, Any] = _Cleaner().mapping(context, _DEEPEST)
    return cleaned


class _Cleaner:
    """Makes one context safe; counts, so that a wide and deep one stays bounded as well."""

    def __init__(self) -> None:
        self._left = _MOST_VALUES

    def mapping(self, values: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        kept = {}
        for number, key in enumerate(list(values)[: _MOST_ITEMS + 1]):
            if number == _MOST_ITEMS or self._left <= 0:
                kept["…"] = f"{len(values) - number} more"
                break
            name = safe_str(key, _LONGEST_KEY)
            kept[name] = REDACTED if _SECRET_NAME.search(name) else self._value(values[key], depth - 1)
        return kept

    def _items(self, values: list[Any], depth: int) -> list[Any]:
        kept = [self._value(value, depth - 1) for value in values[:_MOST_ITEMS]]
        return kept if len(values) <= _MOST_ITEMS else [*kept, f"… {len(values) - _MOST_ITEMS} more"]

    def _value(self, value: Any, depth: int) -> Any:
        try:
            return self._plain(value, depth)
        except Exception:  # noqa: BLE001 - a stranger's object may raise on any question
            return f"<{type(value).__name__} that cannot be kept>"

    def _plain(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if isinstance(value, Enum):
            value = value.value
        if not isinstance(value, Mapping | list | tuple | AbstractSet):
            return _scalar(value)
        if depth <= 0 or self._left <= 0:
            return f"<{type(value).__name__} of {len(value)}>"
        return self.mapping(value, depth) if isinstance(value, Mapping) else self._items(list(value), depth)


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) <= _LARGEST_INTEGER else f"<integer of {value.bit_length()} bits>"
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, date):
        return value.isoformat()
    return safe_str(getattr(value, "__qualname__", value))
