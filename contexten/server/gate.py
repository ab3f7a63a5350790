"""Whom webhooks are taken from, how many, and who waits when there is too much to do."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from fastapi import Request
from limits import RateLimitItemPerMinute
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from contexten.server.addresses import Address, client_address, limited_as
from contexten.server.allowlist import AllowList, PublishedNetworks
from contexten_core.errors import AddressNotAllowedError, OverloadedError, RateLimitedError
from contexten_core.events.models import EventProvider
from contexten_core.settings import Settings
from contexten_core.settings.ingress import networks

RETRIED_BELOW = 0.7
"""Load from which on senders who try again are asked to."""

_MOST_ADDRESSES = 20_000
_FULL = 1.0


def no_load() -> float:
    return 0.0


class Gate:
    """Decides, before a body is read, whether a delivery may come in.

    Args:
        settings: as they are when the gate is built.
        load: how much of what can wait to be stored does so: 0 to 1.
        clock: seconds since the epoch.
    """

    def __init__(
        self, settings: Settings, *, load: Callable[[], float] = no_load, clock: Callable[[], float] = time.time
    ) -> None:
        published = PublishedNetworks(settings, clock=clock)
        given = {
            EventProvider.GITHUB: settings.github_ip_allowlist,
            EventProvider.LINEAR: settings.linear_ip_allowlist,
            EventProvider.SLACK: settings.slack_ip_allowlist,
            EventProvider.DEPLOYMENT: settings.deployment_ip_allowlist,
        }
        self._allowed = {provider: AllowList(parts, published=published) for provider, parts in given.items()}
        self._trusted = networks(settings.trusted_proxies)
        self._load = load
        self._clock = clock
        self._rate = RateLimitItemPerMinute(settings.webhook_rate_per_minute)
        self._counter = FixedWindowRateLimiter(_Windows(clock=clock))

    def name_of(self, request: Request) -> str:
        """Return the address that a request comes from: `local` on a Unix socket."""
        address = self._address(request)
        return "local" if address is None else str(address)

    def _address(self, request: Request) -> Address | None:
        peer = request.client.host if request.client is not None else None
        return client_address(peer, request.headers.getlist("x-forwarded-for"), trusted=self._trusted)

    async def admit(self, request: Request, provider: EventProvider) -> str:
        """Let a delivery in, and return the address that it comes from, as `name_of` does.

        Raises:
            AddressNotAllowedError: the provider's deliveries do not come from there.
            UnavailableError: nobody knows yet where they come from.
            RateLimitedError: that address has sent too much in this minute.
            OverloadedError: too much waits to be stored. GitHub, which does not try again, is let in for longer.
        """
        address = self._address(request)
        name = self.name_of(request)
        if not await self._allowed[provider].admits(address):
            raise AddressNotAllowedError(
                f"{provider} does not deliver from {name}",
                hint=f"{provider.upper()}_IP_ALLOWLIST says from where; TRUSTED_PROXIES, whose X-Forwarded-For counts",
            )
        counted_as = (provider.value, limited_as(address))
        if not self._counter.hit(self._rate, *counted_as):
            ends_at = self._counter.get_window_stats(self._rate, *counted_as).reset_time
            raise RateLimitedError(
                f"{name} has sent more than {self._rate.amount} deliveries in a minute",
                hint="WEBHOOK_RATE_PER_MINUTE is the limit",
                retry_after=max(1, math.ceil(ends_at - self._clock())),
            )
        if self._load() >= (_FULL if provider is EventProvider.GITHUB else RETRIED_BELOW):
            raise OverloadedError(
                "too many deliveries wait to be stored", hint="deliver it again in a moment", transient=True
            )
        return name


class _Windows(Storage):
    """Counts of a bounded number of keys, without the threads of the library's own storage in memory.

    With all of one length, the windows end in the order in which they began. When there are too many, the oldest is
    forgotten before it ends.
    """

    STORAGE_SCHEME = None

    def __init__(self, *, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        now = self._clock()
        ends_at, count = self._windows.get(key, (0.0, 0))
        if not now < ends_at <= now + expiry:
            self._windows.pop(key, None)
            self._forget(now)
            ends_at, count = now + expiry, 0
        self._windows[key] = (ends_at, count + amount)
        return count + amount

    def get(self, key: str) -> int:
        ends_at, count = self._windows.get(key, (0.0, 0))
        return count if ends_at > self._clock() else 0

    def get_expiry(self, key: str) -> float:
        return self._windows.get(key, (self._clock(), 0))[0]

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        count = len(self._windows)
        self._windows.clear()
        return count

    def clear(self, key: str) -> None:
        self._windows.pop(key, None)

    def _forget(self, now: float) -> None:
        """Make room for one more window."""
        while self._windows:
            ends_at, _ = next(iter(self._windows.values()))
            if ends_at > now and len(self._windows) < _MOST_ADDRESSES:
                return
            self._windows.popitem(last=False)
