from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest

from contexten_core.db import Database, utc_now
from contexten_core.events.models import Conclusion, EventModel, EventStatus, RunModel, RunStatus
from contexten_core.learning.models import LearningModel, LearningPatternModel, LearningType, PatternType

MakeEvent = Callable[..., Awaitable[EventModel]]
MakeRun = Callable[..., Awaitable[RunModel]]
REFRESH = '<meta http-equiv="refresh" content="5">'


async def page(client: httpx.AsyncClient, path: str = "/") -> str:
    answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer.text


async def test_a_newcomer_is_told_what_to_do(client: httpx.AsyncClient) -> None:
    html = await page(client)
    assert "Nothing has arrived yet" in html
    assert "contexten demo" in html
    assert "http://localhost:8000/github/events" in html
    assert "what <code>GITHUB_WEBHOOK_SECRET</code> holds" in html
    assert REFRESH in html


async def test_a_run_is_a_row_with_what_matters_about_it(client: httpx.AsyncClient, make_run: MakeRun) -> None:
    run = await make_run(attempt=2)
    html = await page(client)
    assert f'<a href="/runs/{run.id}">acme/billing#7 synchronize</a>' in html
    for shown in (
        "success",
        "run-tests",
        "9f2c1e7ab4",
        "6.0 s",
        "3 min ago",
        f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC",
    ):
        assert shown in html
    assert '<td data-label="Attempt" class="number">2</td>' in html


async def test_failures_come_first_and_say_what_failed(
    client: httpx.AsyncClient, make_run: MakeRun, make_story: MakeRun
) -> None:
    failed = await make_story(number=3, started_at=utc_now() - timedelta(hours=2))
    await make_run(number=9)
    html = await page(client)
    assert html.index("1 test failed: tests/test_invoice.py") < html.index("Newest runs")
    assert html.index(f"/runs/{failed.id}") < html.index("acme/billing#9 synchronize")


async def test_results_are_counted_and_each_count_leads_to_its_runs(
    client: httpx.AsyncClient, make_run: MakeRun
) -> None:
    for number, conclusion in enumerate([Conclusion.SUCCESS, Conclusion.SUCCESS, Conclusion.FAILURE, Conclusion.ERROR]):
        await make_run(number=number, conclusion=conclusion)
    await make_run(number=8, status=RunStatus.IGNORED, conclusion=None, reason="the branch old was deleted")
    await make_run(number=9, status=RunStatus.FAILED, conclusion=Conclusion.ERROR, reason="git said no")
    html = await page(client)
    assert "All <b>6</b>" in html
    for result, count in [("failure", 1), ("error", 1), ("failed", 1), ("success", 2), ("ignored", 1)]:
        assert f'href="/?result={result}"' in html
        assert f"{result} <b>{count}</b>" in html
    assert "/?result=running" not in html


@pytest.mark.parametrize(
    ("result", "shown"), [("failure", 1), ("success", 2), ("failed", 3), ("ignored", 4), ("running", 5)]
)
async def test_a_filter_shows_the_runs_of_one_result(
    client: httpx.AsyncClient, make_run: MakeRun, result: str, shown: int
) -> None:
    await make_run(number=1, conclusion=Conclusion.FAILURE)
    await make_run(number=2)
    await make_run(number=3, status=RunStatus.FAILED, conclusion=Conclusion.ERROR, reason="git said no")
    await make_run(number=4, status=RunStatus.IGNORED, conclusion=None, reason="the branch old was deleted")
    await make_run(number=5, status=RunStatus.RUNNING, conclusion=None, finished_at=None)
    html = await page(client, f"/?result={result}")
    table = html[html.index("<table") : html.index("</table>")]
    assert [number for number in range(1, 6) if f"acme/billing#{number} " in table] == [shown]


async def test_a_filter_without_runs_says_so(client: httpx.AsyncClient, make_run: MakeRun) -> None:
    await make_run()
    assert "No run has this result" in await page(client, "/?result=error")


