from collections.abc import Awaitable, Callable

import httpx

from contexten.server.dashboard import collect
from contexten_core.events.models import EventModel, EventStatus, RunModel

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
