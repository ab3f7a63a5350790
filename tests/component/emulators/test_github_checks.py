from typing import Any

import httpx
import pytest
from githubkit import GitHub, TokenAuthStrategy

from contexten.emulators.github import run_emulator

SHA = "8483a1df8d924c59c89238eca6fd98403d6cd0f7"
RUNS = "/repos/acme/cashbox/check-runs"
OF_COMMIT = f"/repos/acme/cashbox/commits/{SHA}/check-runs"
NEW = {"name": "tests", "head_sha": SHA}


async def test_githubkit_creates_updates_and_lists_check_runs() -> None:
    async with (
        run_emulator() as served,
        GitHub(TokenAuthStrategy("ghs_1"), base_url=served.url, http_cache=False, trust_env=False) as github,
    ):
        checks = github.rest.checks
        created = (
            await checks.async_create("acme", "cashbox", name="tests", head_sha=SHA, status="in_progress")
        ).parsed_data
        assert (created.status, created.conclusion) == ("in_progress", None)
        updated = await checks.async_update(
            "acme",
            "cashbox",
            created.id,
            data={"conclusion": "failure", "output": {"title": "1 failed", "summary": "test_total", "text": "…"}},
        )
        assert (updated.parsed_data.status, updated.parsed_data.conclusion) == ("completed", "failure")
        listed = (await checks.async_list_for_ref("acme", "cashbox", SHA)).parsed_data
        assert [(run.id, run.output.title) for run in listed.check_runs] == [(created.id, "1 failed")]
        assert listed.check_runs[0].completed_at is not None


async def test_of_check_runs_with_one_name_the_newest_is_listed(open_client: httpx.AsyncClient) -> None:
    first = (await open_client.post(RUNS, json=NEW)).json()
    second = (await open_client.post(RUNS, json=NEW)).json()
    other = (await open_client.post(RUNS, json={**NEW, "name": "lint"})).json()

    async def ids(**query: str) -> list[int]:
        found = (await open_client.get(OF_COMMIT, params=query)).json()
        assert found["total_count"] == len(found["check_runs"])
        return [run["id"] for run in found["check_runs"]]

    assert await ids() == [other["id"], second["id"]]
    assert await ids(check_name="tests", filter="all") == [second["id"], first["id"]]
    assert await ids(status="completed") == []


@pytest.mark.parametrize(
    "body",
    [
        {"name": "tests"},
        {"head_sha": SHA},
        {**NEW, "head_sha": "main"},
        {**NEW, "status": "great"},
        {**NEW, "status": "completed"},
        {**NEW, "conclusion": "great"},
        {**NEW, "output": {"title": "without a summary"}},
        {**NEW, "output": "text"},
        {**NEW, "output": {"summary": "x" * 65_536}},
        {**NEW, "output": {"summary": "x", "annotations": [{}] * 51}},
    ],
)
async def test_a_check_run_that_github_would_not_take_is_refused(
    open_client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    assert (await open_client.post(RUNS, json=body)).status_code == 422


async def test_a_personal_token_cannot_write_check_runs(open_client: httpx.AsyncClient) -> None:
    answer = await open_client.post(RUNS, json=NEW, headers={"Authorization": "Bearer ghp_personal"})
    assert (answer.status_code, answer.json()["message"]) == (403, "You must authenticate via a GitHub App.")


async def test_a_check_run_of_another_repository_is_not_found(open_client: httpx.AsyncClient) -> None:
    run = (await open_client.post(RUNS, json=NEW)).json()
    assert (await open_client.get(f"{RUNS}/{run['id']}")).json() == run
    for path in (f"/repos/acme/thermometer/check-runs/{run['id']}", f"{RUNS}/0", f"{RUNS}/x", f"{RUNS}/{'9' * 30}"):
        assert (await open_client.get(path)).status_code == 404
