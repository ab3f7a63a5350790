"""The command line against a running stack: results on stdout, progress and errors on stderr, and exit codes."""

import json
import sys
from typing import Any
from uuid import UUID

import pytest

from contexten_core.db import Database
from contexten_core.events import store
from contexten_core.events.delivery import Delivery
from contexten_core.events.models import EventProvider
from contexten_core.settings import Settings
from deployments.attach import attached
from tests.functional.stacks import Answer, Repositories, Runs, ServedStack

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]


def test_events_are_listed(stack: ServedStack, runs: Runs) -> None:
    listed = quiet(stack.contexten("events", "list", "--limit", "500", "--json"))
    found = {event["id"]: event for event in listed}
    assert found[runs.passed["event_id"]]["title"] == runs.passed["event"]["title"]
    assert found[runs.passed["event_id"]]["outcome"] == "completed"


def test_events_of_one_status_are_listed(stack: ServedStack) -> None:
    stack.handled(stack.send("ping", {"zen": "Avoid administrative distraction."}))
    listed = quiet(stack.contexten("events", "list", "--status", "skipped", "--limit", "3", "--json"))
    assert 1 <= len(listed) <= 3
    assert {(event["status"], event["outcome"]) for event in listed} == {("skipped", "ignored")}


def test_an_event_is_shown(stack: ServedStack, runs: Runs) -> None:
    shown = quiet(stack.contexten("events", "show", runs.failed["event_id"], "--json"))
    assert (shown["id"], shown["event_type"]) == (runs.failed["event_id"], "push")
    assert len(shown["steps"]) == 7
    assert shown["explanation"]["candidates"]


def test_the_beginning_of_an_id_is_enough(stack: ServedStack, runs: Runs) -> None:
    shown = quiet(stack.contexten("runs", "show", runs.failed["id"][:13], "--json"))
    assert shown["id"] == runs.failed["id"]


def test_runs_are_listed(stack: ServedStack, runs: Runs) -> None:
    listed = quiet(stack.contexten("runs", "list", "--limit", "500", "--json"))
    found = {run["id"]: (run["name"], run["conclusion"]) for run in listed}
    assert found[runs.passed["id"]] == ("octo/thermometer#12 synchronize", "success")
    assert found[runs.failed["id"]] == ("octo/cashbox main push", "failure")


def test_a_run_is_shown_with_its_log(stack: ServedStack, runs: Runs) -> None:
    shown = stack.contexten("runs", "show", runs.failed["id"], "--log")
    assert (shown.code, shown.err) == (0, "")
    for part in ("octo/cashbox main push", "mine-patterns", "github.commit_status", "assert 1.78 == 1.79"):
        assert part in shown.out


def test_the_projects_are_listed(stack: ServedStack, runs: Runs) -> None:
    found = {project["slug"]: project for project in quiet(stack.contexten("projects", "list", "--json"))}
    assert {"octo-thermometer", "octo-cashbox", "octo-gone"} <= set(found)
    assert found["octo-cashbox"]["failed_tasks"] >= 1


def test_the_prompts_are_listed(stack: ServedStack, runs: Runs) -> None:
    found = {prompt["slug"]: prompt for prompt in quiet(stack.contexten("prompts", "list", "--json"))}
    prompt = found["octo-thermometer-checks"]
    assert prompt["executor_config"] == {"command": "python -m pytest -q"}
    assert len(prompt["conditions"]) == 3
    assert prompt["usage_count"] >= 1


