from collections.abc import Awaitable, Callable
from uuid import uuid4

import httpx

from contexten_core.db import Database, utc_now
from contexten_core.events.models import Conclusion, EffectStatus, EventModel, OutboxModel, RunModel, RunStatus
from contexten_core.settings import Settings
from contexten_core.tasks.models import TaskExecutionModel, TaskLogChunkModel, TaskModel, TaskStatus, TaskType

MakeEvent = Callable[..., Awaitable[EventModel]]
MakeRun = Callable[..., Awaitable[RunModel]]
REFRESH = 'http-equiv="refresh"'


async def page(client: httpx.AsyncClient, run: RunModel) -> str:
    answer = await client.get(f"/runs/{run.id}")
    assert answer.status_code == 200
    return answer.text


async def test_a_run_leads_to_everything_about_it(client: httpx.AsyncClient, make_story: MakeRun) -> None:
    run = await make_story()
    html = await page(client, run)
    for link in (
        f"/events/{run.event_id}",
        f"/api/runs/{run.id}",
        f"/runs/{run.id}/log",
        f"http://127.0.0.1:4200/runs/flow-run/{run.flow_run_id}",
        "https://github.com/acme/billing",
        "https://github.com/acme/billing/pull/7",
        f"https://github.com/acme/billing/commit/{run.commit_sha}",
    ):
        assert f'href="{link}"' in html


async def test_the_seven_steps_say_what_they_found(client: httpx.AsyncClient, make_story: MakeRun) -> None:
    html = await page(client, await make_story())
    steps = html[html.index("Steps</h2>") : html.index("What failed</h2>")]
    assert steps.count('<rect class="part"') == 7
    for shown in ("execute-task", "failure", "4.1 s", "acme/billing#7 synchronize by ada", "212 files"):
        assert shown in steps


async def test_what_failed_is_shown_with_a_way_to_its_line(client: httpx.AsyncClient, make_story: MakeRun) -> None:
    html = await page(client, await make_story())
    assert "<code>tests/test_invoice.py::test_total_rounds_half_even</code>" in html
    assert '<a href="#L20">Jump to the failing line</a>' in html
    telling = html[html.index('<div id="L20" class="telling">') :].split("</div>", 1)[0]
    assert "<mark>FAILED tests/test_invoice.py::test_total_rounds_half_even" in telling


async def test_why_this_prompt_shows_each_condition_with_the_value_it_saw(
    client: httpx.AsyncClient, make_story: MakeRun
) -> None:
    html = await page(client, await make_story())
    why = html[html.index("Why this prompt</h2>") : html.index('<h2 id="log">')]
    assert "run-tests applies" in why
    assert why.index("<b>run-tests</b>") < why.index("<b>check-default-branch</b>")
    assert "<code>event.branch</code>" in why
    assert 'equals <code>"main"</code>'.replace('"', "&#34;") in why
    assert "<code>&#34;round-half-even&#34;</code>" in why
    assert why.count("does not hold") == 2


async def test_the_task_shows_what_it_used(client: httpx.AsyncClient, make_story: MakeRun) -> None:
    html = await page(client, await make_story())
    for shown in ("python -m pytest -q --color=yes", "<dd>1</dd>", "3.9 s", "5.5 s, 142% of a core", "87 MB at most"):
        assert shown in html


async def test_what_was_reported_is_shown_with_what_went_wrong(
    client: httpx.AsyncClient, database: Database, make_story: MakeRun
) -> None:
    run = await make_story()
    async with database.transaction() as session:
        session.add(
            OutboxModel(
                name="x",
                kind="github.commit_status",
                effect_key="x",
                stream="x",
                position=2,
                status=EffectStatus.DEAD,
                reason="the token is not valid; check GITHUB_ACCESS_TOKEN",
                last_error="GitHub answered 401",
                attempts=3,
                content={"state": "error", "context": "contexten/run-tests", "description": "Contexten: it broke"},
                available_at=utc_now(),
                run_id=run.id,
            )
        )
    html = await page(client, run)
    assert html.count("sent</span>") == 2
    for shown in ("dead", "Contexten: it broke", "check GITHUB_ACCESS_TOKEN", "3 attempts", "GitHub answered 401"):
        assert shown in html


async def test_the_log_has_lines_to_point_at_and_no_colours(client: httpx.AsyncClient, make_story: MakeRun) -> None:
    html = await page(client, await make_story())
    assert '<div id="L4"><a href="#L4" tabindex="-1">4</a><span>collected 21 items</span></div>' in html
    assert "\x1b" not in html
    assert "21 lines." in html


async def test_of_a_very_long_log_the_page_shows_a_part_and_the_text_has_all(
    client: httpx.AsyncClient, make_story: MakeRun
) -> None:
    log = "".join(f"line {number}\n" for number in range(1, 8_001))
    run = await make_story(log=log, conclusion=Conclusion.SUCCESS)
    html = await page(client, run)
    assert "Lines 3,001 to 8,000 of 8,000." in html
    assert 'id="L3000"' not in html
    answer = await client.get(f"/runs/{run.id}/log")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-disposition"] == f'inline; filename="contexten-{str(run.id)[:8]}.log"'
    assert answer.text == log


