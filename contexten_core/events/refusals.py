"""Requests that were refused, counted in memory: an attack costs one write a second, however many requests it has."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from contexten_core.db import utc_now
from contexten_core.errors.redact import safe_text
from contexten_core.security.text import one_line

OTHER: Final = "other"
"""The address under which refusals are counted that come from too many addresses to tell apart."""

_MOST_AT_ONCE: Final = 300
_MOST_AN_HOUR: Final = 2_000
_REASON_LENGTH: Final = 500
_NAME_LENGTH: Final = 100
_HEADER_LENGTH: Final = 200
_KEPT_HEADERS: Final = (
    "content-type",
    "content-length",
    "user-agent",
    "x-github-delivery",
    "x-github-event",
    "x-github-hook-id",
    "linear-delivery",
    "linear-event",
    "x-slack-request-timestamp",
    "x-slack-retry-num",
    "x-slack-retry-reason",
)

_Name = tuple[str, str, str]


@dataclass(slots=True)
class Refusal:
    """Refusals of one provider, for one reason, of one address, within one hour; what it says is of the last one."""

    provider: str
    code: str
    address: str
    hour: datetime
    reason: str
    headers: dict[str, str]
    last_seen_at: datetime
    count: int = 1

    @property
    def key(self) -> tuple[datetime, str, str, str]:
        return self.hour, self.provider, self.code, self.address


@dataclass(slots=True)
class RefusalBuffer:
    """Counts refusals until somebody takes them; bounded, whatever it is told of."""

    _counted: dict[tuple[datetime, str, str, str], Refusal] = field(default_factory=dict)
    _hour: datetime | None = None
    _named: set[_Name] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self._counted)

    def add(self, *, provider: str, code: str, reason: str, address: str, headers: Mapping[str, str]) -> None:
        """Count one refusal. Of its headers some are kept, none that could hold a secret."""
        now = utc_now()
        hour = now.replace(minute=0, second=0, microsecond=0)
        provider, code, address = (one_line(text, _NAME_LENGTH) for text in (provider, code, address))
        name = self._name(hour, provider, code, address)
        said = {key.lower(): value for key, value in headers.items()}
        self._count(
            Refusal(
                *name,
                hour=hour,
                reason=one_line(safe_text(reason, _REASON_LENGTH), _REASON_LENGTH),
                headers={key: one_line(said[key], _HEADER_LENGTH) for key in _KEPT_HEADERS if key in said},
                last_seen_at=now,
            )
        )

    def take(self) -> list[Refusal]:
        """Return what was counted, and begin anew."""
        taken, self._counted = list(self._counted.values()), {}
        return taken

    def give_back(self, refusals: Iterable[Refusal]) -> None:
        """Count again what was taken and could not be stored."""
        for refusal in refusals:
            self._count(refusal)

    def _name(self, hour: datetime, provider: str, code: str, address: str) -> _Name:
        """Return under which name a refusal is counted: of too many addresses, not under its own."""
        if hour != self._hour:
            self._hour = hour
            self._named.clear()
        name = provider, code, address
        is_known = (hour, *name) in self._counted
        if not is_known and len(self._counted) >= _MOST_AT_ONCE:
            return provider, code, OTHER
        if name not in self._named:
            if len(self._named) >= _MOST_AN_HOUR:
                return provider, code, OTHER
            self._named.add(name)
        return name

    def _count(self, refusal: Refusal) -> None:
        before = self._counted.get(refusal.key)
        if before is not None:
            refusal.count += before.count
            if before.last_seen_at > refusal.last_seen_at:
                refusal.last_seen_at, refusal.reason, refusal.headers = (
                    before.last_seen_at,
                    before.reason,
                    before.headers,
                )
        self._counted[refusal.key] = refusal
