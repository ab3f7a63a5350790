"""One call to a service that speaks JSON: bounded, and failing in our words. What an answer means is the caller's."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx

from contexten_core.errors import OutboundError
from contexten_core.faults import outside

LONGEST_WAIT_SECONDS = 3_600.0

_CONNECT_SECONDS = 10.0
_LARGEST_ANSWER_BYTES = 16 * 1024 * 1024
_LARGEST_PORT = 65_535
_SERVER_ERROR = 500
# Less than the claim of an effect in the outbox lasts, so that nobody else begins with it meanwhile.
_EFFECT_SECONDS = 50.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered; `data` is None when that is no JSON object."""

    status: int
    headers: httpx.Headers
    data: Mapping[str, Any] | None

    @property
    def is_server_error(self) -> bool:
        return self.status >= _SERVER_ERROR

    @property
    def retry_after(self) -> float | None:
        """The seconds that the service wants to be left alone, at most an hour; None when it does not say."""
        seconds = self.number("retry-after")
        return None if seconds is None else min(max(seconds, 1.0), LONGEST_WAIT_SECONDS)

    def number(self, header: str) -> float | None:
        """Return a header that is a whole number; None when it is none."""
        given = self.headers.get(header, "")
        return float(given) if given.isascii() and given.isdecimal() and len(given) <= len("9999999999999") else None


async def call_json(
    service: str,
    method: str,
    url: str,
    *,
    authorization: str,
    seconds: float,
    params: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    most_bytes: int = _LARGEST_ANSWER_BYTES,
) -> Answer:
    """Send a request, whatever its answer; redirects are not followed.

    Args:
        service: its name, for what errors say.
        authorization: the header's value.
        seconds: how long it may take altogether.
        headers: those of this service alone.
        most_bytes: how much it may answer.

    Raises:
        OutboundError: there was no answer, or too much of it; `ambiguous` when the request may have arrived.
    """
    if not authorization.isascii() or not authorization.isprintable():
        raise OutboundError(
            f"the token for {service} holds characters that no token does", hint="was it copied together with others?"
        )
    content = None if body is None else json.dumps(body).encode()
    sent = {"Authorization": authorization, "Accept": "application/json", "User-Agent": "contexten", **(headers or {})}
    if content is not None:
        sent["Content-Type"] = "application/json; charset=utf-8"
    timeout = httpx.Timeout(seconds, connect=min(_CONNECT_SECONDS, seconds))
    try:
        async with (
            asyncio.timeout(seconds),
            outside("service"),
            httpx.AsyncClient(verify=_trusted(), timeout=timeout, follow_redirects=False) as http,
            http.stream(method, _address(url), headers=sent, params=params, content=content) as response,
        ):
            return Answer(response.status_code, response.headers, _object(await _read(service, response, most_bytes)))
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise OutboundError(f"the address of {service} is none: {error}", hint="check the settings") from error
    except (TimeoutError, httpx.HTTPError) as error:
        raise OutboundError(
            f"{service} did not answer ({type(error).__name__})",
            hint="is its address right and reachable?",
            transient=True,
            ambiguous=not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout),
        ) from error


def host_of(url: str) -> str:
    """Return whom an address calls. One that is none is returned as it is; calling it says so."""
    try:
        return httpx.URL(url).netloc.decode("ascii", "replace") or url
    except httpx.InvalidURL:
        return url


@asynccontextmanager
async def bounded(service: str) -> AsyncIterator[None]:
    """Bound the time of all calls that one effect takes to 50 s.

    Raises:
        OutboundError: it took longer; a part may have been carried out.
    """
    try:
        async with asyncio.timeout(_EFFECT_SECONDS):
            yield
    except TimeoutError as error:
        raise OutboundError(f"{service} took too long to answer", transient=True, ambiguous=True) from error


def text_of(content: Mapping[str, Any], name: str) -> str:
    """Return a part of an effect's content.

    Raises:
        OutboundError: it is missing, or no text.
    """
    value = content.get(name)
    if not isinstance(value, str) or not value:
        raise OutboundError(f"the effect has no {name}", hint="this is a fault of Contexten's; please report it")
    return value


async def _read(service: str, response: httpx.Response, most_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > most_bytes:
            raise OutboundError(f"{service} answered more than {most_bytes:,} bytes", ambiguous=True)
    return bytes(body)


def _object(body: bytes) -> Mapping[str, Any] | None:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _address(url: str) -> httpx.URL:
    address = httpx.URL(url)
    if (address.port or 0) > _LARGEST_PORT:
        # What would come of it is no error of httpx's.
        raise httpx.InvalidURL(f"there is no port {address.port}")
    return address


@cache
def _trusted() -> ssl.SSLContext:
    return httpx.create_ssl_context()
