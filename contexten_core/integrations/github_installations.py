"""The tokens of the GitHub App's installations: one for each repository, good for an hour.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/authenticating-as-a-github-app-installation
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from contexten_core.db import utc_now
from contexten_core.errors import ConfigurationError, OutboundError
from contexten_core.integrations.github_app import app_token
from contexten_core.settings import Settings

Ask = Callable[[str, str, Any, str], Awaitable[Any]]
"""Calls GitHub's API: a method, a path, the JSON and the token to send."""

_MOST = 1_000
_MARGIN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    expires_at: datetime


def has_app(settings: Settings) -> bool:
    """Tell whether we are a GitHub App."""
    return settings.github_app_id is not None and settings.github_app_private_key is not None


class InstallationTokens:
    """Asks for tokens, and keeps each until a minute before it expires. A token reaches one repository only."""

    def __init__(self, settings: Settings, ask: Ask) -> None:
        self._settings = settings
        self._ask = ask
        self._tokens: dict[str, _Token] = {}

    async def token(self, repository: str) -> str | None:
        """Return a token for a repository (`owner/name`), None where the settings have a token or no App.

        Raises:
            OutboundError: the App is not installed there, its key is none, or GitHub refused or did not answer.
        """
        if self._settings.github_token is not None or not has_app(self._settings):
            return None
        kept = self._tokens.get(repository.lower())
        if kept is None or kept.expires_at - _MARGIN <= utc_now():
            self.forget(repository)
            kept = await self._new(repository)
            while len(self._tokens) >= _MOST:
                self._tokens.pop(next(iter(self._tokens)))
            self._tokens[repository.lower()] = kept
        return kept.value

    def forget(self, repository: str) -> None:
        """Have the next token of a repository be a new one."""
        self._tokens.pop(repository.lower(), None)

    async def _new(self, repository: str) -> _Token:
        try:
            ours = app_token(self._settings, now=utc_now())
        except ConfigurationError as error:
            raise OutboundError(error.message, hint=error.hint) from error
        assert ours is not None
        installation = await self._found(repository, ours)
        only = {"repositories": [repository.partition("/")[2]]}
        answer = await self._ask("POST", f"/app/installations/{installation}/access_tokens", only, ours)
        value = answer.get("token") if isinstance(answer, dict) else None
        expires_at = _time(answer.get("expires_at")) if isinstance(answer, dict) else None
        if not isinstance(value, str) or expires_at is None:
            raise OutboundError(f"GitHub gave no token for {repository}", hint="is GITHUB_API_URL a GitHub API?")
        return _Token(value, expires_at)

    async def _found(self, repository: str, ours: str) -> int:
        try:
            answer = await self._ask("GET", f"/repos/{repository}/installation", None, ours)
        except OutboundError as error:
            if getattr(error, "answered", None) != HTTPStatus.NOT_FOUND:
                raise
            raise OutboundError(
                f"the GitHub App {self._settings.github_app_id} is not installed on {repository}",
                hint="install it there, under the App's settings, 'Install App'; or set GITHUB_ACCESS_TOKEN",
            ) from error
        found = answer.get("id") if isinstance(answer, dict) else None
        if not isinstance(found, int):
            raise OutboundError(f"GitHub did not say which installation {repository} has")
        return found


def _time(given: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(given)
    except (ValueError, TypeError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
