"""What GitHub says it delivered: hooks, their deliveries, and asking for one of them again.

https://docs.github.com/en/rest/repos/webhooks and https://docs.github.com/en/rest/apps/webhooks
"""

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from contexten_core.db import utc_now
from contexten_core.errors import OutboundError
from contexten_core.security.text import one_line

PER_PAGE = 100
RESERVE = 0.2
"""The part of the hourly budget that is left to others, such as the reports of runs."""

_CONNECT_SECONDS = 10.0
_LONGEST_WAIT_SECONDS = 3_600.0
_WAIT_SECONDS = 60.0
_MOST_HOOK_PAGES = 3
_HEADERS = {
    "Accept": "application/vnd.github+json",
    "User-Agent": "contexten",
    "X-GitHub-Api-Version": "2022-11-28",
}
_SUCCESSES = range(200, 300)


class LimitReachedError(OutboundError):
    """GitHub wants to be left alone, or what is left of the budget is for others; `retry_after` says how long."""


class DeniedError(OutboundError):
    """The token may not do this, or does not see what it is about."""


class AttemptStatus(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook at GitHub.

    Attributes:
        key: names it among all hooks of all addresses.
        path: where its deliveries are, below the address of the API.
        url: where it delivers to; None when that was not asked for.
    """

    key: str
    path: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a delivery. A redelivery has the same guid and another id."""

    id: int
    guid: str
    event_type: str
    delivered_at: datetime
    status: AttemptStatus


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Attempts, newest first; `next_cursor` is None on the last page."""

    attempts: tuple[Attempt, ...]
    next_cursor: str | None


class GitHubDeliveries:
    """One address of GitHub's API, asked with one authentication.

    Every call raises LimitReachedError (also without asking, once the budget is down to `RESERVE`), DeniedError, or
    another OutboundError.

    Attributes:
        requests: how many were made.
    """

    def __init__(
        self, http: httpx.AsyncClient, *, api_url: str, authorise: Callable[[], str | None], timeout_seconds: float
    ) -> None:
        self.api_url = api_url
        self.requests = 0
        self._http = http
        self._authorise = authorise
        self._seconds = timeout_seconds
        self._closed_until: datetime | None = None

    async def hooks(self, repository: str) -> list[Hook]:
        """Return a repository's active webhooks."""
        owner, _, name = repository.partition("/")
        path = f"/repos/{quote(owner, safe='')}/{quote(name, safe='')}/hooks"
        found: list[Hook] = []
        for page in range(1, _MOST_HOOK_PAGES + 1):
            rows = _objects(await self._call("GET", path, {"per_page": str(PER_PAGE), "page": str(page)}))
            found += [hook for row in rows if (hook := self._hook(repository, path, row)) is not None]
            if len(rows) < PER_PAGE:
                break
        return found

    def app_hook(self, app_id: str) -> Hook:
        """Return the webhook of the App that we are."""
        return Hook(key=f"{self.api_url} app {app_id}", path="/app/hook")

    async def page(self, hook: Hook, *, cursor: str | None) -> DeliveryPage:
        """Return one page of a hook's deliveries, the newest without a cursor."""
        given = {"per_page": str(PER_PAGE)} | ({} if cursor is None else {"cursor": cursor})
        response = await self._call("GET", f"{hook.path}/deliveries", given)
        attempts = (_attempt(row) for row in _objects(response))
        return DeliveryPage(tuple(attempt for attempt in attempts if attempt is not None), _next_cursor(response))

    async def redeliver(self, hook: Hook, attempt_id: int) -> None:
        """Ask for a delivery to be sent again; GitHub does so soon, not before it answers."""
        await self._call("POST", f"{hook.path}/deliveries/{attempt_id}/attempts", {})

    def _hook(self, repository: str, path: str, row: Mapping[str, Any]) -> Hook | None:
        hook_id, config = row.get("id"), row.get("config")
        url = config.get("url") if isinstance(config, Mapping) else None
        if not isinstance(hook_id, int) or not isinstance(url, str) or row.get("active") is False:
            return None
        return Hook(f"{self.api_url} {repository.lower()} hook {hook_id}", f"{path}/{hook_id}", url)

    async def _call(self, method: str, path: str, query: Mapping[str, str]) -> httpx.Response:
        what = f"{method} {path}"
        self._must_be_open(what)
        token = self._authorise()
        headers = _HEADERS if token is None else {**_HEADERS, "Authorization": f"Bearer {token}"}
        self.requests += 1
        try:
            async with asyncio.timeout(self._seconds):
                response = await self._http.request(
                    method,
                    f"{self.api_url}{path}",
                    params=query,
                    headers=headers,
                    timeout=httpx.Timeout(self._seconds, connect=min(self._seconds, _CONNECT_SECONDS)),
                    follow_redirects=True,
                )
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            unsendable = isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol)
            raise OutboundError(
                f"{self.api_url} did not answer {what}: {type(error).__name__} {error}".rstrip(),
                hint="is the address right and reachable?",
                transient=not unsendable,
                ambiguous=not unsendable,
            ) from error
        self._mind_the_budget(response)
        if response.status_code in _SUCCESSES:
            return response
        refused = _refused(response, method, path)
        if isinstance(refused, LimitReachedError) and refused.retry_after is not None:
            self._closed_until = utc_now() + timedelta(seconds=refused.retry_after)
        raise refused

    def _must_be_open(self, what: str) -> None:
        if self._closed_until is not None and (left := (self._closed_until - utc_now()).total_seconds()) > 0:
            raise LimitReachedError(
                f"{what} has to wait: what is left of GitHub's rate limit is for others", retry_after=left
            )

    def _mind_the_budget(self, response: httpx.Response) -> None:
        remaining, limit = _number(response, "x-ratelimit-remaining"), _number(response, "x-ratelimit-limit")
        if remaining is not None and limit is not None and remaining < limit * RESERVE:
            self._closed_until = _reset_at(response)


