"""Speak to GitHub: post commit statuses, and find out whether one that we are unsure of arrived.

The token is sent only to the configured `GITHUB_API_URL`; a project that names another address is called without it.
"""

from collections.abc import Mapping
from typing import Any

import httpx
from githubkit import GitHub, TokenAuthStrategy, UnauthAuthStrategy
from githubkit.exception import (
    GitHubException,
    RateLimitExceeded,
    RequestError,
    RequestFailed,
    RequestTimeout,
)

from contexten_core.errors import OutboundError
from contexten_core.settings import PUBLIC_GITHUB_API, Settings

_USER_AGENT = "contexten"
_CONNECT_SECONDS = 10
_SERVER_ERROR = 500
_TOO_MANY_REQUESTS = 429
_CLIENT_LIMIT = 32
_LONGEST_WAIT_SECONDS = 3_600.0
_IDENTITY = ("state", "context", "description", "target_url")
_KEPT = ("id", "url", "created_at")


class GitHubReporter:
    """Posts commit statuses, to any number of API addresses."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients: dict[str, GitHub[Any]] = {}

    def unable(self, content: Mapping[str, Any]) -> str | None:
        """Return why a status cannot be posted at all, or None."""
        if content["api_url"] == PUBLIC_GITHUB_API and self._settings.github_token is None:
            return "no GitHub token is configured; set GITHUB_ACCESS_TOKEN"
        return None

    async def post(self, content: Mapping[str, Any], *, maybe_done: bool) -> dict[str, Any]:
        """Post a commit status and return what GitHub made of it.

        With `maybe_done`, an earlier try may have arrived: the status is looked up first and not posted twice. A
        status is the same when its state, context, description and link are.

        Raises:
            OutboundError: GitHub refused, or did not answer.
        """
        owner, _, name = str(content["repository"]).partition("/")
        if maybe_done and (found := await self._find(owner, name, content)) is not None:
            return found
        fields = {key: content[key] for key in _IDENTITY}
        answer = await self._call(
            content["api_url"], "POST", f"/repos/{owner}/{name}/statuses/{content['sha']}", json=fields
        )
        if not isinstance(answer, dict):
            raise OutboundError(f"{content['api_url']} did not answer as GitHub does to a new status", ambiguous=True)
        return {key: answer.get(key) for key in _KEPT}

    async def _find(self, owner: str, name: str, content: Mapping[str, Any]) -> dict[str, Any] | None:
        statuses = await self._call(
            content["api_url"], "GET", f"/repos/{owner}/{name}/commits/{content['sha']}/statuses?per_page=100"
        )
        wanted = tuple(content[key] for key in _IDENTITY)
        for status in statuses if isinstance(statuses, list) else []:
            if isinstance(status, dict) and tuple(status.get(key) for key in _IDENTITY) == wanted:
                return {key: status.get(key) for key in _KEPT}
        return None

    async def _call(self, api_url: str, method: str, path: str, json: Any = None) -> Any:
        try:
            response = await self._client(api_url).arequest(method, path, json=json)
            return response.json()
        except RateLimitExceeded as error:
            raise OutboundError(
                f"GitHub's rate limit is used up ({method} {path})",
                transient=True,
                retry_after=error.retry_after.total_seconds(),
            ) from error
        except RequestFailed as error:
            raise _refused(error, f"{method} {path}") from error
        except (RequestTimeout, RequestError) as error:
            raise OutboundError(
                f"{api_url} did not answer {method} {path}: {error}",
                hint="is the address right and reachable?",
                transient=True,
                ambiguous=True,
            ) from error
        except GitHubException as error:
            raise OutboundError(f"{method} {path} at {api_url} failed: {error}") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise OutboundError(f"{api_url!r} is no address: {error}", hint="check GITHUB_API_URL") from error
        except ValueError as error:
            raise OutboundError(
                f"{api_url} answered {method} {path} with something that is not JSON",
                hint="is that the address of a GitHub API?",
                ambiguous=True,
            ) from error

    def _client(self, api_url: str) -> GitHub[Any]:
        """Return the client of an address; it opens a connection for each call and closes it afterwards."""
        if api_url not in self._clients:
            if len(self._clients) >= _CLIENT_LIMIT:
                self._clients.pop(next(iter(self._clients)))
            token = self._settings.github_token if api_url == self._settings.github_api_url else None
            self._clients[api_url] = GitHub(
                TokenAuthStrategy(token.get_secret_value()) if token else UnauthAuthStrategy(),
                base_url=api_url,
                user_agent=_USER_AGENT,
                http_cache=False,
                auto_retry=False,
                timeout=httpx.Timeout(self._settings.api_timeout_seconds, connect=_CONNECT_SECONDS),
            )
        return self._clients[api_url]


def _refused(error: RequestFailed, what: str) -> OutboundError:
    status = error.response.status_code
    after = error.response.headers.get("retry-after", "")
    hints = {
        401: "the token is not valid; check GITHUB_ACCESS_TOKEN",
        403: "the token may not write commit statuses; give it `statuses: write`",
        404: "the repository or commit is unknown there, or the token may not see it",
        422: "GitHub does not know the commit, or the status is malformed",
    }
    return OutboundError(
        f"GitHub answered {status} to {what}",
        hint=hints.get(status),
        transient=status >= _SERVER_ERROR or status == _TOO_MANY_REQUESTS,
        retry_after=min(float(after), _LONGEST_WAIT_SECONDS) if after.isdecimal() else None,
        ambiguous=status >= _SERVER_ERROR,
    )
