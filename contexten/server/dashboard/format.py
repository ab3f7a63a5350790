"""How values look on a page. Pure; what comes from outside is escaped by the templates, or here."""

import json
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from markupsafe import Markup, escape

from contexten_core.security.text import one_line, shorten

NOTHING = "–"
_SHORT_ID = 8
_SHORT_COMMIT = 10
_VALUE_LIMIT = 300
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_ROUNDS_TO_ONE, _ROUNDS_TO_TEN = 0.9995, 9.95
_JUST_NOW_SECONDS = 5
_OLD_DAYS = 30

_TONES = {
    "success": "good",
    "completed": "good",
    "sent": "good",
    "failure": "bad",
    "failed": "bad",
    "dead": "bad",
    "error": "warn",
    "retrying": "warn",
    "withheld": "warn",
    "running": "busy",
    "processing": "busy",
    "in_progress": "busy",
}


def tone(word: str) -> str:
    """Return which of the five looks a status or result has: good, bad, warn, busy or idle."""
    return _TONES.get(word, "idle")


def duration(seconds: float | None) -> str:
    """Write a duration given in seconds, as in "340 ms", "4.2 s", "3 min 07 s" or "2 d 5 h"."""
    if seconds is None:
        return NOTHING
    seconds = max(seconds, 0.0)
    if seconds < _ROUNDS_TO_TEN:
        return f"{seconds * 1000:.0f} ms" if seconds < _ROUNDS_TO_ONE else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02d} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02d} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def between(start: datetime | None, end: datetime | None) -> str:
    return duration((end - start).total_seconds()) if start and end else NOTHING


def ago(moment: datetime, now: datetime) -> str:
    """Write how long ago a moment was; one of more than a month ago by its date."""
    passed = now - moment
    seconds = int(passed.total_seconds())
    if seconds < _JUST_NOW_SECONDS:
        return "just now"
    if seconds < _MINUTE:
        return f"{seconds} s ago"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min ago"
    if seconds < _DAY:
        return f"{seconds // _HOUR} h ago"
    return f"{passed.days} d ago" if passed < timedelta(days=_OLD_DAYS) else f"{moment:%Y-%m-%d}"


def absolute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def short_id(identifier: UUID) -> str:
    return str(identifier)[:_SHORT_ID]


def short_commit(sha: str | None) -> str:
    return sha[:_SHORT_COMMIT] if sha else NOTHING


def megabytes(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f} MB"


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def web_link(url: Any) -> str | None:
    """Return an address that is safe to link to: http or https, with a host, as one line; None for anything else."""
    if not isinstance(url, str) or one_line(url, len(url) + 1) != url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in {"http", "https"} and parts.hostname else None


def plain(value: Any, limit: int = _VALUE_LIMIT) -> str:
    """Write any JSON value on one line: text as it is, everything else as JSON."""
    return one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), limit)


def literal(value: Any) -> str:
    """Write a JSON value so that text and numbers can be told apart."""
    return shorten(json.dumps(value, ensure_ascii=False), _VALUE_LIMIT)


def pretty_json(value: Any, limit: int) -> tuple[str, bool]:
    """Return indented JSON of at most `limit` characters, and whether there is more; stops working at the limit."""
    written: list[str] = []
    length = 0
    for piece in json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(value):
        written.append(piece)
        length += len(piece)
        if length > limit:
            return "".join(written)[:limit], True
    return "".join(written), False


def with_code(text: str) -> Markup:
    """Escape a sentence, setting what stands between backticks as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part) for index, part in enumerate(parts)
    )
