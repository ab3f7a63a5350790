"""Send signed deliveries as fast as told: `python -m bench.load PORT (--burst N | --rate PER_SECOND --seconds S)`.

A process of its own that needs little: what it measures shall be the receiver's work. The bodies are made and signed
beforehand, each one different; every delivery has a connection of its own. It writes one JSON object to stdout: how
often each status was answered (`none`: not at all), seconds from connecting to the answer, and the ids of the events.
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from uuid import uuid4

HOST = "127.0.0.1"
SECRET_VARIABLE = "CONTEXTEN_LOAD_SECRET"  # noqa: S105 - the name of the variable
SENDERS = ("github", "linear", "slack", "deployment")
_PATIENCE_SECONDS = 60.0
_EVENT_ID = re.compile(rb'"event_id": ?"([^"]+)"')


def github(secret: bytes, number: int) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a push of seven commits, some 6 kB."""
    files = [f"src/package_{part}/module_{part}.py" for part in range(10)]
    commits = [
        {"id": uuid4().hex, "message": f"Change number {part} of {number}", "added": [], "modified": files}
        for part in range(7)
    ]
    repository = {"id": 1, "full_name": "octo/thermometer", "default_branch": "main", "private": False}
    body = _json(
        ref="refs/heads/main",
        before="0" * 40,
        after=uuid4().hex,
        commits=commits,
        repository=repository,
        sender={"login": "mona", "type": "User"},
        filler="x" * 2_500,
    )
    signature = f"sha256={_hex(secret, body)}"
    return body, {"X-GitHub-Event": "push", "X-GitHub-Delivery": str(uuid4()), "X-Hub-Signature-256": signature}


def linear(secret: bytes, number: int) -> tuple[bytes, dict[str, str]]:
    data = {"id": str(uuid4()), "title": f"Number {number}", "description": "x" * 1_000, "labels": []}
    body = _json(action="create", type="Issue", data=data, webhookTimestamp=int(time.time() * 1000))
    return body, {"Linear-Event": "Issue", "Linear-Delivery": str(uuid4()), "Linear-Signature": _hex(secret, body)}


def slack(secret: bytes, number: int) -> tuple[bytes, dict[str, str]]:
    event = {"type": "app_mention", "user": "U1", "channel": "C1", "text": f"is main broken? {number}", "ts": "1.2"}
    body = _json(type="event_callback", team_id="T1", event_id=f"Ev{uuid4().hex[:16]}", event=event)
    stamp = str(int(time.time()))
    signature = f"v0={_hex(secret, b'v0:' + stamp.encode() + b':' + body)}"
    return body, {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signature}


def deployment(secret: bytes, number: int) -> tuple[bytes, dict[str, str]]:
    """Return what a source with the scheme `hmac`, and its default header, sends."""
    body = _json(type="deployment", id=str(uuid4()), number=number, environment="production", status="success")
    return body, {"X-Signature-256": _hex(secret, body)}


_MAKERS: dict[str, Callable[[bytes, int], tuple[bytes, dict[str, str]]]] = {
    "github": github,
    "linear": linear,
    "slack": slack,
    "deployment": deployment,
}


def request(sender: str, secret: bytes, number: int) -> bytes:
    """Return a whole request."""
    body, headers = _MAKERS[sender](secret, number)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = (
        f"POST /{sender if sender != 'deployment' else 'deployments'}/events HTTP/1.1\r\nHost: {HOST}\r\n{lines}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


class _Exchange(asyncio.Protocol):
    def __init__(self, data: bytes, ended: asyncio.Future[bytes]) -> None:
        self._data = data
        self._ended = ended
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._data)

    def data_received(self, data: bytes) -> None:
        self._answer += data

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's shape
        if not self._ended.done():
            self._ended.set_result(self._answer)


async def exchange(port: int, data: bytes, *, since: float) -> tuple[str, float, str | None]:
    """Return the status, the seconds from `since` to the end of the answer, and the event's id."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[bytes] = loop.create_future()
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await loop.create_connection(lambda: _Exchange(data, ended), HOST, port)
            answer = await ended
    except (OSError, TimeoutError):
        answer = b""
    seconds = loop.time() - since
    status = answer[9:12].decode() if answer.startswith(b"HTTP/1.1 ") else "none"
    found = _EVENT_ID.search(answer)
    return status, seconds, found[1].decode() if found else None


async def run(port: int, requests: list[bytes], *, rate: float | None) -> dict[str, object]:
    """Send all at once, or so many a second; a delay of ours counts as one of the receiver's."""
    loop = asyncio.get_running_loop()
    began = loop.time() + 0.05
    sending = []
    for number, data in enumerate(requests):
        at = began + (number / rate if rate else 0)
        if at > loop.time():
            await asyncio.sleep(at - loop.time())
        sending.append(asyncio.create_task(exchange(port, data, since=at)))
    answers = await asyncio.gather(*sending)
    return {
        "statuses": Counter(status for status, _, _ in answers),
        "seconds": [round(seconds, 4) for _, seconds, _ in answers],
        "event_ids": [found for _, _, found in answers if found],
        "all_after": round(loop.time() - began, 3),
    }


def _json(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def _hex(secret: bytes, signed: bytes) -> str:
    return hmac.new(secret, signed, hashlib.sha256).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--burst", type=int, default=0, help="how many at once")
    parser.add_argument("--rate", type=float, default=200, help="how many a second")
    parser.add_argument("--seconds", type=float, default=10, help="for how long")
    parser.add_argument("--senders", default=",".join(SENDERS), help="who sends, in turn (default: %(default)s)")
    options = parser.parse_args()
    senders, secret = options.senders.split(","), os.environ[SECRET_VARIABLE].encode()
    count = options.burst or int(options.rate * options.seconds)
    requests = [request(senders[number % len(senders)], secret, number) for number in range(count)]
    result = asyncio.run(run(options.port, requests, rate=None if options.burst else options.rate))
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
