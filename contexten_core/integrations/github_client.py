"""One way to call GitHub's API: bounded, and with every failure in our words.

The token is sent only to the configured `GITHUB_API_URL`; a project that names another address is called without it.
Where there is no token and a GitHub App is configured, the App's token for the one repository is sent there instead.
"""

import re
import ssl
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
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
from contexten_core.errors.breaker import BREAKERS, DependencyKind
from contexten_core.faults import outside
from contexten_core.integrations.github_installations import InstallationTokens, has_app
from contexten_core.integrations.json_call import host_of
from contexten_core.security.text import one_line
from contexten_core.settings import PUBLIC_GITHUB_API, Settings

_USER_AGENT = "contexten"
_CONNECT_SECONDS = 10
_CLIENT_LIMIT = 32
_LONGEST_WAIT_SECONDS = 3_600.0
_LIMIT_SECONDS = 60.0
_SAID_LIMIT = 300
_REPOSITORY = re.compile(r"/repos/([^/?]+/[^/?]+)")
_ACCOUNT = re.compile(r"/repos/([^/?]+)/")
_WAITS = ("retry-after", "x-ratelimit-reset")
_LONGEST_NUMBER = 10


class GitHubRefusedError(OutboundError):
    """GitHub said no.

    Attributes:
        answered: with which HTTP status.
        said: what it said, in one line.
    """

    def __init__(self, message: str, *, answered: int, said: str, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.answered = answered
        self.said = said


class GitHubClient:
    """Calls GitHub, at any number of API addresses."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients: dict[str, GitHub[Any]] = {}
        self._installations = InstallationTokens(settings, self._ask_as_app)

    def unable(self, api_url: str) -> str | None:
        """Return why nothing can be written there at all, or None."""
        if api_url == PUBLIC_GITHUB_API and self._settings.github_token is None and not has_app(self._settings):
            return "no GitHub token is configured; set GITHUB_ACCESS_TOKEN"
        return None

    async def call(self, api_url: str, method: str, path: str, json: Any = None) -> Any:
        """Call a method of the API and return what it answers, None where that is nothing.

        Raises:
            OutboundError: GitHub refused, or did not answer; `ambiguous` when the call may have been carried out.
        """
        return _content(await self._authorised(api_url, method, path, json), f"{api_url} answered {method} {path}")

    async def page(self, api_url: str, path: str) -> tuple[Any, int | None]:
        """Return one page of a list, and the number of the last page where this one is not the last.

        Raises:
            OutboundError: as `call` does.
        """
        response = await self._authorised(api_url, "GET", path, None)
        return _content(response, f"{api_url} answered GET {path}"), _last_page(response)

    async def _authorised(self, api_url: str, method: str, path: str, json: Any) -> httpx.Response:
        repository = _REPOSITORY.match(path)
        if repository is None or api_url != self._settings.github_api_url:
            return await self._send(api_url, method, path, json)
        token = await self._installations.token(repository[1])
        try:
            return await self._send(api_url, method, path, json, token=token)
        except GitHubRefusedError as error:
            if token is None or error.answered != HTTPStatus.UNAUTHORIZED:
                raise
        # It was taken back early, as it is when the App is installed anew.
        self._installations.forget(repository[1])
        return await self._send(api_url, method, path, json, token=await self._installations.token(repository[1]))

    async def _ask_as_app(self, method: str, path: str, json: Any, token: str) -> Any:
        api_url = self._settings.github_api_url
        response = await self._send(api_url, method, path, json, token=token)
        return _content(response, f"{api_url} answered {method} {path}")

    async def _send(
        self, api_url: str, method: str, path: str, json: Any, *, token: str | None = None
    ) -> httpx.Response:
        # An App has a budget of calls in each account, and only that one is used up.
        account = _ACCOUNT.match(path) if token is not None else None
        host = host_of(api_url) if account is None else f"{host_of(api_url)} {account[1].lower()}"
        with BREAKERS.calling(DependencyKind.GITHUB, host):
            return await self._request(api_url, method, path, json, token=token)

    async def _request(self, api_url: str, method: str, path: str, json: Any, *, token: str | None) -> httpx.Response:
        headers = None if token is None else {"Authorization": f"Bearer {token}"}
        try:
            async with outside("GitHub"):
                response = await self._client(api_url).arequest(method, path, json=json, headers=headers)
        except RateLimitExceeded as error:
            raise OutboundError(
                f"GitHub's rate limit is used up ({method} {path})",
                transient=True,
                retry_after=min(error.retry_after.total_seconds(), _LONGEST_WAIT_SECONDS),
            ) from error
        except RequestFailed as error:
            raise _refused(error, f"{method} {path}") from error
        except (RequestTimeout, RequestError) as error:
            raise OutboundError(
                f"{api_url} did not answer {method} {path}: {error}",
                hint="is the address right and reachable?",
                transient=True,
                ambiguous=not isinstance(error.exc, httpx.ConnectError | httpx.ConnectTimeout),
            ) from error
        except GitHubException as error:
            raise OutboundError(f"{method} {path} at {api_url} failed: {error}") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, ValueError) as error:
            raise OutboundError(f"{api_url!r} is no address: {error}", hint="check GITHUB_API_URL") from error
        return response.raw_response

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
                ssl_verify=_certificates(),
                async_event_hooks={"response": [_drop_unreadable_waits]},
            )
        return self._clients[api_url]


@cache
def _certificates() -> ssl.SSLContext:
    """Return whom to trust. Reading that takes longer than a call, and each call has a client of its own."""
    return httpx.create_ssl_context()


async def _drop_unreadable_waits(response: httpx.Response) -> None:
    """Take out waits that are no number of seconds, which githubkit would stumble over."""
    for name in _WAITS:
        given = response.headers.get(name, "0")
        if not (given.isascii() and given.isdecimal() and len(given) <= _LONGEST_NUMBER):
            del response.headers[name]


def _content(response: httpx.Response, what: str) -> Any:
    try:
        return response.json() if response.content else None
    except ValueError as error:
        raise OutboundError(
            f"{what} with something that is not JSON", hint="is that the address of a GitHub API?", ambiguous=True
        ) from error


def _last_page(response: httpx.Response) -> int | None:
    """Return the number in the link to the last page. Only that is taken from it: we ask the address we were given."""
    try:
        number: str = httpx.URL(response.links["last"]["url"]).params.get("page", "")
    except (KeyError, httpx.InvalidURL):
        return None
    return int(number) if number.isascii() and number.isdecimal() and len(number) <= _LONGEST_NUMBER else None


def _refused(error: RequestFailed, what: str) -> OutboundError:
    status, said = error.response.status_code, _said(error.response.raw_response)
    after = error.response.headers.get("retry-after", "")
    is_limit = status == HTTPStatus.TOO_MANY_REQUESTS or (
        status == HTTPStatus.FORBIDDEN and "rate limit" in said.lower()
    )
    if is_limit:
        # A secondary limit may come without a time; GitHub then asks for a minute.
        return OutboundError(
            f"GitHub's rate limit is used up ({what})", transient=True, retry_after=_seconds(after) or _LIMIT_SECONDS
        )
    hints: Mapping[int, str] = {
        401: "the token is not valid; check GITHUB_ACCESS_TOKEN",
        403: "the token may not do that there; it writes `statuses`, `checks`, `issues`, `pull_requests`, `contents`",
        404: "that is unknown there, or the token may not see it",
        422: "GitHub does not take it as it is",
    }
    return GitHubRefusedError(
        f"GitHub answered {status} to {what}" + (f": {said}" if said else ""),
        answered=status,
        said=said,
        hint=hints.get(status),
        transient=status >= HTTPStatus.INTERNAL_SERVER_ERROR,
        retry_after=_seconds(after),
        ambiguous=status >= HTTPStatus.INTERNAL_SERVER_ERROR,
    )


def _seconds(given: str) -> float | None:
    return min(float(given), _LONGEST_WAIT_SECONDS) if given.isascii() and given.isdecimal() else None


def _said(response: httpx.Response) -> str:
    """Return GitHub's message and its details; a detail is a text, or an object with one."""
    try:
        answer = response.json()
    except ValueError:
        return ""
    if not isinstance(answer, dict):
        return ""
    details = answer.get("errors")
    parts = [answer.get("message"), *(details if isinstance(details, list) else [])]
    texts = [part.get("message") or part.get("code") if isinstance(part, dict) else part for part in parts]
    return one_line("; ".join(text for text in texts if isinstance(text, str)), _SAID_LIMIT)
