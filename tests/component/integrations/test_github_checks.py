"""Check runs over real HTTP to the emulator."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import delete

from contexten.emulators.github import RunningEmulator, run_emulator
from contexten.emulators.recorder import Fault
from contexten_core.db import Database
from contexten_core.errors import OutboundError
from contexten_core.events.models import PostModel
from contexten_core.integrations.github_checks import GitHubChecks
from contexten_core.settings import Settings

SHA = "4d1c2b3a" * 5


@pytest.fixture
async def github() -> AsyncIterator[RunningEmulator]:
    async with run_emulator() as running:
        yield running


@pytest.fixture
def checks(github: RunningEmulator, database: Database) -> GitHubChecks:
    return GitHubChecks(Settings(github_api_url=github.url, github_token=None, api_timeout_seconds=5), database)


def _check(github: RunningEmulator, *, conclusion: str | None = None, **changed: Any) -> dict[str, Any]:
    return {
        "api_url": github.url,
        "repository": "acme/cashbox",
        "sha": SHA,
        "name": "contexten/checks",
        "external_id": "run 1",
        "status": "in_progress" if conclusion is None else "completed",
        "conclusion": conclusion,
        "title": "Running" if conclusion is None else f"It is a {conclusion}",
        "summary": "2 tests",
        "details_url": "https://contexten.acme.example/runs/1",
        **changed,
    }


def _runs(github: RunningEmulator) -> list[tuple[str, str, str | None]]:
    return [(run["external_id"], run["status"], run["conclusion"]) for run in github.recorder.check_runs]


async def test_a_check_run_is_made_once_and_then_updated(github: RunningEmulator, checks: GitHubChecks) -> None:
    begun = await checks.post(_check(github), key="a", maybe_done=False)
    ended = await checks.post(_check(github, conclusion="failure"), key="b", maybe_done=False)
    (run,) = github.recorder.check_runs

    assert begun["id"] == ended["id"] == run["id"]
    assert _runs(github) == [("run 1", "completed", "failure")]
    assert run["output"]["title"] == "It is a failure"
    assert run["details_url"] == "https://contexten.acme.example/runs/1"


async def test_when_replies_are_lost_there_is_still_one(github: RunningEmulator, checks: GitHubChecks) -> None:
    for key, method, conclusion in (("a", "POST", None), ("b", "PATCH", "success")):
        github.recorder.queue_fault(Fault(method=method, drop_after=True))
        with pytest.raises(OutboundError):
            await checks.post(_check(github, conclusion=conclusion), key=key, maybe_done=False)
        await checks.post(_check(github, conclusion=conclusion), key=key, maybe_done=True)
    assert _runs(github) == [("run 1", "completed", "success")]


async def test_without_its_row_it_is_found_by_its_external_id(
    github: RunningEmulator, checks: GitHubChecks, database: Database
) -> None:
    await checks.post(_check(github), key="a", maybe_done=False)
    await checks.post(_check(github, external_id="run 2"), key="b", maybe_done=False)
    async with database.transaction() as session:
        await session.execute(delete(PostModel))
    await checks.post(_check(github, conclusion="success"), key="c", maybe_done=False)

    assert _runs(github) == [("run 2", "in_progress", None), ("run 1", "completed", "success")] or _runs(github) == [
        ("run 1", "completed", "success"),
        ("run 2", "in_progress", None),
    ]


@pytest.mark.parametrize("token", ["ghp_a", "github_pat_a", "gho_a"])
def test_a_persons_token_cannot_make_one(token: str) -> None:
    checks = GitHubChecks(Settings(github_api_url="http://127.0.0.1:1", github_token=SecretStr(token)), Database())
    assert "only a GitHub App makes check runs" in str(checks.unable({"api_url": "http://127.0.0.1:1"}))
    assert checks.unable({"api_url": "http://127.0.0.1:2"}) is None
