"""`contexten runs show|cancel` and `contexten events list|show|discard`."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from contexten.cli import events, runs
from contexten.emulators.sender import GitHubDelivery
from contexten_core.db import utc_now
from contexten_core.events.cancel import end_or_hand_back
from contexten_core.events.park import park_suspects
from contexten_core.settings import DatabaseConfig, get_settings

if TYPE_CHECKING:
    from tests.component.conftest import Worker

pytestmark = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)


class Terminal:
    """Somebody named mara at the command line."""

    async def run(self, noun: ModuleType, *arguments: str, code: int = 0) -> tuple[str, str]:
        get_settings.cache_clear()
        answer = await asyncio.to_thread(CliRunner().invoke, noun.app, list(arguments))
        assert answer.exit_code == code, (answer.stdout, answer.stderr, answer.exception)
        return answer.stdout, answer.stderr

    async def json(self, noun: ModuleType, *arguments: str) -> Any:
        return json.loads((await self.run(noun, *arguments, "--json"))[0])


@pytest.fixture
async def terminal(database_config: DatabaseConfig, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Terminal]:
    for name in [name for name in os.environ if name.startswith(("DB_", "CONTEXTEN_", "DATABASE_URL"))]:
        monkeypatch.delenv(name)
    assert database_config.sqlite_path is not None
    monkeypatch.chdir(database_config.sqlite_path.parent)
    monkeypatch.setenv("CONTEXTEN_HOME", str(database_config.sqlite_path.parent / "home"))
    monkeypatch.setenv("DB_USE_SQLITE", "true")
    monkeypatch.setenv("DB_SQLITE_PATH", str(database_config.sqlite_path))
    monkeypatch.setenv("LOGNAME", "mara")
    yield Terminal()
    get_settings.cache_clear()


def _push(commit: str) -> GitHubDelivery:
    pull = {"number": 7, "head": {"sha": commit * 5, "ref": "fix"}}
    payload = {"action": "synchronize", "number": 7, "pull_request": pull, "repository": {"full_name": "acme/cashbox"}}
    return GitHubDelivery(event="pull_request", payload=payload)


async def test_a_run_is_cancelled_under_the_accounts_name(terminal: Terminal, worker: "Worker") -> None:
    run = await worker.take_on(_push("11111111"))
    _, said = await terminal.run(runs, "cancel", str(run.run_id)[:8])
    assert said.startswith(f"Run {run.run_id} is about to end")
    assert "about to end, asked for by mara, " in (await terminal.run(runs, "show", str(run.run_id)))[0]

    await end_or_hand_back(worker.runtime, run)
    shown = await terminal.json(runs, "show", str(run.run_id))
    assert (shown["status"], shown["cancel_by"], shown["reason"]) == ("cancelled", "mara", "cancelled by mara")
    _, refused = await terminal.run(runs, "cancel", str(run.run_id), code=1)
    assert "has ended: cancelled" in refused


async def test_what_superseded_a_run_and_what_it_stands_for(terminal: Terminal, worker: "Worker") -> None:
    older, newer = [await worker.receive(_push(commit)) for commit in ("11111111", "22222222")]
    run = await worker.claim()
    superseded = (await terminal.json(events, "show", str(older)))["runs"][0]["id"]

    successor = f"superseded by event {newer}, whose newest run is {run.run_id} (running)"
    for noun, identifier in ((runs, superseded), (events, str(older))):
        assert successor in (await terminal.run(noun, "show", identifier))[0]
    shown, _ = await terminal.run(runs, "show", str(run.run_id))
    assert "stands for 1 earlier event too:" in shown
    assert f"event {older}" in shown
    assert [line["outcome"] for line in await terminal.json(events, "list")] == ["processing", "superseded"]


async def test_both_kinds_of_parked_events_are_listed_with_the_reason_and_discarded(
    terminal: Terminal, worker: "Worker"
) -> None:
    unreadable = await worker.receive(GitHubDelivery(event="push", payload={}, raw=b"{oh"))
    suspect = (await worker.take_on(_push("11111111"))).event_id
    await worker.change_event(suspect, claims=3, lease_expires_at=utc_now() - timedelta(seconds=1))
    await park_suspects(worker.runtime, limit=1)
    parked = {line["id"]: line["reason"] for line in await terminal.json(events, "list", "--parked")}
    shown, _ = await terminal.run(events, "show", str(suspect))

    assert list(parked) == [str(suspect), str(unreadable)]
    assert "its worker went away 3 times" in parked[str(suspect)]
    assert "claimed 3 times without getting on; the step under way: none had begun" in shown
    assert f"contexten events discard {str(suspect)[:8]}" in shown

    await terminal.run(events, "discard", str(suspect))
    discarded = await terminal.json(events, "discard", str(unreadable))
    assert discarded["reason"].startswith("discarded by mara: ")
    assert await terminal.json(events, "list", "--parked") == []
