from collections.abc import Awaitable, Callable

import httpx

from contexten.server.dashboard import collect
from contexten_core.db import utc_now
from contexten_core.events.models import Conclusion, EventModel, EventStatus, RunModel, RunStatus

MakeEvent = Callable[..., Awaitable[EventModel]]
MakeRun = Callable[..., Awaitable[RunModel]]


async def page(client: httpx.AsyncClient, event: EventModel) -> str:
    answer = await client.get(f"/events/{event.id}")
    assert answer.status_code == 200
    return answer.text


async def test_an_event_shows_what_arrived(client: httpx.AsyncClient, make_event: MakeEvent) -> None:
    event = await make_event()
    html = await page(client, event)
    for shown in ("completed", event.title, "pull_request", "acme/billing", "ada", str(event.external_id)):
        assert shown in html
    assert f'href="/api/events/{event.id}"' in html
    assert 'href="https://github.com/acme/billing/pull/7" rel="noopener noreferrer"' in html
    assert "x-github-event" in html
    assert "&#34;full_name&#34;: &#34;acme/billing&#34;" in html


async def test_its_runs_are_listed_the_newest_first(
    client: httpx.AsyncClient, make_event: MakeEvent, make_run: MakeRun, make_story: MakeRun
) -> None:
    event = await make_event()
    first = await make_story(event=event)
    second = await make_run(event=event, attempt=2)
    html = await page(client, event)
    assert html.index(f"/runs/{second.id}") < html.index(f"/runs/{first.id}")
    assert "1 test failed: tests/test_invoice.py" in html
    assert f"contexten events replay {str(event.id)[:8]}" in html


async def test_an_ignored_event_says_why(client: httpx.AsyncClient, make_event: MakeEvent) -> None:
    event = await make_event(status=EventStatus.SKIPPED, reason="the branch old was deleted")
    html = await page(client, event)
    assert "ignored</span>" in html
    assert "the branch old was deleted" in html


async def test_a_waiting_event_loads_itself_again(client: httpx.AsyncClient, make_event: MakeEvent) -> None:
    html = await page(client, await make_event(status=EventStatus.PENDING, processed_at=None, headers=None))
    assert 'http-equiv="refresh"' in html
    assert "waiting for a worker" in html
    assert "events replay" not in html


async def test_of_a_huge_payload_the_beginning_is_shown(client: httpx.AsyncClient, make_event: MakeEvent) -> None:
    event = await make_event(payload={"commits": ["x" * 1_000] * 1_000})
    html = await page(client, event)
    assert len(html) < collect.PAYLOAD_LIMIT + 20_000
    assert "This is its beginning" in html


async def test_an_event_that_killed_its_workers_shows_the_evidence_and_what_can_be_done(
    client: httpx.AsyncClient, make_event: MakeEvent, make_run: MakeRun
) -> None:
    details = {
        "code": "kills_its_worker",
        "times": 3,
        "step": "execute-task",
        "started_at": "2026-11-20T10:00:00.5+00:00",
        "claims": [{"owner": "host-17", "until": "2026-11-20T10:00:15+00:00"}],
    }
    event = await make_event(status=EventStatus.FAILED, parked_at=utc_now(), error_details=details)
    await make_run(event=event, status=RunStatus.FAILED, conclusion=Conclusion.ERROR)
    html = await page(client, event)
    assert "worker host-17 fell silent; it had the event until 2026-11-20 10:00:15 UTC" in html
    assert "claimed 3 times without getting on; the step under way: execute-task" in html
    for verb in ("replay", "discard"):
        assert html.count(f"<code>contexten events {verb} {str(event.id)[:8]}</code>") == 1


async def test_an_event_says_what_superseded_it_or_what_it_waits_for(
    client: httpx.AsyncClient, make_event: MakeEvent
) -> None:
    lane = {"lane": "github:acme/billing#7"}
    handled = await make_event(status=EventStatus.PROCESSING, processed_at=None, name="the first", **lane)
    waiting = await make_event(status=EventStatus.PENDING, processed_at=None, **lane)
    assert f'<dt>Waits for</dt> <dd><a href="/events/{handled.id}">the first</a>' in await page(client, waiting)

    superseded = await make_event(status=EventStatus.SKIPPED, superseded_by=waiting.id, **lane)
    html = await page(client, superseded)
    assert "superseded</span>" in html
    assert f'<a href="/events/{waiting.id}">' in html


async def test_an_event_whose_run_was_cancelled_is_cancelled(
    client: httpx.AsyncClient, make_event: MakeEvent, make_run: MakeRun
) -> None:
    event = await make_event(status=EventStatus.SKIPPED, reason="cancelled by mona")
    await make_run(event=event, status=RunStatus.CANCELLED, conclusion=None)
    assert "<title>cancelled: " in await page(client, event)
    assert "cancelled</span>" in (await client.get("/")).text
