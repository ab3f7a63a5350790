import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from contexten.server import dashboard
from contexten_core.db import Database
from contexten_core.events.models import EventModel, EventStatus, RunModel
from contexten_core.settings import Environment, Settings

MakeEvent = Callable[..., Awaitable[EventModel]]
MakeRun = Callable[..., Awaitable[RunModel]]
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>"
STYLESHEET = Path(dashboard.__file__).parent / "static" / "contexten.css"


async def paths(make_run: MakeRun) -> list[str]:
    run = await make_run()
    return [
        "/",
        f"/runs/{run.id}",
        f"/runs/{run.id}/log",
        f"/events/{run.event_id}",
        "/runs/0000",
        "/static/contexten.css",
    ]


async def test_every_answer_carries_the_headers_that_keep_a_page_harmless(
    client: httpx.AsyncClient, make_run: MakeRun
) -> None:
    for path in await paths(make_run):
        headers = (await client.get(path)).headers
        assert headers["content-security-policy"] == (
            "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        )
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


async def test_no_text_from_outside_becomes_markup(
    client: httpx.AsyncClient, make_event: MakeEvent, make_run: MakeRun, make_story: MakeRun
) -> None:
    event = await make_event(
        status=EventStatus.SKIPPED,
        event_type=HOSTILE,
        external_id=HOSTILE,
        title=HOSTILE,
        subject=HOSTILE,
        source_repository=HOSTILE,
        source_user=HOSTILE,
        source_url=f"https://github.com/{HOSTILE}",
        reason=HOSTILE,
        payload={HOSTILE: HOSTILE},
        headers={HOSTILE: HOSTILE},
    )
    condition = {
        "name": HOSTILE,
        "field": HOSTILE,
        "operator": "equals",
        "expected": HOSTILE,
        "seen": HOSTILE,
        "holds": True,
    }
    candidate = {"slug": HOSTILE, "version": 1, "priority": 0, "applies": True, "conditions": [condition]}
    explanation = {"winner": HOSTILE, "reason": HOSTILE, "candidates": [candidate]}
    run = await make_story(
        event=event, name=HOSTILE, reason=HOSTILE, commit_sha=HOSTILE, explanation=explanation, log=f"{HOSTILE}\n"
    )
    for path in (
        "/",
        "/?result=failure",
        f"/runs/{run.id}",
        f"/events/{event.id}",
        f"/runs/{HOSTILE.replace('/', '')}",
    ):
        html = (await client.get(path)).text
        assert "alert(1)" in html
        assert "<script" not in html
        assert "<img src=x" not in html


async def test_only_web_addresses_are_linked(
    client: httpx.AsyncClient, make_event: MakeEvent, make_run: MakeRun
) -> None:
    event = await make_event(
        source_url="javascript:alert(1)", payload={"repository": {"html_url": "javascript:alert(1)"}}
    )
    run = await make_run(event=event)
    for path in (f"/runs/{run.id}", f"/events/{event.id}"):
        html = (await client.get(path)).text
        assert 'href="javascript' not in html


async def test_links_that_lead_outside_tell_nobody_where_from(client: httpx.AsyncClient, make_story: MakeRun) -> None:
    html = (await client.get(f"/runs/{(await make_story()).id}")).text
    outside = re.findall(r'<a href="https?://[^>]*>', html)
    assert len(outside) == 4
    assert all('rel="noopener noreferrer"' in link for link in outside)


async def test_pages_need_no_script_and_nothing_from_elsewhere(client: httpx.AsyncClient, make_run: MakeRun) -> None:
    for path in await paths(make_run):
        html = (await client.get(path)).text
        assert not re.search(r'<script|<style|\sstyle="|\son[a-z]+="|src="http|@import|url\(', html)


@pytest.mark.parametrize("path", ["/runs/ffff", "/runs/nonsense!", "/runs/ffff/log", "/events/ffff", "/static/nothing"])
async def test_what_is_not_there_is_a_page_that_says_so(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "Go to the dashboard" in answer.text


async def test_a_stranger_is_refused_with_a_page(app: FastAPI, settings: Settings) -> None:
    settings.environment = Environment.PRODUCTION
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 50_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.get("/")
    assert answer.status_code == 401
    assert "closed in production" in answer.text


async def test_a_database_that_is_away_is_a_page_that_tries_again(
    client: httpx.AsyncClient, database: Database
) -> None:
    async with database.transaction() as session:
        await session.execute(text("DROP TABLE runs"))
    answer = await client.get("/")
    assert answer.status_code == 503
    assert "the database does not answer" in answer.text
    assert 'http-equiv="refresh"' in answer.text


async def test_the_stylesheet_is_asked_for_by_its_content_and_kept(client: httpx.AsyncClient) -> None:
    found = re.search(r'href="(/static/contexten\.css\?v=[0-9a-f]{12})"', (await client.get("/")).text)
    assert found
    answer = await client.get(found[1])
    assert answer.text == STYLESHEET.read_text()
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("colour", ["ink", "soft", "link", "good", "bad", "warn", "busy", "idle"])
@pytest.mark.parametrize("ground", ["page", "panel"])
def test_text_has_the_contrast_that_everybody_can_read(scheme: int, colour: str, ground: str) -> None:
    assert contrast(palette(scheme)[colour], palette(scheme)[ground]) >= 4.5


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["telling", "target"])
def test_marked_lines_of_a_log_have_it_too(scheme: int, ground: str) -> None:
    assert contrast(palette(scheme)["ink"], palette(scheme)[ground]) >= 7
    assert contrast(palette(scheme)["soft"], palette(scheme)[ground]) >= 4.5


def palette(scheme: int) -> dict[str, str]:
    blocks = re.findall(r":root \{(.*?)\}", STYLESHEET.read_text(), re.DOTALL)
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", blocks[scheme]))


def contrast(one: str, other: str) -> float:
    """https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