async def test_an_unknown_result_is_no_page(client: httpx.AsyncClient) -> None:
    answer = await client.get("/", params={"result": "<b>odd</b>"})
    assert answer.status_code == 404
    assert "&lt;b&gt;odd&lt;/b&gt;" in answer.text
    assert "<code>failure</code>" in answer.text


async def test_events_that_led_to_nothing_are_shown_with_the_reason(
    client: httpx.AsyncClient, make_event: MakeEvent
) -> None:
    ignored = await make_event(
        status=EventStatus.SKIPPED, reason="no project has the repository acme/x; `contexten projects add` adds one"
    )
    await make_event(status=EventStatus.FAILED, title="Merge it", error_message="git fetch failed")
    await make_event(status=EventStatus.PENDING)
    html = await page(client)
    assert f'<a href="/events/{ignored.id}">' in html
    assert "no project has the repository acme/x; <code>contexten projects add</code> adds one" in html
    assert "git fetch failed" in html
    assert " ".join(html.split()).count("<strong>1 event waiting</strong>, 1 ignored, 1 failed") == 1


async def test_patterns_are_shown_with_how_often_and_since_when(client: httpx.AsyncClient, database: Database) -> None:
    first = utc_now() - timedelta(days=6)
    async with database.transaction() as session:
        learning = LearningModel(
            id=uuid4(), name="x", learning_type=LearningType.ERROR_ANALYSIS, data={}, source_component="tasks"
        )
        session.add(learning)
        await session.flush()
        session.add(
            LearningPatternModel(
                name="x",
                pattern_name="1 test failed: test_total",
                pattern_type=PatternType.ERROR_PATTERN,
                pattern_definition={"kind": "test"},
                occurrence_count=14,
                contexts=["acme/billing"],
                first_observed_at=first,
                last_observed_at=utc_now() - timedelta(minutes=9),
                fingerprint="5f",
                learning_id=learning.id,
            )
        )
    async with database.transaction() as session:
        session.add(waiting_event())
    html = await page(client)
    for shown in ("14×", "1 test failed: test_total", "acme/billing", "6 d ago", "9 min ago", first.isoformat()):
        assert shown in html


def waiting_event() -> EventModel:
    return EventModel(
        name="push",
        title="push",
        event_type="push",
        provider="github",
        digest="d",
        payload={},
        available_at=utc_now(),
    )


async def test_the_page_loads_itself_again_only_while_something_moves(
    client: httpx.AsyncClient, database: Database, make_run: MakeRun
) -> None:
    run = await make_run(status=RunStatus.RUNNING, conclusion=None, finished_at=None)
    assert REFRESH in await page(client)
    async with database.transaction() as session:
        stored = await session.get_one(RunModel, run.id)
        stored.status, stored.conclusion, stored.finished_at = RunStatus.COMPLETED, Conclusion.SUCCESS, utc_now()
    assert REFRESH not in await page(client)


async def test_a_reader_can_pause_that_and_keeps_the_filter(client: httpx.AsyncClient, make_run: MakeRun) -> None:
    await make_run(status=RunStatus.RUNNING, conclusion=None, finished_at=None)
    assert '<a href="?result=running&amp;refresh=off">Pause</a>' in await page(client, "/?result=running")
    html = await page(client, "/?result=running&refresh=off")
    assert REFRESH not in html
    assert '<a href="?result=running">Resume</a>' in html


async def test_what_was_superseded_or_cancelled_has_neither_failed_nor_succeeded(
    client: httpx.AsyncClient, make_event: MakeEvent, make_run: MakeRun
) -> None:
    newer = await make_event(title="the newer push")
    superseded = await make_event(title="the older push", status=EventStatus.SKIPPED, superseded_by=newer.id)
    await make_run(event=superseded, status=RunStatus.SUPERSEDED, conclusion=None)
    await make_run(event=newer, status=RunStatus.CANCELLED, conclusion=None)
    html = await page(client)
    for result in ("superseded", "cancelled"):
        assert f'<a href="/?result={result}" class="idle"' in html
        assert f"{result} <b>1</b>" in html
    assert "Failing</h2>" not in html
    assert "1 ignored or superseded" in html
    assert "the older push" not in html[html.index("Events ignored, cancelled or failed") :]
