"""The sender: schedules, time limits, faults, and what it remembers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect

from contexten.emulators.clock import Clock
from contexten.emulators.deliveries import GitHubDelivery, Outcome
from contexten.emulators.linear_deliveries import LinearDelivery
from contexten.emulators.sender import Sender, SendingFaults
from contexten.emulators.serving import serve_app
from contexten.emulators.slack_deliveries import SlackDelivery
from contexten_core.errors import OverloadedError
from tests.component.emulators.conftest import Receiver

SECRET = "the-webhook-secret-of-the-tests"
URL = "http://receiver/events"
BEGINNING = datetime(2025, 1, 7, 9, 0, tzinfo=UTC)
# Seven hours in some 25 ms.
COMPRESSED = 1_000_000


@pytest.fixture
def clock() -> Clock:
    return Clock(time_scale=COMPRESSED, starts_at=BEGINNING)


@pytest.fixture
def sender(receiver: Receiver, clock: Clock) -> Sender:
    return Sender(secret=SECRET, clock=clock, transport=receiver.transport)


def push(number: int = 0) -> GitHubDelivery:
    return GitHubDelivery(event="push", payload={"number": number})


def numbers(receiver: Receiver) -> list[int]:
    return [httpx.Response(200, content=request.content).json()["number"] for request in receiver.requests]


async def test_linear_comes_again_after_a_minute_an_hour_and_six_hours_with_the_same_bytes(
    sender: Sender, receiver: Receiver
) -> None:
    receiver.answer = httpx.Response(500)
    async with sender:
        sent = sender.send(LinearDelivery(payload={"type": "Issue"}), URL)
        await sender.settled()

    pauses = [later.at - earlier.at for earlier, later in zip(sent.attempts, sent.attempts[1:], strict=False)]
    for pause, expected in zip(pauses, (60, 3600, 21_600), strict=True):
        assert pause >= timedelta(seconds=expected)
    assert not sent.delivered
    assert len({(request.content, request.headers["Linear-Signature"]) for request in receiver.requests}) == 1


async def test_a_retry_that_is_taken_is_the_last(sender: Sender, receiver: Receiver) -> None:
    receiver.failure = httpx.ConnectError("refused")

    async with sender:
        sent = sender.send(
            LinearDelivery(payload={"type": "Issue"}), URL, on_attempt=lambda *_: setattr(receiver, "failure", None)
        )
        await sender.settled()
    assert [attempt.outcome for attempt in sent.attempts] == [Outcome.UNREACHABLE, Outcome.DELIVERED]
    assert sent.delivered
    assert sent.ended.is_set()


async def test_slack_comes_again_at_once_and_says_so_unless_it_is_asked_not_to(
    sender: Sender, receiver: Receiver
) -> None:
    receiver.answer = httpx.Response(500)
    async with sender:
        sender.send(SlackDelivery.of_event({"type": "message"}), URL)
        await sender.settled()
        retries = [
            (request.headers.get("X-Slack-Retry-Num"), request.headers.get("X-Slack-Retry-Reason"))
            for request in receiver.requests
        ]
        assert retries == [(None, None), ("1", "http_error"), ("2", "http_error"), ("3", "http_error")]
        receiver.requests.clear()
        receiver.answer = httpx.Response(500, headers={"X-Slack-No-Retry": "1"})
        sender.send(SlackDelivery.of_event({"type": "message"}), URL)
        await sender.settled()
        sender.send(SlackDelivery.of_command("/deploy"), URL)
        await sender.settled()
    assert len(receiver.requests) == 2


async def test_signatures_carry_the_receivers_time_and_not_the_compressed_one(receiver: Receiver) -> None:
    receiver.answer = httpx.Response(500)
    clock = Clock(time_scale=COMPRESSED, starts_at=BEGINNING)
    async with Sender(secret=SECRET, clock=clock, transport=receiver.transport, wall=lambda: BEGINNING) as sender:
        sender.send(SlackDelivery.of_event({"type": "message"}), URL)
        await sender.settled()
    stamps = {int(request.headers["X-Slack-Request-Timestamp"]) for request in receiver.requests}
    assert stamps == {int(BEGINNING.timestamp())}


async def test_github_is_sent_once(sender: Sender, receiver: Receiver) -> None:
    receiver.answer = httpx.Response(500)
    async with sender:
        sent = sender.send(push(), URL)
        await sender.settled()
    assert [attempt.outcome for attempt in sent.attempts] == [Outcome.REFUSED]
    assert (sent.attempts[0].status, sent.attempts[0].answer) == (500, "")


async def test_a_receiver_that_takes_too_long_has_failed() -> None:
    async def receive(_request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(30)
        return httpx.Response(202)

    async with Sender(limit_seconds=0.02, transport=httpx.MockTransport(receive)) as sender:
        sent = sender.send(push(), URL)
        await sender.settled()
    assert [attempt.outcome for attempt in sent.attempts] == [Outcome.TIMED_OUT]
    assert sent.attempts[0].detail == "no answer within 0.02 s"


async def test_an_address_that_is_none_is_unreachable() -> None:
    async with Sender() as sender:
        sent = [sender.send(push(), url) for url in ("http://[", "ftp://x", "nowhere")]
        await sender.settled()
    assert {attempt.outcome for one in sent for attempt in one.attempts} == {Outcome.UNREACHABLE}


async def test_one_at_a_time_they_arrive_in_order(receiver: Receiver) -> None:
    async with Sender(transport=receiver.transport, concurrency=1) as sender:
        for number in range(20):
            sender.send(push(number), URL)
        await sender.settled()
    assert numbers(receiver) == list(range(20))


async def arrivals(receiver: Receiver, faults: SendingFaults, *, count: int = 20) -> list[int]:
    receiver.requests.clear()
    clock = Clock(time_scale=0)
    async with Sender(clock=clock, transport=receiver.transport, concurrency=1, faults=faults) as sender:
        for number in range(count):
            sender.send(push(number), URL)
        await sender.settled()
    return numbers(receiver)


async def test_reordered_deliveries_all_arrive_in_another_order_which_the_seed_decides(receiver: Receiver) -> None:
    faults = SendingFaults(reorder=0.5, seed=3)
    order = await arrivals(receiver, faults)
    assert sorted(order) == list(range(20)) != order
    assert await arrivals(receiver, faults) == order
    assert await arrivals(receiver, faults.model_copy(update={"seed": 4})) != order


async def test_even_if_all_are_held_back_all_arrive(receiver: Receiver) -> None:
    assert sorted(await arrivals(receiver, SendingFaults(reorder=1), count=3)) == [0, 1, 2]


async def test_what_is_held_back_for_nothing_goes_out_after_a_minute(receiver: Receiver, clock: Clock) -> None:
    async with Sender(clock=clock, transport=receiver.transport, faults=SendingFaults(reorder=1)) as sender:
        sent = sender.send(push(), URL)
        async with asyncio.timeout(10):
            await sent.ended.wait()
    assert sent.attempts[0].at >= BEGINNING + timedelta(minutes=1)


async def test_a_duplicate_is_alike_in_every_byte_and_counted(receiver: Receiver) -> None:
    async with Sender(secret=SECRET, transport=receiver.transport, faults=SendingFaults(duplicate=1)) as sender:
        sent = sender.send(push(), URL)
        await sender.settled()
    first, second = receiver.requests
    assert (first.content, first.headers) == (second.content, second.headers)
    assert (len(sent.attempts), sent.copies) == (1, 1)


async def test_a_dropped_delivery_never_arrives_and_is_a_failure(receiver: Receiver, clock: Clock) -> None:
    async with Sender(clock=clock, transport=receiver.transport, faults=SendingFaults(drop=1)) as sender:
        once = sender.send(push(), URL)
        again = sender.send(LinearDelivery(payload={"type": "Issue"}), URL)
        await sender.settled()
    assert [attempt.outcome for attempt in once.attempts] == [Outcome.DROPPED]
    assert [attempt.outcome for attempt in again.attempts] == [Outcome.DROPPED, Outcome.DELIVERED]
    assert len(receiver.requests) == 1


async def test_delay_and_throttle_are_of_the_emulators_clock(receiver: Receiver) -> None:
    clock = Clock(time_scale=0, starts_at=BEGINNING)
    faults = SendingFaults(delay=1, delay_seconds=600, per_second=0.01, seed=1)
    async with Sender(clock=clock, transport=receiver.transport, faults=faults) as sender:
        sent = [sender.send(push(number), URL) for number in range(3)]
        while not all(one.ended.is_set() for one in sent):
            clock.advance(1)
            await asyncio.sleep(0)
    times = sorted(one.attempts[0].at for one in sent)
    assert times[0] > BEGINNING
    # Waking up takes some turns of the loop, a second each.
    assert times[-1] - times[0] >= timedelta(seconds=150)


async def test_leaving_gives_up_what_is_under_way_and_only_the_newest_are_kept(receiver: Receiver) -> None:
    clock = Clock(time_scale=0)
    receiver.answer = httpx.Response(500)
    async with Sender(clock=clock, transport=receiver.transport, capacity=2) as sender:
        for _ in range(3):
            sender.send(LinearDelivery(payload={}), URL)
        await until(lambda: len(receiver.requests) == 3)
        assert len(sender.sent) == 2
    await sender.settled()
    assert len(receiver.requests) == 3


async def test_too_many_deliveries_at_once_are_refused(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contexten.emulators.sender.MAX_PENDING", 2)
    async with Sender(transport=receiver.transport) as sender:
        for _ in range(2):
            sender.send(push(), URL)
        with pytest.raises(OverloadedError, match="under way already"):
            sender.send(push(), URL)


@dataclass(slots=True)
class Door:
    """A receiver on a real socket: the bodies that came whole, and how many broke off."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    broken: int = 0


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door, app = Door(), FastAPI()

    @app.post("/")
    async def receive(request: Request) -> Response:
        try:
            door.bodies.append(await request.body())
        except ClientDisconnect:
            door.broken += 1
        return Response(status_code=202)

    async with serve_app(app, host="127.0.0.1", port=0) as door.url:
        yield door


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a receiver offers no event to wait for
            await asyncio.sleep(0.005)