def test_the_doctor_finds_nothing_wrong(stack: ServedStack) -> None:
    findings = {finding["subject"]: finding for finding in quiet(stack.contexten("doctor", "--json"))}
    assert {"versions", "home", "ports", "database", "prefect", "git", "sandbox", "github"} == set(findings)
    assert [finding for finding in findings.values() if finding["level"] == "problem"] == []
    assert "a stack runs on this home" in findings["ports"]["message"]
    assert all(finding["hint"] for finding in findings.values() if finding["level"] != "ok")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("runs", "list", "--limit", "500"), "octo/cashbox main push"),
        (("prompts", "list"), "octo-gone-checks v1"),
        (("doctor",), "database"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_people_get_tables(stack: ServedStack, runs: Runs, arguments: tuple[str, ...], said: str) -> None:
    answer = stack.contexten(*arguments)
    assert (answer.code, answer.err) == (0, "")
    assert said in answer.out


def test_an_event_is_replayed(stack: ServedStack, repositories: Repositories) -> None:
    event_id = stack.push(repositories.passing)
    first = stack.handled(event_id)
    assert quiet(stack.contexten("events", "replay", event_id[:13], "--json")) == {
        "event_id": event_id,
        "status": "pending",
    }
    second = stack.handled(event_id, runs=2)
    assert (first["attempt"], second["attempt"], second["conclusion"]) == (1, 2, "success")


def test_a_flow_is_run_and_watched(stack: ServedStack, runs: Runs) -> None:
    answer = stack.contexten("run", "lifecycle", "-p", f"event_id={runs.passed['event_id']}", "--watch", "--json")
    assert answer.err == "Running lifecycle…\n"
    assert set(answer.json) == {"name", "run_id", "state", "result", "url"}
    assert (answer.json["name"], answer.json["state"]) == ("lifecycle", "Completed")
    assert answer.json["result"]["event_id"] == runs.passed["event_id"]
    assert stack.prefect("GET", f"/flow_runs/{answer.json['run_id']}")["state_name"] == "Completed"


def test_a_flow_that_fails_is_seen_by_the_exit_code(stack: ServedStack) -> None:
    nothing = "00000000-0000-4000-8000-000000000000"
    answer = stack.contexten("run", "lifecycle", "-p", f"event_id={nothing}", "--watch", "--json")
    assert answer.code == 1
    assert json.loads(answer.out)["state"] == "Failed"


def test_the_demo_is_played_on_the_running_stack(stack: ServedStack) -> None:
    answer = stack.contexten("demo", "--json", within=120)
    assert answer.json == {"succeeded": True}
    assert "one pattern of that failure" in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (("events", "show", "00000000-0000-4000-8000-000000000000"), "there is no event 0", "contexten events list"),
        (("events", "replay", "ffffffffff"), "there is no event ffffffffff", "contexten events list"),
        (("events", "show", "abc"), "'abc' is no id", "at least its first four characters"),
        (("run", "deploying"), "there is no flow 'deploying'", "the known flows are: lifecycle, burst, learning"),
        (("run", "learning", "-p", "limit=many"), "the parameters do not fit learning", None),
        (("projects", "add", "not a name", "--command", "true"), "is not the name of a repository", "owner/name"),
    ],
    ids=lambda value: " ".join(value[:3]) if isinstance(value, tuple) else None,
)
def test_errors_say_what_happened_and_what_to_do(
    stack: ServedStack, arguments: tuple[str, ...], message: str, hint: str | None
) -> None:
    answer = stack.contexten(*arguments, "--json")
    assert (answer.code, answer.out) == (1, "")
    error = problem(answer)
    assert message in error["message"]
    assert (hint or "") in (error["hint"] or "")


def test_errors_are_for_people_too(stack: ServedStack) -> None:
    answer = stack.contexten("events", "show", "abc")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == "Error: 'abc' is no id\nHint:  give a whole id, or at least its first four characters\n"


async def test_the_beginning_of_two_ids_is_not_enough(stack: ServedStack) -> None:
    database = Database(attached(Settings(home=stack.home)).db)
    try:
        for ending in ("1", "2"):
            await store_ping(database, UUID(f"0123456789ab4000800000000000000{ending}"))
    finally:
        await database.close()
    error = problem(stack.contexten("events", "show", "0123456789ab", "--json"))
    assert error["message"] == "more than one event begins with 0123456789ab"
    assert error["hint"] == "give more of the id"


def test_without_a_stack_commands_say_how_to_start_one(stack: ServedStack) -> None:
    elsewhere = str(stack.folder / "elsewhere")
    answer = stack.program([sys.executable, "-m", "contexten", "events", "list"], within=30, CONTEXTEN_HOME=elsewhere)
    assert (answer.code, answer.out) == (1, "")
    assert f"no stack runs on {elsewhere}" in answer.err
    assert "contexten serve" in answer.err


def test_projects_can_be_added_for_people_to_read(stack: ServedStack) -> None:
    answer = stack.contexten("projects", "add", "octo/New.Thing", "--command", "true")
    assert (answer.code, answer.out) == (0, "")
    assert answer.err == "octo/New.Thing is known now; its prompt is octo-new-thing-checks.\n"


def quiet(answer: Answer) -> Any:
    assert answer.err == ""
    return answer.json


def problem(answer: Answer) -> dict[str, Any]:
    """Return the error of a command that was given --json: on stderr, below what it said of its progress."""
    error: dict[str, Any] = json.loads(answer.err.splitlines()[-1])["error"]
    assert {"code", "message", "hint"} <= set(error)
    return error


async def store_ping(database: Database, event_id: UUID) -> None:
    body = event_id.bytes
    delivery = Delivery(
        provider=EventProvider.GITHUB,
        event_type="ping",
        payload={"zen": "Half measures are as bad as nothing at all."},
        headers={},
        content_type="application/json",
        body=body,
        key=body,
        event_id=event_id,
    )
    async with database.transaction() as session:
        stored = await store.insert_deliveries(session, {(delivery.provider, delivery.digest): delivery})
    assert stored
