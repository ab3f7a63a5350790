"""Prefect's side: runs that are started in its UI or by its schedules, and `prefect deploy` against our server."""

import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from contexten_core.db import Database
from contexten_core.learning import store as learning_store
from contexten_core.settings import Settings
from deployments.attach import attached
from deployments.catalogue import CATALOGUE
from tests.functional.stacks import GitHubProgram, Repositories, Runs, ServedStack, eventually

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

ROOT = Path(__file__).resolve().parents[2]
PICKED_UP_SECONDS = 10.0
LONGER_THAN_THE_WORKER_WAITS = 1.5
DEPLOYMENTS = {workflow.full_name for workflow in CATALOGUE}


async def test_an_event_whose_lifecycle_is_run_from_the_ui_is_handled_again(
    stack: ServedStack, runs: Runs, github: GitHubProgram
) -> None:
    before = stack.get(f"/api/events/{runs.passed['event_id']}")
    flow_run = quick_run(stack, "lifecycle/webhook", {"event_id": before["id"]})
    assert flow_run["state_type"] == "SCHEDULED"
    ended = stack.finished_flow_run(flow_run["id"], within=PICKED_UP_SECONDS)
    assert ended["state_type"] == "COMPLETED"
    assert set(stack.task_states(flow_run["id"]).values()) == {"Completed"}
    run = stack.handled(before["id"], runs=len(before["runs"]) + 1)
    assert (run["flow_run_id"], run["conclusion"]) == (flow_run["id"], "success")
    assert [state for state, _ in github.of_run(run, repository="octo/thermometer")] == ["pending", "success"]


async def test_learning_that_is_run_from_the_ui_leaves_rows_and_an_artifact(
    stack: ServedStack, runs: Runs, database: Database
) -> None:
    flow_run = quick_run(stack, "learning/scheduled", {})
    assert stack.finished_flow_run(flow_run["id"], within=PICKED_UP_SECONDS)["state_type"] == "COMPLETED"
    filters = {"artifacts": {"flow_run_id": {"any_": [flow_run["id"]]}}}
    (artifact,) = stack.prefect("POST", "/artifacts/filter", filters)
    assert (artifact["key"], artifact["type"]) == ("contexten-learning", "markdown")
    assert "octo-cashbox-checks" in artifact["data"]
    async with database.reading() as session:
        result = await learning_store.learning_result(session, UUID(flow_run["id"]))
        clusters = await learning_store.clusters(session, limit=500)
    assert result is not None
    assert result["report"] == artifact["data"]
    assert result["outcomes"] >= 3
    ours = [row for row in clusters if (row.source_data or {})["flow_run_id"] == flow_run["id"]]
    assert len(ours) == result["clusters"] >= 1
    assert {project for row in ours for project in (row.context or {})["projects"]} >= {"octo-cashbox", "octo-gone"}


def test_a_run_for_an_unknown_event_fails_and_says_so(stack: ServedStack) -> None:
    event_id = str(uuid4())
    flow_run = quick_run(stack, "lifecycle/webhook", {"event_id": event_id})
    ended = stack.finished_flow_run(flow_run["id"], within=PICKED_UP_SECONDS)
    assert ended["state_type"] == "FAILED"
    assert f"there is no event {event_id}" in ended["state"]["message"]


def test_no_event_is_taken_while_the_deployment_is_paused_in_prefect(
    stack: ServedStack, repositories: Repositories
) -> None:
    deployment = stack.prefect("GET", "/deployments/name/lifecycle/webhook")
    change = f"/deployments/{deployment['id']}"
    stack.prefect("POST", f"{change}/pause_deployment")
    try:
        eventually(lambda: "lifecycle/webhook was paused" in worker_log(stack), within=30, what="the worker's notice")
        event_id = stack.pull_request(repositories.passing, 951, "synchronize")
        time.sleep(LONGER_THAN_THE_WORKER_WAITS)
        assert stack.get(f"/api/events/{event_id}")["runs"] == []
    finally:
        stack.prefect("POST", f"{change}/resume_deployment")
    assert stack.handled(event_id)["conclusion"] == "success"


def test_learning_is_scheduled(stack: ServedStack) -> None:
    deployment = stack.prefect("GET", "/deployments/name/learning/scheduled")
    assert [entry["schedule"]["cron"] for entry in deployment["schedules"] if entry["active"]] == ["17 */6 * * *"]
    filters = {
        "deployments": {"id": {"any_": [deployment["id"]]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
    }
    waiting = eventually(
        lambda: stack.prefect("POST", "/flow_runs/filter", filters), within=20, what="a run that Prefect has scheduled"
    )
    assert all(run["auto_scheduled"] for run in waiting)


def test_prefect_deploy_changes_nothing_that_the_engine_relies_on(
    stack: ServedStack, repositories: Repositories, runs: Runs
) -> None:
    before = deployments(stack)
    description = (ROOT / "prefect.yaml").read_bytes()
    deployed = stack.program(
        [str(Path(sys.executable).with_name("prefect")), "--no-prompt", "deploy", "--all"],
        within=90,
        cwd=ROOT,
        PREFECT_API_URL=stack.urls["prefect_api"],
        PREFECT_HOME=str(stack.home / "prefect"),
        PREFECT_PROFILES_PATH=str(stack.home / "prefect" / "profiles.toml"),
        DO_NOT_TRACK="1",
    )
    assert deployed.code == 0, deployed
    assert (ROOT / "prefect.yaml").read_bytes() == description
    after = deployments(stack)
    assert set(after) == set(before) == DEPLOYMENTS
    for name in DEPLOYMENTS:
        assert {key: after[name][key] for key in RELIED_ON} == {key: before[name][key] for key in RELIED_ON}
        assert schedules(after[name]) == schedules(before[name])
    assert stack.handled(stack.push(repositories.passing))["conclusion"] == "success"
    flow_run = quick_run(stack, "lifecycle/webhook", {"event_id": runs.passed["event_id"]})
    assert stack.finished_flow_run(flow_run["id"], within=PICKED_UP_SECONDS)["state_type"] == "COMPLETED"


RELIED_ON = ("id", "flow_id", "work_pool_name", "entrypoint", "tags", "description", "paused", "parameters")


@pytest.fixture
async def database(stack: ServedStack) -> AsyncIterator[Database]:
    """The database of the stack, found as the command line finds it."""
    database = Database(attached(Settings(home=stack.home)).db)
    yield database
    await database.close()


def quick_run(stack: ServedStack, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Ask for a run as the UI's "Quick run" does."""
    deployment = stack.prefect("GET", f"/deployments/name/{name}")
    body = {"parameters": parameters, "name": f"ui-{time.monotonic_ns()}", "state": {"type": "SCHEDULED"}}
    flow_run: dict[str, Any] = stack.prefect("POST", f"/deployments/{deployment['id']}/create_flow_run", body)
    return flow_run


def worker_log(stack: ServedStack) -> str:
    return (stack.home / "logs" / "worker.log").read_text(encoding="utf-8")


def deployments(stack: ServedStack) -> dict[str, dict[str, Any]]:
    flows = {flow["id"]: flow["name"] for flow in stack.prefect("POST", "/flows/filter", {})}
    found = stack.prefect("POST", "/deployments/filter", {})
    return {f"{flows[each['flow_id']]}/{each['name']}": each for each in found}


def schedules(deployment: dict[str, Any]) -> list[tuple[str, str, bool]]:
    return [
        (entry["schedule"]["cron"], entry["schedule"]["timezone"], entry["active"]) for entry in deployment["schedules"]
    ]