def _refused(response: httpx.Response, method: str, path: str) -> OutboundError:
    status, said = response.status_code, _message(response)
    message = f"GitHub answered {status} to {method} {path}" + (f": {said}" if said else "")
    if status == HTTPStatus.TOO_MANY_REQUESTS or (status == HTTPStatus.FORBIDDEN and _is_limit(response, said)):
        return LimitReachedError(message, transient=True, retry_after=_wait_seconds(response))
    # To a delivery that it no longer has, GitHub answers 404 as well.
    is_denied = status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
    if is_denied or (status == HTTPStatus.NOT_FOUND and method == "GET"):
        return DeniedError(
            message, hint="the token has to read and write webhooks: `admin:repo_hook`, or `Webhooks: write`"
        )
    is_theirs = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return OutboundError(message, transient=is_theirs, ambiguous=is_theirs)


def _is_limit(response: httpx.Response, said: str) -> bool:
    return (
        "retry-after" in response.headers
        or _number(response, "x-ratelimit-remaining") == 0
        or "rate limit" in said.lower()
    )


def _wait_seconds(response: httpx.Response) -> float:
    asked = _number(response, "retry-after")
    if asked is None and _number(response, "x-ratelimit-remaining") == 0 and (reset := _reset_at(response)):
        asked = math.ceil((reset - utc_now()).total_seconds())
    return min(max(_WAIT_SECONDS if asked is None else float(asked), 1.0), _LONGEST_WAIT_SECONDS)


def _objects(response: httpx.Response) -> list[Mapping[str, Any]]:
    try:
        rows = response.json()
    except ValueError:
        rows = None
    if not isinstance(rows, list):
        raise OutboundError(
            f"{response.url.host} did not answer {response.url.path} as GitHub does",
            hint="is that the address of a GitHub API?",
        )
    return [row for row in rows if isinstance(row, Mapping)]


def _attempt(row: Mapping[str, Any]) -> Attempt | None:
    attempt_id, guid, event_type, code = row.get("id"), row.get("guid"), row.get("event"), row.get("status_code")
    delivered_at = _time(row.get("delivered_at"))
    if not isinstance(attempt_id, int) or not isinstance(guid, str) or delivered_at is None:
        return None
    if code in _SUCCESSES:
        status = AttemptStatus.SUCCEEDED
    else:
        status = AttemptStatus.PENDING if row.get("status") == "pending" else AttemptStatus.FAILED
    return Attempt(attempt_id, guid, event_type if isinstance(event_type, str) else "", delivered_at, status)


def _time(given: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(given)
    except (ValueError, TypeError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _next_cursor(response: httpx.Response) -> str | None:
    """Return the cursor of the next page. Only that is taken from the link: we ask the address that we were given."""
    try:
        cursor: str | None = httpx.URL(response.links["next"]["url"]).params.get("cursor")
    except (KeyError, httpx.InvalidURL):
        return None
    return cursor


def _number(response: httpx.Response, header: str) -> int | None:
    given = response.headers.get(header, "")
    return int(given) if given.isascii() and given.isdecimal() and len(given) <= len("9999999999") else None


def _reset_at(response: httpx.Response) -> datetime | None:
    seconds = _number(response, "x-ratelimit-reset")
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _message(response: httpx.Response) -> str:
    try:
        said = response.json()
    except ValueError:
        return ""
    message = said.get("message") if isinstance(said, dict) else None
    return one_line(message, 200) if isinstance(message, str) else ""
