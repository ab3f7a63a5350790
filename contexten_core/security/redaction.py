"""Take secrets out of text that leaves us or is kept: those that we know, in whatever form, and what looks like one."""

import os
import re
from collections.abc import Iterable
from functools import lru_cache

import re2
from pydantic import BaseModel, SecretStr

from contexten_core.security.secret_forms import forms_of
from contexten_core.settings import Settings

REDACTED = "[redacted]"
_MOST_SECRETS = 1_000
_HELD = 4_096
_LINES_LOOKED_AT = 20
_LINE_END = 200
_GOES_ON = re.compile(r"(?:[A-Za-z0-9+/=_%\\-]{16}|(?:[0-9a-fA-F]{2}[ :]){6}|bearer|basic)[ :]?\r?\n\Z", re.IGNORECASE)
_MOST_HELD = 262_144
_SECRET_VARIABLE = re.compile(r"TOKEN|SECRET|PASSW|_KEY\b|_KEY_|CREDENTIAL|_DSN\b|_PWD\b", re.IGNORECASE)

# Each group 1 stays, what follows it in the match goes.
_PEM = (
    r"()-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[A-Za-z0-9+/=:,.\-\s]*?"
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\z)"
)
_TOKENS = (
    r"gh[a-z]_[A-Za-z0-9]{16,}",
    r"github_pat_[A-Za-z0-9_]{16,}",
    r"xox[a-z]-[A-Za-z0-9-]{8,}",
    r"xapp-[A-Za-z0-9-]{8,}",
    r"lin_(?:api|oauth|wh)_[A-Za-z0-9]{8,}",
    r"sk-[A-Za-z0-9_-]{16,}",
    r"(?:AKIA|ASIA)[A-Z0-9]{12,}",
    r"AIza[A-Za-z0-9_-]{30,}",
    r"glpat-[A-Za-z0-9_-]{16,}",
    r"npm_[A-Za-z0-9]{30,}",
    r"pypi-[A-Za-z0-9_-]{32,}",
    r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}",
    r"whsec_[A-Za-z0-9+/=]{16,}",
    r"ctx_[A-Za-z0-9_-]{43}",
    r"eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*",
)
_PATTERNS = (
    _PEM,
    r"(://)[^/\s@'\"<>:]*:[^/\s@'\"<>]+@",
    r"(?i)(\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}",
    rf"()\b(?:{'|'.join(_TOKENS)})",
    r"(hooks\.slack\.com/services/)[A-Za-z0-9/]{10,}",
)


class Redactor:
    """Knows some secrets, and what others look like.

    Args:
        secrets: in clear; those shorter than eight characters are left alone.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted({secret for secret in secrets if secret}, key=len, reverse=True)[:_MOST_SECRETS]
        forms = [form for secret in known for form in forms_of(secret)]
        self.has_lines = any("\n" in secret.strip() and not secret.startswith("-----BEGIN") for secret in known)
        options = re2.Options()
        options.log_errors = False
        options.max_mem = 256 * 1024**2
        self._known = re2.compile("|".join(forms), options) if forms else None
        self._likely = [re2.compile(pattern, options) for pattern in _PATTERNS]

    def redact(self, text: str) -> str:
        """Return the text with every secret replaced by `[redacted]`."""
        for start, end in reversed(self._spans(text)):
            text = f"{text[:start]}{REDACTED}{text[end:]}"
        return text

    def stream(self) -> "StreamRedactor":
        """Return a redactor for one text that comes in pieces."""
        return StreamRedactor(self)

    def _spans(self, text: str) -> list[tuple[int, int]]:
        """Return where secrets are, from the front, without overlaps."""
        if text.isspace() or not text:
            return []
        found = [match.span() for match in self._known.finditer(text)] if self._known else []
        for pattern in self._likely:
            found += [(match.end(1), match.end()) for match in pattern.finditer(text)]
        found.sort()
        spans: list[tuple[int, int]] = []
        for start, end in found:
            if spans and start < spans[-1][1]:
                spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
            elif end > start:
                spans.append((start, end))
        return spans


class StreamRedactor:
    """Redacts a text that comes in pieces: a secret may begin in one and end in another.

    Whole lines are certain at once, unless the last ends with something long and encoded that may go on in the next;
    what could still become a secret is held back, at most some thousand characters, until more has come.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = ""
        self._enough = 0

    def feed(self, text: str) -> str:
        """Take the next piece and return what is certain by now."""
        self._held += text
        if len(self._held) <= self._enough:
            return ""
        cut = max(self._whole_lines(), len(self._held) - _HELD)
        for start, end in self._redactor._spans(self._held):  # noqa: SLF001 - the other half of the same thing
            if start < cut < end or (start < cut and end == len(self._held)):
                cut = start if len(self._held) <= _MOST_HELD else end
                break
        certain, self._held = self._held[:cut], self._held[cut:]
        # What is held back is looked at again only when it has doubled, or a long key would take for ever.
        self._enough = 2 * len(self._held) if len(self._held) >= _HELD else 0
        return self._redactor.redact(certain)

    def _whole_lines(self) -> int:
        """Return where the last line ends after which nothing can go on, 0 for nowhere."""
        if self._redactor.has_lines:
            return 0
        cut = self._held.rfind("\n") + 1
        for _ in range(_LINES_LOOKED_AT):
            if cut == 0 or not _GOES_ON.search(self._held, max(cut - _LINE_END, 0), cut):
                return cut
            cut = self._held.rfind("\n", 0, cut - 1) + 1
        return 0

    def end(self) -> str:
        """Return the rest."""
        rest, self._held = self._held, ""
        return self._redactor.redact(rest)


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """Return every secret that this process was configured with, and those of its environment by their names."""
    found: list[str] = []

    def collect(value: object) -> None:
        if isinstance(value, SecretStr):
            found.extend(part.strip() for part in [value.get_secret_value(), *value.get_secret_value().split(",")])
        elif isinstance(value, dict):
            for item in value.values():
                collect(item)
        elif isinstance(value, tuple | list):
            for item in value:
                collect(item)
        elif isinstance(value, BaseModel):
            for name in type(value).model_fields:
                collect(getattr(value, name))

    collect(settings)
    found.extend(value for name, value in os.environ.items() if _holds_secret(name))
    return tuple(dict.fromkeys(secret for secret in found if secret))


@lru_cache(maxsize=1024)
def _holds_secret(name: str) -> bool:
    return _SECRET_VARIABLE.search(name) is not None


def redactor_of(settings: Settings) -> Redactor:
    """Return the redactor of these settings' secrets; the same one for the same secrets."""
    return _redactor(secrets_of(settings))


@lru_cache(maxsize=8)
def _redactor(secrets: tuple[str, ...]) -> Redactor:
    return Redactor(secrets)
