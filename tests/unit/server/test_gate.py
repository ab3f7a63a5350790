from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from contexten.server import gate as gate_module
from contexten.server.gate import Gate
from contexten.server.problems import problem
from contexten_core.errors import AddressNotAllowedError, OverloadedError, RateLimitedError
from contexten_core.events.models import EventProvider
from contexten_core.settings import Settings

SENDERS = (EventProvider.GITHUB, EventProvider.LINEAR, EventProvider.SLACK, EventProvider.DEPLOYMENT)


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def make_gate(tmp_path: Path) -> Callable[..., Gate]:
    def make(load: float = 0.0, clock: Clock | None = None, **settings: Any) -> Gate:
        return Gate(Settings(home=tmp_path, **settings), load=lambda: load, clock=clock or Clock())

    return make


def a_request(peer: str | None = "192.0.2.1", **headers: str) -> Request:
    encoded = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    client = None if peer is None else (peer, 50_000)
    return Request({"type": "http", "headers": encoded, "client": client})


async def test_everybody_may_deliver_by_default(make_gate: Callable[..., Gate]) -> None:
    gate = make_gate()
    for provider in SENDERS:
        assert await gate.admit(a_request(), provider) == "192.0.2.1"
        assert await gate.admit(a_request(None), provider) == "local"


async def test_an_allow_list_is_its_provider_s_alone(make_gate: Callable[..., Gate]) -> None:
    gate = make_gate(linear_ip_allowlist="198.51.100.0/24,2001:db8::/32")
    for peer in ("192.0.2.1", "2001:db9::1", None):
        with pytest.raises(AddressNotAllowedError) as refused:
            await gate.admit(a_request(peer), EventProvider.LINEAR)
        assert problem(refused.value).status_code == 403
        assert "LINEAR_IP_ALLOWLIST" in (refused.value.hint or "")
        await gate.admit(a_request(peer), EventProvider.GITHUB)
    for peer in ("198.51.100.9", "2001:db8::9", "::ffff:198.51.100.9"):
        await gate.admit(a_request(peer), EventProvider.LINEAR)


async def test_only_a_trusted_proxy_speaks_for_an_allowed_address(make_gate: Callable[..., Gate]) -> None:
    request = a_request("10.0.0.1", x_forwarded_for="198.51.100.9")
    with pytest.raises(AddressNotAllowedError):
        await make_gate(slack_ip_allowlist="198.51.100.9").admit(request, EventProvider.SLACK)
    trusting = make_gate(slack_ip_allowlist="198.51.100.9", trusted_proxies="10.0.0.0/8")
    assert await trusting.admit(request, EventProvider.SLACK) == "198.51.100.9"
    with pytest.raises(AddressNotAllowedError):
        await trusting.admit(a_request("10.0.0.1", x_forwarded_for="198.51.100.9, x"), EventProvider.SLACK)


async def test_an_address_sends_so_much_a_minute_for_each_provider(make_gate: Callable[..., Gate]) -> None:
    clock = Clock()
    gate = make_gate(clock=clock, webhook_rate_per_minute=2)

    async def send(peer: str, provider: EventProvider = EventProvider.GITHUB) -> None:
        await gate.admit(a_request(peer), provider)

    for _ in range(2):
        await send("192.0.2.1")
        await send("2001:db8::1")
    clock.now += 20
    for peer in ("192.0.2.1", "2001:db8::2"):
        with pytest.raises(RateLimitedError) as refused:
            await send(peer)
        answer = problem(refused.value)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "40")
        await send(peer, EventProvider.SLACK)
    await send("192.0.2.2")
    clock.now += 40
    await send("192.0.2.1")


async def test_only_so_many_addresses_are_counted(
    make_gate: Callable[..., Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_module, "_MOST_ADDRESSES", 3)
    gate = make_gate(webhook_rate_per_minute=1)
    for last in range(1, 5):
        await gate.admit(a_request(f"192.0.2.{last}"), EventProvider.GITHUB)
    with pytest.raises(RateLimitedError):
        await gate.admit(a_request("192.0.2.2"), EventProvider.GITHUB)
    await gate.admit(a_request("192.0.2.1"), EventProvider.GITHUB)


async def test_a_clock_that_is_set_back_keeps_nobody_out_for_longer(make_gate: Callable[..., Gate]) -> None:
    clock = Clock()
    gate = make_gate(clock=clock, webhook_rate_per_minute=1)
    await gate.admit(a_request(), EventProvider.GITHUB)
    clock.now -= 100_000
    await gate.admit(a_request(), EventProvider.GITHUB)


@pytest.mark.parametrize(
    ("load", "refused"),
    [(0.0, ()), (0.69, ()), (0.7, SENDERS[1:]), (0.99, SENDERS[1:]), (1.0, SENDERS)],
)
async def test_who_tries_again_makes_room_for_github(
    make_gate: Callable[..., Gate], load: float, refused: tuple[EventProvider, ...]
) -> None:
    gate = make_gate(load=load)
    for provider in SENDERS:
        if provider not in refused:
            await gate.admit(a_request(), provider)
            continue
        with pytest.raises(OverloadedError) as told:
            await gate.admit(a_request(), provider)
        answer = problem(told.value)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
