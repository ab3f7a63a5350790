import asyncio
import hashlib
import hmac

import httpx
import pytest

from contexten.emulators.sender import GitHubDelivery, send, sign_github
from contexten_core.errors import OutboundError

SECRET = "It's a Secret to Everybody"


def delivery(**payload: object) -> GitHubDelivery:
    return GitHubDelivery(event="push", payload=payload, delivery_id="0b989ba4-242f-11e5-81e1-c7b6966d2516")


def test_githubs_documented_example_is_signed_alike() -> None:
    assert sign_github("It's a Secret to Everybody", b"Hello, World!") == (
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    )


def test_the_headers_are_githubs() -> None:
    sent = delivery(repository={"id": 1296269}, text="grüße")
    headers = sent.headers(SECRET)
    assert sent.body == '{"repository":{"id":1296269},"text":"grüße"}'.encode()
    assert headers == {
        "User-Agent": headers["User-Agent"],
        "Accept": "*/*",
        "Content-Type": "application/json",
        "X-GitHub-Delivery": "0b989ba4-242f-11e5-81e1-c7b6966d2516",
        "X-GitHub-Event": "push",
        "X-GitHub-Hook-ID": headers["X-GitHub-Hook-ID"],
        "X-GitHub-Hook-Installation-Target-ID": "1296269",
        "X-GitHub-Hook-Installation-Target-Type": "repository",
        "X-Hub-Signature": "sha1=" + hmac.new(SECRET.encode(), sent.body, hashlib.sha1).hexdigest(),
        "X-Hub-Signature-256": "sha256=" + hmac.new(SECRET.encode(), sent.body, hashlib.sha256).hexdigest(),
    }
    assert headers["User-Agent"].startswith("GitHub-Hookshot/")


def test_a_hook_without_a_secret_signs_nothing() -> None:
    assert not [name for name in delivery().headers(None) if "Signature" in name]


def test_each_delivery_has_its_own_id() -> None:
    assert GitHubDelivery(event="ping", payload={}).delivery_id != GitHubDelivery(event="ping", payload={}).delivery_id


async def test_exactly_the_signed_bytes_are_sent_and_any_answer_is_given_back() -> None:
    seen: list[httpx.Request] = []

    def receive(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(503)

    async with httpx.AsyncClient(transport=httpx.MockTransport(receive)) as client:
        answer = await send(client, "http://receiver/github/events", delivery(ref="refs/heads/main"), SECRET)
    assert answer.status_code == 503
    assert seen[0].headers["X-Hub-Signature-256"] == sign_github(SECRET, seen[0].content)
    assert seen[0].headers["User-Agent"].startswith("GitHub-Hookshot/")


@pytest.mark.parametrize(
    ("failure", "transient", "ambiguous"),
    [
        (httpx.ConnectError("refused"), True, False),
        (httpx.ReadTimeout("no answer"), True, True),
        (httpx.RemoteProtocolError("cut"), True, True),
        (httpx.UnsupportedProtocol("ftp"), False, False),
    ],
)
async def test_no_answer_tells_whether_it_may_have_arrived(
    failure: httpx.TransportError, *, transient: bool, ambiguous: bool
) -> None:
    def receive(_request: httpx.Request) -> httpx.Response:
        raise failure

    async with httpx.AsyncClient(transport=httpx.MockTransport(receive)) as client:
        with pytest.raises(OutboundError, match="0b989ba4") as caught:
            await send(client, "http://receiver/", delivery(), SECRET)
    assert (caught.value.transient, caught.value.ambiguous) == (transient, ambiguous)


async def test_a_receiver_that_takes_too_long_gets_no_more_time_than_github_gives() -> None:
    async def receive(_request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(30)
        return httpx.Response(202)

    async with httpx.AsyncClient(transport=httpx.MockTransport(receive)) as client:
        with pytest.raises(OutboundError, match="TimeoutError") as caught:
            await send(client, "http://receiver/", delivery(), SECRET, timeout=0.05)
    assert (caught.value.transient, caught.value.ambiguous) == (True, True)
