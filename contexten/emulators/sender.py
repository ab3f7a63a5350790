"""Send deliveries as their senders do: signed, within their time limit, again by their schedule, and recorded."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

import httpx

from contexten.emulators.clock import Clock
from contexten.emulators.deliveries import Delivery, GitHubDelivery, Outcome, Try
from contexten.emulators.github_payloads import NO_COMMIT, pull_request_payload, push_payload
from contexten.emulators.sending_faults import Cut, Fate, Fates, SendingFaults
from contexten.emulators.signing import sign_github
from contexten_core.errors import OutboundError, OverloadedError

__all__ = [
    "NO_COMMIT",
    "Attempt",
    "GitHubDelivery",
    "Outcome",
    "Sender",
    "SendingFaults",
    "Sent",
    "pull_request_payload",
    "push_payload",
    "send",
    "sign_github",
]

MAX_PENDING = 100_000
MAX_KEPT_ANSWER = 4096
HOLD_SECONDS = 60.0
NO_RETRY_HEADER = "x-slack-no-retry"

_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt at a delivery.

    Attributes:
        number: 0 is the first.
        at: when it began, by the emulator's clock.
        duration_seconds: how long it took, in our time.
        headers: what was sent.
        status: what was answered; None without an answer, as are the next two.
        detail: what went wrong, in a word or two.
    """

    number: int
    at: datetime
    outcome: Outcome
    duration_seconds: float
    headers: Mapping[str, str]
    status: int | None = None
    answer_headers: Mapping[str, str] | None = None
    answer: str | None = None
    detail: str = ""


@dataclass(slots=True, kw_only=True)
class Sent:
    """A delivery that was handed to the sender, and its attempts so far (copies that a fault made are counted)."""

    delivery: Delivery
    url: str
    attempts: list[Attempt] = field(default_factory=list)
    copies: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def delivered(self) -> bool:
        """Whether the receiver took it, and the sender knows."""
        return bool(self.attempts) and self.attempts[-1].outcome is Outcome.DELIVERED


