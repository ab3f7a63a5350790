"""`contexten events send`, `explain` and `replay` against a server that runs."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from contexten.cli.events import app
from contexten.emulators.serving import serve_app
from contexten.server.app import create_app
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.settings import DatabaseConfig, get_settings

pytestmark = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)

PUSH = {"ref": "refs/heads/main", "repository": {"full_name": "acme/shop"}, "sender": {"login": "jonas"}}


@dataclass(frozen=True, slots=True)
class Terminal:
    """Somebody at the command line of the server's machine."""

    url: str
    folder: Path

    def write(self, content: Any, name: str = "payload.json") -> str:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return str(path)

    async def run(self, *arguments: str, given: bytes | None = None, code: int = 0) -> tuple[str, str]:
        get_settings.cache_clear()
        answer = await asyncio.to_thread(CliRunner().invoke, app, list(arguments), input=given)
        assert answer.exit_code == code, (answer.stdout, answer.stderr, answer.exception)
        return answer.stdout, answer.stderr

    async def send(self, *options: str, provider: str = "github", **given: Any) -> tuple[str, str]:
        return await self.run("send", "--provider", provider, "--to", self.url, *options, **given)

    async def error(self, *options: str, **given: Any) -> dict[str, Any]:
        out, err = await self.send(*options, "--json", code=1, **given)
        assert out == ""
        problem: dict[str, Any] = json.loads(err)["error"]
        return problem


@pytest.fixture
async def terminal(
    database_config: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Terminal]:
    for name in [name for name in os.environ if name.startswith(("DB_", "CONTEXTEN_", "DATABASE_URL", "GITHUB_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "CONTEXTEN_HOME": str(tmp_path / "home"),
        "DB_USE_SQLITE": "true",
        "DB_SQLITE_PATH": str(database_config.sqlite_path),
        "GITHUB_WEBHOOK_SECRET": "a webhook secret of the tests",
        "LINEAR_WEBHOOK_SECRET": "another webhook secret of the tests",
    }.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    orchestrator = SystemOrchestrator(get_settings().model_copy(deep=True))
    await orchestrator.initialize()
    try:
        async with serve_app(create_app(orchestrator, lifespan=None), host="127.0.0.1", port=0) as url:
            yield Terminal(url, tmp_path)
    finally:
        await orchestrator.shutdown()
        get_settings.cache_clear()


async def test_a_payload_is_sent_explained_and_sent_again_in_vain(terminal: Terminal) -> None:
    file = terminal.write(PUSH)
    out, _ = await terminal.send("--event", "push", "--file", file, "--delivery-id", "of-ours")
    assert out.startswith("Accepted as event ")
    event_id = out.split()[3].rstrip(";")
    assert f"`contexten events explain {event_id[:8]}`" in out

    explained, _ = await terminal.run("explain", event_id[:8])
    assert "✓ received" in explained
    assert "from GitHub, delivery of-ours; its signature was verified" in explained
    assert "… parsed     a worker takes it next, once one is free" in explained
    assert "· execution  not reached" in explained
    told = json.loads((await terminal.run("explain", event_id, "--json"))[0])
    assert [gate["verdict"] for gate in told["gates"][:3]] == ["passed", "passed", "waiting"]

    again, _ = await terminal.send("--event", "push", "--file", file)
    assert again.startswith(f"Duplicate of event {event_id}: ")
    assert f"`contexten events replay {event_id[:8]}`" in again


async def test_the_answer_can_be_read_by_programs(terminal: Terminal) -> None:
    out, err = await terminal.send(
        "--file", "-", "--json", provider="linear", given=b'{"type": "Issue", "webhookTimestamp": 1}'
    )
    told = json.loads(out)
    assert (told["status_code"], told["answer"]["status"]) == (202, "accepted")
    assert told["url"] == f"{terminal.url}/linear/events"
    assert told["delivery_id"]
    assert err == ""


async def test_what_was_changed_is_said(terminal: Terminal) -> None:
    _, err = await terminal.send("--file", "-", provider="linear", given=b'{"type": "Issue", "webhookTimestamp": 1}')
    assert "Note:" in err
    assert "webhookTimestamp was set to now" in err


async def test_bytes_that_cannot_be_read_are_taken_and_parked(terminal: Terminal) -> None:
    out, _ = await terminal.send("--event", "push", "--file", terminal.write(b"{oh"), "--raw")
    assert out.startswith("Accepted as event ")
    assert ", but " in out


async def test_headers_can_be_replaced_and_a_refusal_is_explained(terminal: Terminal) -> None:
    forged = "X-Hub-Signature-256=sha256=" + "0" * 64
    problem = await terminal.error("--event", "push", "--file", terminal.write(PUSH), "--header", forged)
    assert problem["message"].startswith(f"{terminal.url}/github/events answered 401: ")
    assert "GITHUB_WEBHOOK_SECRET" in problem["hint"]


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (("--file", "gone.json", "--event", "push"), "gone.json cannot be read: No such file", ""),
        (("--file", ".", "--event", "push"), ". cannot be read: Is a directory", ""),
        (("--file", "list.json", "--event", "push"), "the payload cannot be sent", "--raw"),
        (("--file", "payload.json"), "GitHub says in a header", "--event push"),
        (("--file", "payload.json", "--event", "push", "--header", "nonsense"), "no header", "NAME=VALUE"),
        (("--file", "payload.json", "--event", "push", "--to", "localhost:8000"), "no address", "--to http"),
        (("--file", "payload.json", "--event", "push", "--to", "http://127.0.0.1:99999"), "did not answer", "serve"),
    ],
)
async def test_what_is_wrong_is_said_with_what_to_do(
    terminal: Terminal, options: tuple[str, ...], message: str, hint: str
) -> None:
    terminal.write(PUSH)
    terminal.write([1], "list.json")
    problem = await terminal.error(*options)
    assert message in problem["message"]
    assert hint in (problem["hint"] or "")


async def test_without_a_server_it_is_said_how_to_have_one(terminal: Terminal) -> None:
    file = terminal.write(PUSH)
    _, err = await terminal.run("send", "--provider", "github", "--event", "push", "--file", file, code=1)
    assert "no stack runs on" in err
    assert "contexten serve" in err


async def test_a_whole_address_is_used_as_it_is(terminal: Terminal) -> None:
    address = f"{terminal.url}/webhooks/github"
    out, _ = await terminal.send("--event", "push", "--file", terminal.write(PUSH), "--to", address, "--json")
    assert json.loads(out)["url"] == address
