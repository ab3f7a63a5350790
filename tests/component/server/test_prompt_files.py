"""Prompts as files, over HTTP."""

import httpx
import pytest
from fastapi import FastAPI

from contexten.server.api import prompt_files
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.prompts import store

pytestmark = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)

CHECKS = """\
prompts:
  - slug: checks
    name: Checks
    when: {event.type: push}
    do: {command: make test}
    template: Run the checks.
"""


@pytest.fixture
def app(app: FastAPI) -> FastAPI:
    # Until the application itself includes it.
    if not any(getattr(route, "path", "") == "/api/prompt-files" for route in app.routes):
        app.include_router(prompt_files.router)
    return app


async def _file(client: httpx.AsyncClient, orchestrator: SystemOrchestrator) -> httpx.Response:
    async with orchestrator.database.reading() as session:
        prompt = await store.by_slug(session, "checks")
        assert prompt is not None
    return await client.get(f"/api/prompts/{prompt.id}/file")


async def test_a_file_is_stored_and_shown_again(client: httpx.AsyncClient, orchestrator: SystemOrchestrator) -> None:
    first = await client.put("/api/prompt-files", json={"text": CHECKS})
    shown = await _file(client, orchestrator)
    second = await client.put("/api/prompt-files", json={"text": shown.text.replace("Run", "Do"), "message": "Do it"})

    assert first.json() == {"items": [{"slug": "checks", "version": 1, "change": "created"}]}
    assert shown.headers["content-type"].startswith("text/yaml")
    assert "    version: 1\n    name: Checks\n" in shown.text
    assert second.json() == {"items": [{"slug": "checks", "version": 2, "change": "changed"}]}


async def test_whoever_comes_second_is_told(client: httpx.AsyncClient) -> None:
    await client.put("/api/prompt-files", json={"text": CHECKS})
    answer = await client.put("/api/prompt-files", json={"text": CHECKS.replace("Run", "Do")})

    assert answer.status_code == 409
    assert "there is a prompt 'checks' already: version 1" in answer.json()["message"]


async def test_each_problem_is_answered_with_its_place(client: httpx.AsyncClient) -> None:
    text = CHECKS.replace("slug: checks", "slug: Checks").replace("push", "&bomb push")
    answer = await client.put("/api/prompt-files", json={"text": text})
    assert (answer.status_code, answer.json()["code"]) == (422, "prompt_file")
    assert answer.json()["message"].startswith("prompts.yaml:4:24: prompts[0].when.event.type: anchors")

    answer = await client.put("/api/prompt-files", json={"text": text.replace("&bomb ", "").replace("do:", "d:")})
    assert [error["field"] for error in answer.json()["errors"]] == ["2:11 prompts[0].slug", "5:5 prompts[0].d"]
