"""The hidden mark in what we write at GitHub, by which it is found again: `<!-- contexten:KEY:SEAL -->`, at the start.

Only a mark at the very start counts, and text that comes from outside is never at the start of a text of ours. The
seal needs a secret, so that nobody can write the mark of something that we have yet to say.
"""

import hashlib
import hmac
import re

from contexten_core.security.text import shorten
from contexten_core.settings import DEFAULT_SECRET_KEY, Settings

BODY_LIMIT = 65_536

_PURPOSE = b"contexten marks at github, 1\0"
_SEAL_LENGTH = 20
_KEY_LIMIT = 200
_ODD = re.compile(r"[^A-Za-z0-9:._/#-]|-(?=-)")
_OURS = re.compile(r"<!--(?=\s*contexten:)", re.IGNORECASE)


def mark_of(settings: Settings, key: str) -> str:
    """Return the mark of what a key stands for; always the same for the same key and SECRET_KEY."""
    seal = hmac.new(_secret(settings), _PURPOSE + key.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
    return f"<!-- contexten:{_ODD.sub('_', key)[:_KEY_LIMIT]}:{seal[:_SEAL_LENGTH]} -->"


def marked(mark: str, body: str, *, limit: int = BODY_LIMIT) -> str:
    """Return a body under its mark, in at most `limit` characters."""
    return shorten(f"{mark}\n{unmarked(body)}", limit)


def unmarked(text: str) -> str:
    """Return a text in which what looks like a mark of ours is shown instead of hidden."""
    return _OURS.sub("&lt;!--", text)


def bears(mark: str, body: object) -> bool:
    """Tell whether a text was written with this mark."""
    return isinstance(body, str) and body.startswith(mark)


def _secret(settings: Settings) -> bytes:
    """Return what outsiders do not know. In production that is SECRET_KEY, which has to be set there."""
    secret = settings.secret_key
    if secret.get_secret_value() == DEFAULT_SECRET_KEY:
        secret = settings.github_token or settings.github_app_private_key or secret
    return secret.get_secret_value().encode()
