"""Prove to GitHub that we are a GitHub App.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
"""

from datetime import datetime, timedelta
from pathlib import Path

import jwt

from contexten_core.errors import ConfigurationError
from contexten_core.settings import Settings

# GitHub refuses ten minutes and more, and a time that is ahead of its own clock.
_VALID_FOR = timedelta(minutes=9)
_CLOCKS_DIFFER = timedelta(seconds=60)
_LARGEST_KEY_FILE = 100_000


def app_token(settings: Settings, *, now: datetime) -> str | None:
    """Return a JSON Web Token of the configured App, valid for nine minutes; None when no App is configured.

    Raises:
        ConfigurationError: the private key is none, or its file cannot be read.
    """
    if settings.github_app_id is None or settings.github_app_private_key is None:
        return None
    claims = {"iss": settings.github_app_id, "iat": now - _CLOCKS_DIFFER, "exp": now + _VALID_FOR}
    try:
        return jwt.encode(claims, _private_key(settings.github_app_private_key.get_secret_value()), algorithm="RS256")
    except (jwt.PyJWTError, ValueError, TypeError, OSError) as error:
        # What the error says may hold a part of the key.
        raise ConfigurationError(
            f"GITHUB_APP_PRIVATE_KEY is no RSA private key, nor the path of a file with one ({type(error).__name__})",
            hint="GitHub makes one under the App's settings, 'Private keys'; give its text or the file's path",
        ) from None


def _private_key(given: str) -> str:
    if "-----BEGIN" in given:
        # In an environment file a key often stands on one line.
        return given.replace("\\n", "\n")
    with Path(given).expanduser().open(encoding="ascii") as file:
        return file.read(_LARGEST_KEY_FILE)