async def test_a_running_run_shows_its_log_so_far_and_loads_itself_again(
    client: httpx.AsyncClient, database: Database, make_run: MakeRun
) -> None:
    run = await make_run(status=RunStatus.RUNNING, conclusion=None, finished_at=None, explanation=None)
    task = TaskModel(id=uuid4(), name="x", title="x", task_type=TaskType.TESTING, status=TaskStatus.IN_PROGRESS)
    execution = TaskExecutionModel(
        id=uuid4(), name="x", execution_number=1, status=TaskStatus.IN_PROGRESS, started_at=utc_now(), task_id=task.id
    )
    async with database.transaction() as session:
        session.add(task)
        await session.flush()
        session.add(execution)
        await session.flush()
        for position, content in enumerate(("first\nsec", "ond\n")):
            session.add(TaskLogChunkModel(name="log", execution_id=execution.id, position=position, content=content))
        (await session.get_one(RunModel, run.id)).task_id = task.id
    html = await page(client, run)
    assert "<span>second</span>" in html
    assert html.count("waiting</span>") == 7
    assert REFRESH in html


async def test_a_run_whose_report_is_on_its_way_loads_itself_again(
    client: httpx.AsyncClient, database: Database, make_story: MakeRun
) -> None:
    run = await make_story()
    assert REFRESH not in await page(client, run)
    async with database.transaction() as session:
        session.add(
            OutboxModel(
                name="x",
                kind="github.commit_status",
                effect_key="x",
                stream="x",
                position=2,
                content={},
                available_at=utc_now(),
                run_id=run.id,
            )
        )
    assert REFRESH in await page(client, run)


async def test_a_run_that_never_began_a_step_is_a_page_too(client: httpx.AsyncClient, make_run: MakeRun) -> None:
    run = await make_run(
        status=RunStatus.FAILED, conclusion=Conclusion.ERROR, reason="git said no", explanation=None, commit_sha=None
    )
    html = await page(client, run)
    for shown in ("failed", "git said no", "Nothing was run.", "There is no log.", "Nothing was reported."):
        assert shown in html
    assert html.count("not reached</span>") == 7
    assert (await client.get(f"/runs/{run.id}/log")).text == ""


async def test_without_a_prefect_address_there_is_no_link_to_it(
    client: httpx.AsyncClient, settings: Settings, make_run: MakeRun
) -> None:
    settings.prefect_api_url = None
    assert "flow run" not in await page(client, await make_run())


async def test_the_beginning_of_an_id_is_enough(client: httpx.AsyncClient, make_run: MakeRun) -> None:
    run = await make_run()
    assert str(run.id) in (await client.get(f"/runs/{str(run.id)[:8]}")).text


async def test_a_superseded_run_leads_to_the_one_that_stands_for_it(
    client: httpx.AsyncClient, make_event: MakeEvent, make_run: MakeRun
) -> None:
    newer = await make_event(number=7)
    successor = await make_run(event=newer, conclusion=Conclusion.SUCCESS)
    ended = {"status": RunStatus.SUPERSEDED, "conclusion": None, "reason": f"superseded by a push, event {newer.id}"}
    run = await make_run(**ended, superseded_by=newer.id)
    html = await page(client, run)
    assert '<span class="badge idle">' in html
    assert f"superseded by a push, event {newer.id}" in html
    assert f'<a href="/events/{newer.id}">event {str(newer.id)[:8]}</a>, whose newest run is' in html
    assert f'<a href="/runs/{successor.id}">' in html
    assert "runs cancel" not in html


async def test_a_run_tells_which_earlier_events_it_stands_for(client: httpx.AsyncClient, make_run: MakeRun) -> None:
    earlier = await make_run(status=RunStatus.SUPERSEDED, conclusion=None)
    name = "acme/billing#7 <opened>"
    cause = {"event_id": str(earlier.event_id), "run_id": str(earlier.id), "name": name}
    html = await page(client, await make_run(causes=[cause | {"received_at": utc_now().isoformat()}]))
    assert "Stands for 1 earlier event too" in html
    assert f'<a href="/events/{earlier.event_id}">acme/billing#7 &lt;opened&gt;</a>' in html
    assert f'<a href="/runs/{earlier.id}">' in html


async def test_a_run_in_progress_tells_how_it_is_stopped_and_that_it_is_about_to_be(
    client: httpx.AsyncClient, make_run: MakeRun
) -> None:
    running = {"status": RunStatus.RUNNING, "conclusion": None, "finished_at": None}
    run = await make_run(**running)
    assert f"<code>contexten runs cancel {str(run.id)[:8]}</code>" in await page(client, run)

    asked = {"cancel_requested_at": utc_now(), "cancel_by": "mona", "cancel_reason": "cancelled by mona"}
    html = await page(client, await make_run(**running, **asked))
    assert "It is about to end: cancelled by mona" in html
    assert "runs cancel" not in html