async def test_a_connection_cut_before_leaves_half_a_request(door: Door) -> None:
    async with Sender(faults=SendingFaults(cut_before=1)) as sender:
        sent = sender.send(GitHubDelivery(event="push", payload={"text": "x" * 1000}), f"{door.url}/")
        await sender.settled()
        await until(lambda: door.broken == 1)
    assert [attempt.outcome for attempt in sent.attempts] == [Outcome.CUT]
    assert door.bodies == []


async def test_a_connection_cut_after_leaves_a_whole_request_and_a_sender_that_does_not_know(door: Door) -> None:
    async with Sender(faults=SendingFaults(cut_after=1)) as sender:
        sent = sender.send(push(), f"{door.url}/")
        await sender.settled()
        sender.use_faults(SendingFaults())
        again = sender.send(push(), f"{door.url}/")
        await sender.settled()
    assert [attempt.outcome for attempt in sent.attempts] == [Outcome.CUT]
    assert [attempt.outcome for attempt in again.attempts] == [Outcome.DELIVERED]
    assert door.bodies == [push().body] * 2


async def test_many_deliveries_arrive_over_a_network(door: Door) -> None:
    async with Sender(secret=SECRET) as sender:
        for number in range(50):
            sender.send(push(number), f"{door.url}/")
        await sender.settled()
        assert all(sent.delivered for sent in sender.sent)
    assert len(set(door.bodies)) == 50
