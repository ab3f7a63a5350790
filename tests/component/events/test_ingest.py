import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from contexten_core.db import utc_now
from contexten_core.errors import ConflictError, MalformedPayloadError
from contexten_core.events import keep
from contexten_core.events.claim import RunRef, claim_events, replay_event
from contexten_core.events.delivery import Delivery
from contexten_core.events.finish import fail_run
from contexten_core.events.models import EventProvider, EventStatus
from contexten_core.events.receive_deployment import SOURCE_HEADER

if TYPE_CHECKING:
    from tests.component.conftest import OpenWorker, Push, Worker

PUSHED = {"ref": "refs/heads/main", "repository": {"full_name": "acme/cashbox"}, "sender": {"login": "jonas"}}


def _delivery(provider: EventProvider, event_type: str, body: bytes, **given: Any) -> Delivery:
    named = {"payload": {}, "headers": {}, "content_type": "application/json", "parked": "it could not be read"} | given
    return Delivery(provider=provider, event_type=event_type, body=body, key=body, **named)


async def _replayed(worker: "Worker", delivery: Delivery) -> RunRef:
    """Store a parked delivery, as a receiver did that could not read it, and have it handled."""
    await keep.write(worker.database, [delivery], vault=worker.runtime.vault)
    await replay_event(worker.database, delivery.event_id)
    return await worker.claim()


async def test_the_event_gets_what_its_payload_says(worker: "Worker", push: "Push") -> None:
    run = await worker.take_on(push())
    said = await worker.ingest(run)
    event = await worker.event(run.event_id)

    assert (event.title, event.subject) == ("Add tax to the total", "acme/cashbox@main") == (said.title, said.subject)
    assert (event.source_user, event.source_repository) == ("jonas", "acme/cashbox")
    assert event.source_url == said.url == said.links[0]
    assert not said.own


async def test_an_event_of_our_own_is_known_as_such(open_worker: "OpenWorker", push: "Push") -> None:
    async with open_worker(github_bot_logins=("Jonas",)) as worker:
        said = await worker.ingest(await worker.take_on(push()))

    assert said.own


async def test_the_source_of_a_deployment_is_its_place(worker: "Worker") -> None:
    payload = {"status": "success"}
    body = json.dumps(payload).encode()
    given = {"payload": payload, "headers": {SOURCE_HEADER: "ci"}, "parked": None}
    await keep.write(worker.database, [_delivery(EventProvider.DEPLOYMENT, "deployment", body, **given)])

    assert (await worker.ingest(await worker.claim())).place == "ci"


async def test_a_parked_event_whose_bytes_can_be_read_today_is_handled_like_any_other(worker: "Worker") -> None:
    for provider, event_type, body, found in (
        (EventProvider.GITHUB, "push", json.dumps(PUSHED).encode(), "push"),
        (EventProvider.LINEAR, "unknown", b'{"type": "Issue", "data": {"identifier": "ENG-1"}}', "Issue"),
        (EventProvider.SLACK, "unknown", b'{"event": {"type": "message", "channel": "C1"}}', "message"),
        (EventProvider.SLACK, "unknown", urlencode({"payload": '{"type": "shortcut"}'}).encode(), "shortcut"),
        (EventProvider.SLACK, "unknown", b"command=%2Fdeploy&text=main", "slash_command"),
        (EventProvider.DEPLOYMENT, "unknown", b'{"status": "success"}', "deployment"),
        (EventProvider.DEPLOYMENT, "nightly", b'{"status": "failure"}', "nightly"),
    ):
        run = await _replayed(worker, _delivery(provider, event_type, body))
        said = await worker.ingest(run)
        event = await worker.event(run.event_id)
        history = await worker.history(run)

        assert (said.type, event.event_type, event.parked_at) == (found, found, None)
        assert event.payload
        assert (history.run.name, history.run.subject) == (said.name, said.subject)


async def test_a_parked_event_that_still_cannot_be_read_fails_and_is_parked_again(worker: "Worker") -> None:
    for provider, body, why in (
        (EventProvider.GITHUB, b"\xff", "the body is not UTF-8"),
        (EventProvider.LINEAR, b'{"data": {}}', "the body has no type"),
        (EventProvider.SLACK, b"a=%ff", "the body is not a form"),
        (EventProvider.SLACK, b"a=b", "the body has no type"),
    ):
        run = await _replayed(worker, _delivery(provider, "push", body))
        assert (await worker.event(run.event_id)).parked_at is None
        with pytest.raises(MalformedPayloadError, match=why) as raised:
            await worker.ingest(run)
        await fail_run(worker.runtime, run, raised.value)
        event = await worker.event(run.event_id)

        assert event.status is EventStatus.FAILED
        assert event.parked_at is not None
        assert why in str(event.reason)


async def test_a_parked_event_waits_for_a_person(worker: "Worker") -> None:
    delivery = _delivery(EventProvider.GITHUB, "push", b"[")
    await keep.write(worker.database, [delivery])
    assert await claim_events(worker.runtime, limit=10) == []

    event = await worker.event(delivery.event_id)
    assert (event.status, event.reason) == (EventStatus.FAILED, "it could not be read")
    assert event.parked_at is not None
    assert event.parked_at <= utc_now() + timedelta(minutes=1)

    await replay_event(worker.database, delivery.event_id)
    with pytest.raises(ConflictError, match="is pending"):
        await replay_event(worker.database, delivery.event_id)
