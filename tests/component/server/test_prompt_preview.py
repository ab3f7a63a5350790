"""What a prompt would say, over HTTP."""

from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI

from contexten.server.api import prompt_preview
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.prompts.spec import PromptSpec
from contexten_core.prompts.versions import save_spec

pytestmark = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)


@pytest.fixture
def app(app: FastAPI) -> FastAPI:
    # Until the application itself includes it.
    if not any(getattr(route, "path", "").endswith("/preview") for route in app.routes):
        app.include_router(prompt_preview.router)
    return app


@pytest.fixture
async def path(orchestrator: SystemOrchestrator) -> str:
    async with orchestrator.database.transaction() as session:
        for text in ("Hi {{ event.actor }}!", "Hello {{ event.actor }}!"):
            spec = PromptSpec(slug="greet", name="Greet", template=text)
            saved = await save_spec(session, spec, author="mara", message="Say it")
        prompt_id: UUID = saved.prompt.id
    return f"/api/prompts/{prompt_id}/preview"


async def test_a_prompt_is_shown_with_given_fields(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.post(path, json={"fields": {"event.actor": "{{ mara }}"}})
    assert answer.json() == {
        "slug": "greet",
        "version": 2,
        "text": "Hello {{ mara }}!",
        "system_text": None,
        "template": None,
        "versions": [],
        "absent": [],
        "notes": [],
    }
    older = (await client.post(path, json={"version": "1"})).json()
    assert (older["version"], older["text"], older["absent"]) == (1, "Hi !", ["event.actor"])


async def test_a_text_can_be_shown_before_it_is_stored(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.post(path, json={"template": "Bye {{ event.actor | upper }}", "fields": {"event.actor": "a"}})
    assert answer.json()["text"] == "Bye A"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"template": "a\n{{ 'x' * 10**9 }}"}, 422, "greet, line 2: a text of 1,000,000,000 characters"),
        ({"template": "{{ ''.__class__ }}"}, 422, "greet, line 1, column 7: nothing has an attribute __class__"),
        ({"fields": {"event.actr": "a"}}, 422, "event.actr: there is no such field"),
        ({"version": "staging"}, 404, "has no label 'staging'"),
        ({"event_id": str(UUID(int=7))}, 404, "there is no event"),
        ({"unknown": 1}, 422, "unknown"),
    ],
)
async def test_what_cannot_be_shown_says_why(
    client: httpx.AsyncClient, path: str, body: dict[str, object], status: int, said: str
) -> None:
    answer = await client.post(path, json=body)
    assert (answer.status_code, said in answer.json()["message"]) == (status, True), answer.text


async def test_a_prompt_that_is_not_there_is_not_found(client: httpx.AsyncClient) -> None:
    assert (await client.post(f"/api/prompts/{uuid4()}/preview", json={})).status_code == 404
