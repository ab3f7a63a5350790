"""The web process: health for everybody, pages and API for this machine alone."""

from typing import Any

import pytest

from tests.functional.stacks import PROBLEM, Runs, ServedStack

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

PAGES = (
    "/",
    "/runs/{run}",
    "/runs/{run}/log",
    "/events/{event}",
    "/static/contexten.css",
    "/api/events",
    "/api/events/{event}",
    "/api/runs",
    "/api/runs/{run}",
    "/api/patterns",
)
FROM_ELSEWHERE = (
    {"X-Forwarded-For": "203.0.113.7"},
    {"Forwarded": "for=203.0.113.7"},
    {"X-Real-IP": "127.0.0.1"},
    {"Host": "rebound.example"},
    {"Host": "localhost.rebound.example"},
)


def test_the_process_lives(stack: ServedStack) -> None:
    assert stack.get("/livez") == {"status": "alive"}


def test_the_process_is_ready(stack: ServedStack) -> None:
    assert stack.get("/readyz") == {"status": "ready", "checks": {"database": "ok", "migrations": "ok"}}


def test_the_system_is_healthy(stack: ServedStack) -> None:
    health = stack.get("/health")
    assert health["status"] == "healthy"
    assert set(health["components"].values()) == {"healthy"}
    assert health["performance"]["cpu_usage"] >= 0


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health"])
@pytest.mark.parametrize("headers", FROM_ELSEWHERE, ids=str)
def test_anybody_may_ask_for_health(stack: ServedStack, path: str, headers: dict[str, str]) -> None:
    assert stack.web.get(path, headers=headers).status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_pages_answer_to_this_machine(stack: ServedStack, runs: Runs, page: str) -> None:
    answer = stack.web.get(filled(page, runs.failed))
    assert answer.status_code == 200
    assert answer.content


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("headers", FROM_ELSEWHERE, ids=str)
def test_pages_are_closed_to_everybody_else(stack: ServedStack, runs: Runs, page: str, headers: dict[str, str]) -> None:
    answer = stack.web.get(filled(page, runs.failed), headers=headers)
    assert answer.status_code == 401
    assert "octo" not in answer.text


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]"])
def test_this_machine_has_several_names(stack: ServedStack, name: str) -> None:
    assert stack.web.get("/", headers={"Host": f"{name}:{stack.web.base_url.port}"}).status_code == 200


def test_the_dashboard_shows_what_failed(stack: ServedStack, runs: Runs) -> None:
    page = stack.web.get("/").text
    assert f"/runs/{runs.failed['id']}" in page
    assert "octo/cashbox" in page


def test_the_page_of_a_run_shows_which_test_failed(stack: ServedStack, runs: Runs) -> None:
    page = stack.web.get(f"/runs/{runs.failed['id']}").text
    assert "test_total_rounds_to_the_cent" in page


def test_the_log_of_a_run_is_plain_text(stack: ServedStack, runs: Runs) -> None:
    answer = stack.web.get(f"/runs/{runs.failed['id']}/log")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "test_total_rounds_to_the_cent" in answer.text


@pytest.mark.parametrize("path", ["/api/runs/{id}", "/api/events/{id}"])
@pytest.mark.parametrize("given", ["00000000-0000-4000-8000-000000000000", "ffffffff", "abc", "%2e%2e", "no-id"])
def test_unknown_ids_are_not_found(stack: ServedStack, path: str, given: str) -> None:
    answer = stack.web.get(path.replace("{id}", given))
    assert answer.status_code == 404
    assert set(answer.json()) == PROBLEM


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=many", "status=happy"])
def test_questions_that_make_no_sense_are_client_errors(stack: ServedStack, query: str) -> None:
    answer = stack.web.get(f"/api/events?{query}")
    assert answer.status_code == 422
    assert set(answer.json()) == {*PROBLEM, "errors"}


def filled(page: str, run: dict[str, Any]) -> str:
    return page.format(run=run["id"], event=run["event_id"])
