"""`contexten emulate`: an emulator in the foreground, and deliveries with mishaps."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from typer.testing import CliRunner, Result

from contexten.cli.emulate import Provider, _announce, _make, app
from contexten.emulators.clock import Clock
from contexten.emulators.sending_faults import SendingFaults
from contexten.emulators.serving import serve_app
from contexten.emulators.signing import sign_github
from contexten_core.settings import get_settings

SECRET = "the-webhook-secret-of-the-tests"
PUSH = {"ref": "refs/heads/main", "repository": {"id": 7, "full_name": "acme/cashbox"}}


class Door:
    """A receiver on a real socket."""

    def __init__(self) -> None:
        self.url = ""
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.status = 200


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door, receiver = Door(), FastAPI()

    @receiver.post("/")
    @receiver.post("/events")
    async def receive(request: Request) -> Response:
        door.received.append((dict(request.headers), await request.body()))
        return Response(status_code=door.status)

    async with serve_app(receiver, host="127.0.0.1", port=0) as door.url:
        yield door


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONTEXTEN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OUR_SECRET", SECRET)


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    path = tmp_path / "payload.json"
    path.write_text(json.dumps(PUSH))
    return path


async def emulate(*arguments: str) -> Result:
    given = [*arguments, "--secret-from-env", "OUR_SECRET"]
    return await asyncio.to_thread(lambda: CliRunner().invoke(app, given))


def told(result: Result) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(result.stdout)["deliveries"]
    return found


async def test_a_payload_is_sent_signed_as_often_as_asked(door: Door, payload: Path) -> None:
    result = await emulate(
        "send", "github", "--event", "push", "--file", str(payload), "--to", door.url, "--times", "3", "--json"
    )
    assert result.exit_code == 0, result.output
    assert [line["outcomes"] for line in told(result)] == [["delivered"]] * 3
    assert {headers["x-github-delivery"] for headers, _ in door.received} == {
        line["delivery_id"] for line in told(result)
    }
    for headers, body in door.received:
        assert headers["x-hub-signature-256"] == sign_github(SECRET, body)


async def test_mishaps_are_had_again_with_the_same_seed(door: Door, payload: Path) -> None:
    arguments = [
        "send",
        "slack",
        "--file",
        str(payload),
        "--to",
        door.url,
        "--times",
        "8",
        "--drop",
        "0.5",
        "--seed",
        "2",
    ]
    first, second = [await emulate(*arguments, "--json") for _ in range(2)]
    outcomes = [line["outcomes"] for line in told(first)]
    assert {outcome for [outcome] in outcomes} == {"delivered", "dropped"}
    assert [line["outcomes"] for line in told(second)] == outcomes
    assert first.exit_code == 1


async def test_linear_tries_again_by_its_schedule_in_compressed_time(door: Door, payload: Path) -> None:
    door.status = 202
    arguments = ["send", "linear", "--file", str(payload), "--to", door.url, "--retry", "--time-scale", "1000000"]
    result = await emulate(*arguments)
    assert result.exit_code == 1
    assert "refused, refused, refused, refused" in result.stdout
    assert len({body for _, body in door.received}) == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["send", "github", "--file", "payload.json"], "--event push"),
        (["send", "linear", "--file", "nothing.json"], "nothing.json cannot be read"),
        (
            ["send", "linear", "--file", "payload.json", "--secret-from-env", "NOT_THERE"],
            "environment has no NOT_THERE",
        ),
        (["github", "--to", "http://x", "--secret-from-env", "NOT_THERE"], "environment has no NOT_THERE"),
        (["github", "--token-from-env", "NOT_THERE"], "environment has no NOT_THERE"),
    ],
)
def test_what_is_missing_is_named(arguments: list[str], complaint: str, payload: Path) -> None:
    ours = [] if "NOT_THERE" in arguments else ["--secret-from-env", "OUR_SECRET"]
    result = CliRunner().invoke(app, [*arguments, *ours])
    assert result.exit_code == 1
    assert complaint in result.stderr


def test_without_a_secret_nothing_is_sent(payload: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get_settings(), "slack_signing_secrets", ())
    result = CliRunner().invoke(app, ["send", "slack", "--file", str(payload)])
    assert result.exit_code == 1
    assert "SLACK_SIGNING_SECRET is not set" in result.stderr


async def until_received(door: Door) -> None:
    async with asyncio.timeout(60):
        while not door.received:  # noqa: ASYNC110 - a receiver offers no event to wait for
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("provider", Provider)
async def test_an_emulator_delivers_to_where_it_is_told(
    provider: Provider, door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    to = f"{door.url}/events"
    emulator, sender = _make(provider, clock=Clock(), faults=SendingFaults(), token=None, to=to, secret=SECRET.encode())
    event = {"payload": PUSH} | ({"event": "push"} if provider is Provider.GITHUB else {})
    async with (
        sender,
        serve_app(emulator, host="127.0.0.1", port=0) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        _announce(provider, url, to=to)
        answer = await client.post("/_emulator/deliveries", json=event)
        await until_received(door)

    lines = capsys.readouterr().out.splitlines()
    assert answer.status_code == 202
    assert len(lines) == 3
    assert f"It delivers to {to}: curl -X POST {url}/_emulator/deliveries" in lines[1]
    assert f"{provider.upper()}_API_URL={url}" in lines[2]
    assert any("signature" in name for name in door.received[0][0])


async def test_it_runs_in_the_foreground_until_it_is_interrupted() -> None:
    program = "from contexten.cli.emulate import app; app()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, "slack", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(100):
        lines = [(await process.stdout.readline()).decode() for _ in range(3)]
        url = lines[0].split()[3].rstrip(":")
        async with httpx.AsyncClient(trust_env=False) as client:
            refused = await client.post(f"{url}/_emulator/deliveries", json={"payload": PUSH})
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    assert refused.status_code == 409
    assert lines[1] == "It delivers nowhere; --to URL says where to.\n"
