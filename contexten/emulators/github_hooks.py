"""GitHub's hooks and what it delivered through them, kept for three days."""

import json
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

from contexten.emulators.clock import Clock
from contexten.emulators.deliveries import SUCCESSFUL, GitHubDelivery, Outcome
from contexten.emulators.sender import Attempt, Sender, Sent
from contexten.emulators.sending_faults import SendingFaults
from contexten_core.errors import ConfigurationError

KEPT = timedelta(days=3)
APP_HOOK_ID = 1
FIRST_HOOK_ID = 486_915_000
# Wider than 32 bits, as GitHub's are.
FIRST_DELIVERY_ID = 203_000_000_000
MAX_HOOKS = 10_000
MAX_HELD_BYTES = 256 * 1024 * 1024

_WITHOUT_ANSWER = {
    Outcome.TIMED_OUT: ("timed out", 504),
    Outcome.CUT: ("timed out", 504),
    Outcome.UNREACHABLE: ("failed to connect to host", 502),
    Outcome.DROPPED: ("failed to connect to host", 502),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubApp:
    """An App, and the accounts that installed it, each with the id of its installation."""

    id: int = 1234
    slug: str = "contexten"
    installations: Mapping[str, int] = field(default_factory=lambda: {"acme": 5_678_901})
    public_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubHook:
    """Where deliveries go. The App's hook belongs to no repository (None)."""

    id: int
    repository: str | None
    url: str
    secret: bytes | None = field(repr=False)
    events: tuple[str, ...]
    active: bool
    created_at: datetime

    def wants(self, event: str) -> bool:
        return self.active and ("*" in self.events or event in self.events)


@dataclass(frozen=True, slots=True, kw_only=True)
class HookDelivery:
    """One attempt at a delivery as GitHub remembers it.

    Attributes:
        guid: the same for each attempt, and for each hook that the event went to; `X-GitHub-Delivery`.
        body: the bytes that were sent.
        status: `OK`, or what went wrong.
    """

    id: int
    hook_id: int
    guid: str
    delivered_at: datetime
    redelivery: bool
    duration: float
    status: str
    status_code: int
    event: str
    action: str | None
    installation_id: int | None
    repository_id: int | None
    url: str
    body: bytes
    request_headers: Mapping[str, str]
    response_headers: Mapping[str, str] | None = None
    response: str | None = None


class GitHubHooks:
    """The hooks of an emulator; it sends through them, remembers, and sends again when asked to.

    Each delivery is attempted once, within 10 s. What is older than three days of the clock is forgotten, and so are
    the oldest above `capacity` deliveries or 256 MiB.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        app: GitHubApp | None = None,
        faults: SendingFaults | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        capacity: int = 10_000,
    ) -> None:
        self.clock = clock or Clock()
        self.app = app or GitHubApp()
        self.sender = Sender(clock=self.clock, faults=faults, transport=transport, capacity=capacity)
        self._capacity = capacity
        self._hooks: dict[int, GitHubHook] = {}
        self._deliveries: deque[HookDelivery] = deque()
        self._held_bytes = 0
        self._last_id = FIRST_DELIVERY_ID
        self._everywhere: tuple[str, bytes | None] | None = None

    @property
    def deliveries(self) -> list[HookDelivery]:
        """Every delivery that is still remembered, oldest first."""
        self._forget()
        return list(self._deliveries)

    def add_hook(
        self,
        repository: str | None,
        *,
        url: str,
        secret: bytes | str | None = None,
        events: Iterable[str] = ("*",),
        active: bool = True,
    ) -> GitHubHook:
        """Add a hook to a repository (owner/name), or set the App's when that is None.

        Raises:
            ConfigurationError: there are 10,000 hooks.
        """
        if len(self._hooks) >= MAX_HOOKS:
            raise ConfigurationError(f"There are {MAX_HOOKS} hooks already.", hint="Use fewer repositories.")
        hook = GitHubHook(
            id=APP_HOOK_ID if repository is None else FIRST_HOOK_ID + len(self._hooks),
            repository=repository,
            url=url,
            secret=secret.encode() if isinstance(secret, str) else secret,
            events=tuple(events),
            active=active,
            created_at=self.clock.now(),
        )
        self._hooks[hook.id] = hook
        return hook

    def hook_everywhere(self, *, url: str, secret: bytes | str | None = None) -> None:
        """Give each repository a hook of its own to that address, as soon as it is named.

        Events of no repository go there through the App's hook.
        """
        self._everywhere = (url, secret.encode() if isinstance(secret, str) else secret)
        self.add_hook(None, url=url, secret=secret)

    def hooks_of(self, repository: str) -> list[GitHubHook]:
        """Give the hooks of a repository, oldest first; names ignore case."""
        found = [hook for hook in self._hooks.values() if (hook.repository or "").lower() == repository.lower()]
        if not found and self._everywhere:
            url, secret = self._everywhere
            found = [self.add_hook(repository, url=url, secret=secret)]
        return found

    @property
    def app_hook(self) -> GitHubHook | None:
        return self._hooks.get(APP_HOOK_ID)

    def deliver(self, event: str, payload: Mapping[str, Any], *, guid: str | None = None) -> list[Sent]:
        """Send an event through each hook that wants it: those of the payload's repository, and the App's.

        Each hook's delivery has the same guid. Gives one record for each hook; they fill as the attempts are made.
        """
        repository = _at(payload, "repository", "full_name")
        hooks = self.hooks_of(repository) if isinstance(repository, str) else []
        if self.app_hook and not (hooks and self._everywhere):
            hooks = [*hooks, self.app_hook]
        guid = guid or str(uuid4())
        return [self._send(hook, event, payload, guid=guid) for hook in hooks if hook.wants(event)]

    def redeliver(self, delivery: HookDelivery) -> Sent:
        """Send a delivery again: the same guid and bytes, remembered as a delivery of its own."""
        hook = self._hooks[delivery.hook_id]
        payload = json.loads(delivery.body)
        return self._send(hook, delivery.event, payload, guid=delivery.guid, raw=delivery.body, redelivery=True)

    def remember(
        self,
        hook: GitHubHook,
        event: str,
        payload: Mapping[str, Any],
        *,
        delivered_at: datetime | None = None,
        guid: str | None = None,
        raw: bytes | None = None,
        redelivery: bool = False,
        status: str = "failed to connect to host",
        status_code: int = 502,
        duration: float = 0.0,
        response_headers: Mapping[str, str] | None = None,
        response: str | None = None,
    ) -> HookDelivery:
        """Remember a delivery without making it, by default one that did not reach its receiver.

        Deliveries are listed in the order in which they were remembered, so give them oldest first.
        """
        made = self._delivery(hook, event, payload, guid=guid or str(uuid4()), raw=raw)
        self._last_id += 1
        delivery = HookDelivery(
            id=self._last_id,
            hook_id=hook.id,
            guid=made.delivery_id,
            delivered_at=delivered_at or self.clock.now(),
            redelivery=redelivery,
            duration=round(duration, 2),
            status=status,
            status_code=status_code,
            event=event,
            action=action if isinstance(action := payload.get("action"), str) else None,
            installation_id=self._installation(payload) if hook.repository is None else None,
            repository_id=number if isinstance(number := _at(payload, "repository", "id"), int) else None,
            url=hook.url,
            body=made.body,
            request_headers=made.headers(hook.secret),
            response_headers=response_headers,
            response=response,
        )
        self._deliveries.append(delivery)
        self._held_bytes += len(delivery.body)
        self._forget()
        return delivery

    def deliveries_of(self, hook_id: int, *, status: str | None = None) -> list[HookDelivery]:
        """Give what went through a hook, newest first: everything, or only each `success` or `failure`."""
        self._forget()
        return [
            delivery
            for delivery in reversed(self._deliveries)
            if delivery.hook_id == hook_id
            and (status is None or (delivery.status_code in SUCCESSFUL) == (status == "success"))
        ]

    def _send(
        self,
        hook: GitHubHook,
        event: str,
        payload: Mapping[str, Any],
        *,
        guid: str,
        raw: bytes | None = None,
        redelivery: bool = False,
    ) -> Sent:
        def on_attempt(_sent: Sent, attempt: Attempt) -> None:
            status, status_code = _verdict(attempt)
            self.remember(
                hook,
                event,
                payload,
                delivered_at=attempt.at,
                guid=guid,
                raw=raw,
                redelivery=redelivery,
                status=status,
                status_code=status_code,
                duration=attempt.duration_seconds,
                response_headers=attempt.answer_headers,
                response=attempt.answer,
            )

        delivery = self._delivery(hook, event, payload, guid=guid, raw=raw)
        return self.sender.send(delivery, hook.url, secret=hook.secret, on_attempt=on_attempt)

    def _delivery(
        self, hook: GitHubHook, event: str, payload: Mapping[str, Any], *, guid: str, raw: bytes | None
    ) -> GitHubDelivery:
        app_id = self.app.id if hook.repository is None else None
        return GitHubDelivery(event=event, payload=payload, delivery_id=guid, raw=raw, hook_id=hook.id, app_id=app_id)

    def _installation(self, payload: Mapping[str, Any]) -> int | None:
        named = _at(payload, "installation", "id")
        owner = _at(payload, "repository", "owner", "login") or _at(payload, "organization", "login")
        return named if isinstance(named, int) else self.app.installations.get(str(owner))

    def _forget(self) -> None:
        oldest = self.clock.now() - KEPT
        while self._deliveries and (
            len(self._deliveries) > self._capacity
            or self._held_bytes > MAX_HELD_BYTES
            or self._deliveries[0].delivered_at < oldest
        ):
            self._held_bytes -= len(self._deliveries.popleft().body)


def _verdict(attempt: Attempt) -> tuple[str, int]:
    if attempt.status is None:
        return _WITHOUT_ANSWER[attempt.outcome]
    accepted = attempt.outcome is Outcome.DELIVERED
    return ("OK" if accepted else f"Invalid HTTP Response: {attempt.status}"), attempt.status


def _at(payload: Mapping[str, Any], *path: str) -> Any:
    value: Any = payload
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
