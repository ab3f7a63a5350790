"""The whole way of one event: from the webhook through Prefect to GitHub, and what is learned from it."""

import pytest

from tests.functional.stacks import GitHubProgram, Repositories, Runs, ServedStack, eventually

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

STEPS = [
    "ingest-event",
    "resolve-project",
    "select-prompt",
    "analyse-codebase",
    "execute-task",
    "record-analytics",
    "mine-patterns",
]
FAILING_TEST = "test_total_rounds_to_the_cent"


def test_checks_that_pass_end_in_success(runs: Runs) -> None:
    run = runs.passed
    assert (run["status"], run["conclusion"], run["event"]["outcome"]) == ("completed", "success", "completed")
    assert [(step["step"], step["status"]) for step in run["steps"]] == [(step, "completed") for step in STEPS]
    assert (run["task"]["status"], run["execution"]["output"]["exit_code"]) == ("completed", 0)
    assert "6 passed" in run["execution"]["logs"]


def test_the_checks_ran_on_exactly_the_commit_of_the_event(runs: Runs, repositories: Repositories) -> None:
    assert runs.passed["commit"] == repositories.passing.branch_head
    code = next(step for step in runs.passed["steps"] if step["step"] == "analyse-codebase")["result"]
    assert (code["files"], code["functions"], code["primary_language"]) == (7, 9, "Python")


def test_prefect_shows_the_run_under_a_name_and_tags_that_a_person_can_read(stack: ServedStack, runs: Runs) -> None:
    flow_run = stack.finished_flow_run(runs.passed["flow_run_id"], within=30)
    assert (flow_run["name"], flow_run["state_type"]) == ("octo/thermometer#12 synchronize", "COMPLETED")
    assert set(flow_run["tags"]) >= {"github", "pull_request", "octo/thermometer"}
    deployment = stack.prefect("GET", f"/deployments/{flow_run['deployment_id']}")
    assert deployment["name"] == "webhook"


@pytest.mark.parametrize("outcome", ["passed", "failed"])
def test_prefect_shows_seven_completed_tasks_whether_the_checks_pass_or_fail(
    stack: ServedStack, runs: Runs, outcome: str
) -> None:
    run = getattr(runs, outcome)
    assert stack.finished_flow_run(run["flow_run_id"], within=30)["state_type"] == "COMPLETED"
    assert stack.task_states(run["flow_run_id"]) == dict.fromkeys(STEPS, "Completed")


def test_prefect_shows_the_log_of_the_command(stack: ServedStack, runs: Runs) -> None:
    stack.finished_flow_run(runs.failed["flow_run_id"], within=30)
    filters = {"logs": {"flow_run_id": {"any_": [runs.failed["flow_run_id"]]}}, "limit": 200}

    def told() -> bool:
        return any(FAILING_TEST in line["message"] for line in stack.prefect("POST", "/logs/filter", filters))

    eventually(told, within=30, what="the log in Prefect")


def test_checks_that_fail_are_a_failed_task_in_a_completed_run(runs: Runs) -> None:
    run = runs.failed
    assert (run["status"], run["conclusion"], run["event"]["outcome"]) == ("completed", "failure", "completed")
    assert (run["task"]["status"], run["execution"]["status"]) == ("failed", "failed")
    assert run["execution"]["output"]["exit_code"] == 1
    assert run["execution"]["output"]["failed_tests"] == [f"tests/test_totals.py::{FAILING_TEST}"]
    assert f"{FAILING_TEST}" in run["execution"]["logs"]


def test_what_the_command_took_is_recorded(runs: Runs) -> None:
    execution = runs.failed["execution"]
    assert 0 < execution["duration_seconds"] < 60
    assert execution["cpu_usage_percent"] > 0
    assert execution["memory_usage_mb"] > 1


def test_github_is_told_pending_and_then_success(runs: Runs, github: GitHubProgram) -> None:
    told = github.of_run(runs.passed, repository="octo/thermometer")
    assert [state for state, _ in told] == ["pending", "success"]


def test_github_is_told_pending_and_then_which_test_fails(
    stack: ServedStack, runs: Runs, github: GitHubProgram
) -> None:
    told = github.of_run(runs.failed, repository="octo/cashbox")
    assert [state for state, _ in told] == ["pending", "failure"]
    assert FAILING_TEST in told[-1][1]
    status = github.statuses(runs.failed["commit"], repository="octo/cashbox")[-1]
    assert status["context"] == "contexten/octo-cashbox-checks"
    assert stack.web.get(status["target_url"]).status_code == 200


def test_a_clone_that_fails_is_a_failed_task_with_gits_own_message(stack: ServedStack, runs: Runs) -> None:
    run = runs.unreachable
    assert (run["status"], run["conclusion"], run["event"]["outcome"]) == ("completed", "error", "completed")
    assert run["task"]["status"] == "failed"
    assert "gone.git" in run["task"]["error_message"]
    assert "does not appear to be a git repository" in run["task"]["error_message"]
    assert run["execution"]["error_details"]["code"] == "git"
    assert stack.finished_flow_run(run["flow_run_id"], within=30)["state_type"] == "COMPLETED"
    assert stack.task_states(run["flow_run_id"]) == {**dict.fromkeys(STEPS, "Completed"), "analyse-codebase": "Failed"}


def test_a_clone_that_cannot_work_is_not_tried_again(runs: Runs) -> None:
    step = next(step for step in runs.unreachable["steps"] if step["step"] == "analyse-codebase")
    assert (step["status"], step["retries"]) == ("failed", 0)


def test_github_is_told_of_a_clone_that_fails(runs: Runs, github: GitHubProgram) -> None:
    told = github.of_run(runs.unreachable, repository="octo/gone")
    assert [state for state, _ in told] == ["pending", "error"]
    assert "gone.git" in told[-1][1]


def test_the_same_failure_is_one_pattern_that_counts_up(
    stack: ServedStack, runs: Runs, repositories: Repositories
) -> None:
    before = occurrences(stack)
    again = stack.handled(stack.push(repositories.failing))
    assert again["event_id"] != runs.failed["event_id"]
    assert occurrences(stack) == before + 1
    attempts = len(stack.get(f"/api/events/{runs.failed['event_id']}")["runs"])
    replayed = stack.contexten("events", "replay", runs.failed["event_id"], "--json").json
    assert replayed == {"event_id": runs.failed["event_id"], "status": "pending"}
    third = stack.handled(runs.failed["event_id"], runs=attempts + 1)
    assert (third["attempt"], third["conclusion"]) == (attempts + 1, "failure")
    assert occurrences(stack) == before + 2


def occurrences(stack: ServedStack) -> int:
    patterns = stack.get("/api/patterns", limit=500)["items"]
    (pattern,) = [pattern for pattern in patterns if FAILING_TEST in pattern["name"]]
    return int(pattern["occurrence_count"])
