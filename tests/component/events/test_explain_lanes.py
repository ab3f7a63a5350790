"""What people are told of events that wait for others, or that others or people made to end."""

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from contexten.emulators.sender import GitHubDelivery
from contexten_core.db import utc_now
from contexten_core.events.cancel import cancel_run, end_or_hand_back
from contexten_core.events.claim import claim_events
from contexten_core.events.explain import EventExplanation, Gate, Verdict, explain_event
from contexten_core.events.history import event_history, event_lines, run_history
from contexten_core.events.park import discard_event, park_suspects
from contexten_core.events.store import newest

if TYPE_CHECKING:
    from tests.component.conftest import OpenWorker, Worker

pytestmark = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)


def _push(commit: str) -> GitHubDelivery:
    pull = {"number": 7, "head": {"sha": commit * 5, "ref": "fix"}}
    payload = {"action": "synchronize", "number": 7, "pull_request": pull, "repository": {"full_name": "acme/cashbox"}}
    return GitHubDelivery(event="pull_request", payload=payload)


def _comment(text: str) -> GitHubDelivery:
    issue = {"number": 7, "pull_request": {}}
    payload = {"action": "created", "issue": issue, "comment": {"body": text}, "sender": {"login": "mona"}}
    return GitHubDelivery(event="issue_comment", payload=payload | {"repository": {"full_name": "acme/cashbox"}})


async def _explained(worker: "Worker", event_id: UUID) -> EventExplanation:
    async with worker.database.reading() as session:
        return await explain_event(session, event_id)


async def _outcomes(worker: "Worker") -> list[str]:
    """Return the outcomes that a list of events shows, the newest first."""
    async with worker.database.reading() as session:
        return [line["outcome"] for line in await event_lines(session, await newest(session, limit=9))]


def _gate(explanation: EventExplanation, name: str) -> Gate:
    return next(gate for gate in explanation.gates if gate.name == name)


async def test_a_comment_waits_for_the_one_before_it(worker: "Worker") -> None:
    first, second = [await worker.receive(_comment(text)) for text in ("one", "two")]
    told = (await _explained(worker, second)).summary
    assert told.startswith("waiting at parsed: another event of acme/cashbox#7 comes first: ")
    assert told.endswith(f", event {first}")

    await claim_events(worker.runtime, limit=1)
    waiting = _gate(await _explained(worker, second), "parsed")
    assert waiting.reason.startswith("another event of acme/cashbox#7 is being handled: ")
    assert waiting.evidence["waits_for"] == str(first)


async def test_a_push_waits_for_another_one(open_worker: "OpenWorker") -> None:
    async with open_worker(debounce_seconds=60) as worker:
        event = await worker.event(await worker.receive(_push("11111111")))
        told = (await _explained(worker, event.id)).summary
    until = f"{event.available_at:%Y-%m-%d %H:%M:%S} UTC"
    assert told == f"waiting at parsed: a worker takes it from {until} on, unless another push comes before"


async def test_a_push_that_never_began_names_its_successor_and_how_that_goes(worker: "Worker") -> None:
    older, newer = [await worker.receive(_push(commit)) for commit in ("11111111", "22222222")]
    run = await worker.claim()
    explanation = await _explained(worker, older)
    assert explanation.outcome == "superseded"
    assert explanation.summary == (
        f"superseded by acme/cashbox#7 synchronize, event {newer}; its newest run is {run.run_id}: running"
    )
    assert _gate(explanation, "parsed").verdict is Verdict.STOPPED
    assert await _outcomes(worker) == ["processing", "superseded"]

    async with worker.database.reading() as session:
        told = (await run_history(session, run.run_id)).as_dict()
        older_runs = (await event_history(session, older)).as_dict()["runs"]
    assert [cause["event_id"] for cause in told["causes"]] == [str(older)]
    assert [each["superseded_by"] for each in older_runs] == [str(newer)]


async def test_a_cancelled_run_says_that_it_is_to_end_and_then_that_it_was(worker: "Worker") -> None:
    run = await worker.take_on(_push("11111111"))
    async with worker.database.transaction() as session:
        await cancel_run(session, run.run_id, by="mona")
    assert (await _explained(worker, run.event_id)).summary.endswith("; it is about to end: cancelled by mona")

    await end_or_hand_back(worker.runtime, run)
    explanation = await _explained(worker, run.event_id)
    assert (explanation.outcome, explanation.summary) == ("cancelled", "cancelled by mona")
    assert await _outcomes(worker) == ["cancelled"]


async def test_a_suspect_can_be_read_and_is_parked_until_it_is_discarded(worker: "Worker") -> None:
    event_id = (await worker.take_on(_push("11111111"))).event_id
    await worker.change_event(event_id, claims=3, lease_expires_at=utc_now() - timedelta(seconds=1))
    await park_suspects(worker.runtime, limit=1)
    parked = await _explained(worker, event_id)
    assert _gate(parked, "readable").verdict is Verdict.PASSED
    assert parked.summary.startswith("failed at parsed: parked, ")
    assert "its worker went away 3 times" in parked.summary
    assert _gate(parked, "parsed").evidence["details"]["code"] == "kills_its_worker"

    await discard_event(worker.database, event_id, by="mona")
    assert (await _explained(worker, event_id)).summary.startswith("ignored at parsed: discarded by mona: its worker")
