"""Which addresses a provider's deliveries may come from."""

import asyncio
import json
import logging
import os
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

import httpx

from contexten.server.addresses import Address, is_within
from contexten_core.errors import OutboundError, UnavailableError
from contexten_core.settings import Settings
from contexten_core.settings.ingress import META, Network, networks

logger = logging.getLogger(__name__)

FILE_NAME = "github-meta.json"

_REFRESH_SECONDS = 3_600.0
_RETRY_SECONDS = 30.0
_PATIENCE_SECONDS = 5.0
_TOTAL_SECONDS = 15.0
_CALL_SECONDS = 5.0
_MOST_BYTES = 4 * 1024 * 1024
_MOST_NETWORKS = 1_000
_LONGEST_ETAG = 200
# A network that is larger than these is a mistake of its author, or nobody's that we know.
_SHORTEST_PREFIX = {4: 8, 6: 16}


class AllowList:
    """The networks of a setting such as `GITHUB_IP_ALLOWLIST`; without any, everybody is allowed."""

    def __init__(self, given: Sequence[str], *, published: "PublishedNetworks") -> None:
        self._is_open = not given
        self._fixed = networks(part for part in given if part != META)
        self._published = published if META in given else None

    async def admits(self, address: Address | None) -> bool:
        """Tell whether an address may deliver.

        Raises:
            UnavailableError: nobody knows yet; it may be asked again in a while.
        """
        if self._is_open:
            return True
        if address is None:
            return False
        if is_within(address, self._fixed):
            return True
        return self._published is not None and await self._published.admit(address)


@dataclass(frozen=True, slots=True)
class _Cached:
    """What was published, as it is kept in a file. `fetched_at` is in seconds since the epoch."""

    url: str
    hooks: tuple[str, ...]
    etag: str | None
    fetched_at: float


class PublishedNetworks:
    """The networks that GitHub says its webhooks come from, as of the last hour in which it said so.

    They are asked for when a delivery needs them, and kept in a file of the home. What fails, or makes no sense, leaves
    the last ones in force. While there are none, nobody is admitted.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        self._url = f"{settings.github_api_url}/meta"
        self._file = settings.home / FILE_NAME
        self._token = settings.github_token
        self._clock = clock
        self._cached: _Cached | None = None
        self._networks: tuple[Network, ...] = ()
        self._tried_at: float | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._load()

    async def admit(self, address: Address) -> bool:
        """Tell whether an address is GitHub's. An unknown one may have to wait for news of them, for 5 s at most.

        Raises:
            UnavailableError: GitHub has not said yet what its networks are.
        """
        refreshing = self._refresh_when_due()
        if refreshing is not None and not is_within(address, self._networks):
            await asyncio.wait({refreshing}, timeout=_PATIENCE_SECONDS)
        if not self._networks:
            raise UnavailableError(
                "the networks that GitHub delivers from are not known yet, so nobody is let in",
                hint=f"see that {self._url} can be reached, or name the networks in GITHUB_IP_ALLOWLIST",
                transient=True,
            )
        return is_within(address, self._networks)

    def _refresh_when_due(self) -> asyncio.Task[None] | None:
        """Return the refresh that is under way, begun now if the last one is long ago."""
        loop, task = asyncio.get_running_loop(), self._refreshing
        if task is not None and not task.done() and task.get_loop() is loop:
            return task
        wait = _REFRESH_SECONDS if self._networks else _RETRY_SECONDS
        now = self._clock()
        if self._tried_at is not None and 0 <= now - self._tried_at < wait:
            return None
        self._tried_at = now
        self._refreshing = loop.create_task(self._refresh(), name="published networks")
        return self._refreshing

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(_TOTAL_SECONDS):
                fetched = await self._fetch()
        except (OutboundError, httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError, RecursionError) as error:
            logger.warning(
                "the networks that GitHub delivers from could not be had from %s (%s: %s); %s",
                self._url,
                type(error).__name__,
                error,
                "the last ones stay in force" if self._networks else "nobody is let in",
            )
            return
        self._use(fetched)
        try:
            await asyncio.to_thread(self._save, fetched)
        except OSError as error:
            logger.warning("%s could not be written: %s", self._file, error)

    async def _fetch(self) -> _Cached:
        """Ask GitHub.

        Raises:
            OutboundError: it answered with anything but the networks.
            ValueError: the networks are none that could be.
            httpx.HTTPError: it did not answer.
        """
        known = self._cached
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "contexten"}
        if known is not None and known.etag is not None:
            headers["If-None-Match"] = known.etag
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        async with (
            httpx.AsyncClient(timeout=_CALL_SECONDS) as client,
            client.stream("GET", self._url, headers=headers) as answer,
        ):
            if answer.status_code == HTTPStatus.NOT_MODIFIED and known is not None:
                return _Cached(self._url, known.hooks, known.etag, self._clock())
            if answer.status_code != HTTPStatus.OK:
                raise OutboundError(f"it answered {answer.status_code}")
            body = bytearray()
            async for piece in answer.aiter_raw():
                body += piece
                if len(body) > _MOST_BYTES:
                    raise OutboundError(f"its answer is larger than {_MOST_BYTES} bytes")
        return _Cached(self._url, _hooks(json.loads(body)), _etag(answer.headers.get("etag")), self._clock())

    def _use(self, cached: _Cached) -> None:
        self._networks = networks(cached.hooks)
        self._cached = cached

    def _load(self) -> None:
        try:
            found = json.loads(self._file.read_bytes())
            if found["url"] != self._url:
                return
            cached = _Cached(self._url, _hooks(found), _etag(found["etag"]), float(found["fetched_at"]))
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            logger.warning("%s is of no use: %s: %s", self._file, type(error).__name__, error)
            return
        self._use(cached)
        self._tried_at = cached.fetched_at

    def _save(self, cached: _Cached) -> None:
        self._file.parent.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        scratch = self._file.with_name(f".{FILE_NAME}.{secrets.token_hex(8)}")
        try:
            scratch.write_text(json.dumps(asdict(cached)) + "\n", encoding="utf-8")
            scratch.replace(self._file)
        finally:
            scratch.unlink(missing_ok=True)


def _hooks(answer: Any) -> tuple[str, ...]:
    """Return the networks in an answer of GitHub's. Raises ValueError when it has none, or one that is no GitHub's."""
    given = answer.get("hooks") if isinstance(answer, dict) else None
    if not isinstance(given, list) or not 0 < len(given) <= _MOST_NETWORKS:
        raise ValueError("there is no list of hooks in it")
    if not all(isinstance(part, str) for part in given):
        raise ValueError("its hooks are no networks")
    for network in networks(given):
        if network.prefixlen < _SHORTEST_PREFIX[network.version]:
            raise ValueError(f"{network} is too large for one sender")
    return tuple(given)


def _etag(given: object) -> str | None:
    """Return an entity tag that can be sent back."""
    if not isinstance(given, str) or not 0 < len(given) <= _LONGEST_ETAG:
        return None
    return given if given.isascii() and given.isprintable() else None
