"""One way to call GitHub's API: bounded, and with every failure in our words.

The token is sent only to the configured `GITHUB_API_URL`; a project that names another address is called without it.
"""

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


class GitHubClient:
    """Calls GitHub, at any number of API addresses."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients: dict[str, GitHub[Any]] = {}

    def unable(self, api_url: str) -> str | None:
        """Return why nothing can be written there at all, or None."""
        if api_url == PUBLIC_GITHUB_API and self._settings.github_token is None:
            return "no GitHub token is configured; set GITHUB_ACCESS_TOKEN"
        return None

    async def call(self, api_url: str, method: str, path: str, json: Any = None) -> Any:
        """Call a method of the API and return what it answers, None where that is nothing.

        Raises:
            OutboundError: GitHub refused, or did not answer; `ambiguous` when the call may have been carried out.
        """
        try:
            response = await self._client(api_url).arequest(method, path, json=json)
            return response.json() if response.content else None
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