class Sender:
    """Sends any number of deliveries in the background; an asynchronous context manager.

    It keeps the newest `capacity` of them in `sent`. Leaving the context gives up what is still under way.

    Args:
        secret: what they are signed with; None sends them unsigned.
        clock: by which the pauses between attempts are measured.
        faults: what goes wrong on the way.
        retry: whether to try again by the sender's schedule.
        concurrency: attempts under way at once; with 1 they are made in the order of `send`.
        limit_seconds: replaces each sender's own time limit.
        transport: replaces the network, as in `httpx.ASGITransport(app)`.
        wall: the receiver's time, which signatures and headers carry.
    """

    def __init__(
        self,
        *,
        secret: bytes | str | None = None,
        clock: Clock | None = None,
        faults: SendingFaults | None = None,
        retry: bool = True,
        concurrency: int = 50,
        limit_seconds: float | None = None,
        capacity: int = 10_000,
        transport: httpx.AsyncBaseTransport | None = None,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.secret = secret
        self.clock = clock or Clock()
        self.sent: deque[Sent] = deque(maxlen=capacity)
        self._limit_seconds = limit_seconds
        self._transport = transport
        self._wall = wall
        self._retry = retry
        self._concurrency = concurrency
        self._slots = asyncio.Semaphore(concurrency)
        self._client: httpx.AsyncClient | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._holds: list[_Hold] = []
        self._first_attempts = 0
        self._settling = 0
        self.use_faults(faults or SendingFaults())

    def use_faults(self, faults: SendingFaults) -> None:
        """Let other things go wrong from now on; their seed counts from here."""
        self.faults = faults
        self._fates = Fates(faults)
        self._next_slot = self.clock.now()

    def send(
        self,
        delivery: Delivery,
        url: str,
        *,
        secret: bytes | str | None = None,
        on_attempt: Callable[[Sent, Attempt], None] | None = None,
    ) -> Sent:
        """Begin to send a delivery, and give the record that fills as it goes.

        Args:
            secret: in place of the sender's own.
            on_attempt: called after each attempt, but not for the copies that a fault makes.

        Raises:
            OverloadedError: 100,000 deliveries are under way.
        """
        if len(self._tasks) >= MAX_PENDING:
            raise OverloadedError(f"{MAX_PENDING} deliveries are under way already.", hint="Wait for `settled()`.")
        sent = Sent(delivery=delivery, url=url)
        self.sent.append(sent)
        fate = self._fates.draw()
        hold = _Hold(left=fate.hold_for) if fate.hold_for else None
        if hold:
            self._holds.append(hold)
        else:
            self._first_attempts += 1
        key = self.secret if secret is None else secret
        course = self._course(sent, key, fate, hold, on_attempt)
        task = asyncio.create_task(course, name=f"delivery {delivery.delivery_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return sent

    async def settled(self) -> None:
        """Wait until every delivery was taken or given up, retries included; nothing is held back for later ones."""
        self._settling += 1
        try:
            self._release_last()
            while self._tasks:
                ended, _ = await asyncio.wait(self._tasks)
                for task in ended:
                    if not task.cancelled():
                        task.result()
        finally:
            self._settling -= 1

    async def aclose(self) -> None:
        """Give up what is under way, and close the connections."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _course(
        self,
        sent: Sent,
        key: bytes | str | None,
        fate: Fate,
        hold: "_Hold | None",
        on_attempt: Callable[[Sent, Attempt], None] | None,
    ) -> None:
        try:
            if hold:
                await self._wait_for(hold)
            await self.clock.sleep(fate.delay_seconds)
            await self._attempts(sent, key, fate, on_attempt)
        finally:
            sent.ended.set()

    async def _attempts(
        self,
        sent: Sent,
        key: bytes | str | None,
        fate: Fate,
        on_attempt: Callable[[Sent, Attempt], None] | None,
    ) -> None:
        pauses = (0.0, *(sent.delivery.schedule.retries if self._retry else ()))
        last = None
        for number, pause in enumerate(pauses):
            await self.clock.sleep(pause)
            attempt = Try(number=number, at=self._wall(), last=last)
            made = await self._attempt(sent, attempt, key, fate if number == 0 else Fate())
            sent.attempts.append(made)
            if number == 0:
                self._first_attempted()
            if on_attempt:
                on_attempt(sent, made)
            last = made.outcome
            if last is Outcome.DELIVERED or NO_RETRY_HEADER in (made.answer_headers or {}):
                break

    async def _attempt(self, sent: Sent, attempt: Try, key: bytes | str | None, fate: Fate) -> Attempt:
        made, *copies = await asyncio.gather(*(self._once(sent, attempt, key, fate) for _ in range(fate.copies)))
        sent.copies += len(copies)
        return made

    async def _once(self, sent: Sent, attempt: Try, key: bytes | str | None, fate: Fate) -> Attempt:
        async with self._slots:
            await self._pace()
            at, began = self.clock.now(), time.monotonic()
            headers = sent.delivery.headers_of(attempt, key)
            answer, outcome, detail = None, Outcome.DROPPED, "lost on the way"
            if not fate.drop:
                answer, outcome, detail = await self._exchange(sent, headers, fate.cut)
        return Attempt(
            number=attempt.number,
            at=at,
            outcome=outcome,
            duration_seconds=time.monotonic() - began,
            headers=headers,
            status=answer.status_code if answer else None,
            answer_headers=dict(answer.headers) if answer else None,
            answer=answer.content[:MAX_KEPT_ANSWER].decode("utf-8", "replace") if answer else None,
            detail=detail,
        )

    async def _exchange(
        self, sent: Sent, headers: Mapping[str, str], cut: Cut | None
    ) -> tuple[httpx.Response | None, Outcome, str]:
        delivery = sent.delivery
        limit = self._limit_seconds or delivery.schedule.limit_seconds
        try:
            async with asyncio.timeout(limit):
                answer = await self._post(sent.url, delivery.body, headers, cut)
        except TimeoutError:
            return None, Outcome.TIMED_OUT, f"no answer within {limit:g} s"
        except _CutError:
            return None, Outcome.CUT, f"cut {cut} the request was received"
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError, *_UNSENT) as error:
            return None, Outcome.UNREACHABLE, repr(error)
        except httpx.HTTPError as error:
            return None, Outcome.CUT, repr(error)
        accepted = delivery.accepts(answer.status_code, answer.content)
        return answer, Outcome.DELIVERED if accepted else Outcome.REFUSED, ""

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str], cut: Cut | None) -> httpx.Response:
        if self._client is None:
            limits = httpx.Limits(max_connections=self._concurrency, max_keepalive_connections=self._concurrency)
            # The time limit of a delivery is for all of it.
            self._client = httpx.AsyncClient(transport=self._transport, trust_env=False, timeout=None, limits=limits)  # noqa: S113
        if cut is Cut.BEFORE:
            announced = {**headers, "Content-Length": str(len(body))}
            return await self._client.post(url, content=_half(body), headers=announced)
        async with self._client.stream("POST", url, content=body, headers=dict(headers)) as answer:
            if cut is Cut.AFTER:
                raise _CutError
            await answer.aread()
            return answer

    async def _pace(self) -> None:
        if self.faults.per_second is None:
            return
        now = self.clock.now()
        slot = max(now, self._next_slot)
        self._next_slot = slot + timedelta(seconds=1 / self.faults.per_second)
        await self.clock.sleep((slot - now).total_seconds())

    async def _wait_for(self, hold: "_Hold") -> None:
        expiry = asyncio.create_task(self.clock.sleep(HOLD_SECONDS))
        released = asyncio.create_task(hold.over.wait())
        try:
            await asyncio.wait({expiry, released}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            expiry.cancel()
            released.cancel()
        if hold in self._holds:
            self._release(hold)

    def _first_attempted(self) -> None:
        self._first_attempts -= 1
        for hold in list(self._holds):
            hold.left -= 1
            if hold.left <= 0:
                self._release(hold)
        self._release_last()

    def _release_last(self) -> None:
        if self._settling and not self._first_attempts:
            for hold in list(self._holds):
                self._release(hold)

    def _release(self, hold: "_Hold") -> None:
        self._holds.remove(hold)
        self._first_attempts += 1
        hold.over.set()


async def send(
    client: httpx.AsyncClient,
    url: str,
    delivery: GitHubDelivery,
    secret: bytes | str | None,
    timeout: float = 10.0,  # noqa: ASYNC109 - GitHub's own limit on a delivery
) -> httpx.Response:
    """Send the delivery once, and give whatever was answered, within `timeout` seconds (GitHub waits 10).

    Raises:
        OutboundError: nothing was answered; `ambiguous` unless no connection came about.
    """
    try:
        async with asyncio.timeout(timeout):
            return await client.post(
                url, content=delivery.body, headers=delivery.headers(secret), timeout=timeout, follow_redirects=False
            )
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        unsendable = isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol)
        raise OutboundError(
            f"The {delivery.event} delivery {delivery.delivery_id} got no answer from {url}: {error!r}.",
            hint="Check the address." if unsendable else "Check that the receiver is running, then send it again.",
            transient=not unsendable,
            ambiguous=not (isinstance(error, _UNSENT) or unsendable),
        ) from error


@dataclass(slots=True, kw_only=True, eq=False)
class _Hold:
    """Keeps a delivery back until that many others have been sent."""

    left: int
    over: asyncio.Event = field(default_factory=asyncio.Event)


class _CutError(Exception):
    """A fault broke the connection."""


async def _half(body: bytes) -> AsyncIterator[bytes]:
    yield body[: len(body) // 2]
    raise _CutError
