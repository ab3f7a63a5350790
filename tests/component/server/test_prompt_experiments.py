"""Experiments and usage over HTTP."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI

from contexten.server.api import prompt_experiments, prompt_usage
from contexten_core.db import utc_now
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.projects.add import add_repository
from contexten_core.prompts.labels import labels_of, set_label
from contexten_core.prompts.models import PromptExperimentModel
from contexten_core.prompts.spec import PromptSpec
from contexten_core.prompts.usage import count_outcome
from contexten_core.prompts.versions import save_spec
from contexten_core.security.tokens import TokenRole, create_token
from tests.component.server.conftest import Door

pytestmark = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)
PATH = "/api/prompt-experiments"


@pytest.fixture
async def prompt_id(orchestrator: SystemOrchestrator) -> UUID:
    """A prompt with two versions."""
    async with orchestrator.database.transaction() as session:
        for text in ("Run them.", "Run them all."):
            spec = PromptSpec(slug="checks", name="Checks", template=text)
            saved = await save_spec(session, spec, author="mara", message="Checks")
    return saved.prompt.id


def body(prompt_id: UUID, **changed: Any) -> dict[str, Any]:
    variants = [{"version": 1, "weight": 50}, {"version": 2, "weight": 50}]
    return {"prompt_id": str(prompt_id), "variants": variants, "minimum_samples": 10} | changed


async def test_an_experiment_is_started_looked_at_and_stopped(client: httpx.AsyncClient, prompt_id: UUID) -> None:
    answer = await client.post(PATH, json=body(prompt_id, guardrails={"success_rate": 0.8}))
    started = answer.json()
    assert (answer.status_code, started["status"], started["author"]) == (201, "running", "tests")
    assert started["guardrails"] == {"success_rate": 0.8}
    assert (await client.post(PATH, json=body(prompt_id))).status_code == 409

    shown = (await client.get(answer.headers["Location"])).json()
    assert [(one["version"], one["samples"], one["is_control"]) for one in shown["results"]["variants"]] == [
        (1, 0, True),
        (2, 0, False),
    ]
    assert shown["results"]["variants"][1]["success_interval"] == {"low": 0.0, "high": 1.0}
    assert "Newcombe 1998" in shown["results"]["methods"]["difference"]
    listed = (await client.get(PATH, params={"prompt_id": str(prompt_id), "status": "running"})).json()["items"]
    assert [row["id"] for row in listed] == [started["id"]]

    stopped = (await client.post(f"{PATH}/{started['id']}/stop", json={"message": "Too few events"})).json()
    assert (stopped["status"], stopped["ended_at"] is None) == ("stopped", False)
    assert (await client.post(f"{PATH}/{started['id']}/stop")).status_code == 409
    assert (await client.post(f"{PATH}/{started['id']}/accept", json={})).status_code == 409


async def test_a_proposal_is_accepted_by_an_admin_only(
    door: Door, client: httpx.AsyncClient, orchestrator: SystemOrchestrator, prompt_id: UUID
) -> None:
    experiment_id = (await client.post(PATH, json=body(prompt_id))).json()["id"]
    async with orchestrator.database.transaction() as session:
        experiment = await session.get(PromptExperimentModel, UUID(experiment_id))
        assert experiment is not None
        experiment.proposal = {"version": 2, "reason": "it is better"}
        editor = await create_token(session, "mara", role=TokenRole.EDITOR)
    async with door.open(token=editor) as editing:
        refused = await editing.post(f"{PATH}/{experiment_id}/accept", json={})
    assert (refused.status_code, refused.json()["code"]) == (403, "protected_label")

    accepted = (await client.post(f"{PATH}/{experiment_id}/accept")).json()
    assert accepted["proposal"]["accepted_by"] == "tests"
    async with orchestrator.database.reading() as session:
        assert await labels_of(session, prompt_id) == {"production": 2}


async def test_an_editor_starts_none_of_a_prompt_with_a_protected_label(
    door: Door, orchestrator: SystemOrchestrator, prompt_id: UUID
) -> None:
    async with orchestrator.database.transaction() as session:
        editor = await create_token(session, "mara", role=TokenRole.EDITOR)
        await set_label(
            session,
            prompt_id,
            "production",
            1,
            author="jonas",
            may_protected=True,
            settings=orchestrator.settings,
        )
    async with door.open(token=editor) as editing:
        assert (await editing.post(PATH, json=body(prompt_id))).status_code == 403


async def test_what_makes_no_sense_is_refused_with_the_field(client: httpx.AsyncClient, prompt_id: UUID) -> None:
    for changed in (
        {"variants": [{"version": 1, "weight": 1}]},
        {"variants": [{"version": 1, "weight": 1}, {"version": 2, "weight": 0}]},
        {"variants": [{"version": 1, "weight": 1}, {"version": 10**30, "weight": 1}]},
        {"variants": [{"version": 1, "weight": 1}, {"version": 3, "weight": 1}]},
        {"minimum_samples": 0},
        {"guardrails": {"success_rate": 2}},
        {"guardrails": {"latency": 2}},
    ):
        assert (await client.post(PATH, json=body(prompt_id, **changed))).status_code == 422
    missing = "3f0c1f1e-6a7b-4c8d-9e0f-1a2b3c4d5e6f"
    assert (await client.post(PATH, json=body(UUID(missing)))).status_code == 404
    assert (await client.get(f"{PATH}/{missing}")).status_code == 404
    assert (await client.post(f"{PATH}/{missing}/stop", json={})).status_code == 404
    assert (await client.get(f"/api/prompts/{missing}/usage")).status_code == 404


async def test_usage_is_shown_by_version_project_and_day(
    client: httpx.AsyncClient, orchestrator: SystemOrchestrator, prompt_id: UUID
) -> None:
    now = utc_now()
    async with orchestrator.database.transaction() as session:
        project, _ = await add_repository(session, full_name="acme/cashbox")
        for succeeded in (True, True, False):
            await count_outcome(
                session,
                prompt_id=prompt_id,
                version=2,
                project_id=project.id,
                run_id=uuid4(),
                succeeded=succeeded,
                is_error=False,
                seconds=4.0,
                cost=0.5,
                now=now,
            )
    where = f"/api/prompts/{prompt_id}/usage"
    (row,) = (await client.get(where)).json()["items"]
    assert {name: row[name] for name in ("key", "uses", "successes", "mean_seconds", "cost")} == {
        "key": 2,
        "uses": 3,
        "successes": 2,
        "mean_seconds": 4.0,
        "cost": 1.5,
    }
    assert row["last_used_at"] == now.isoformat()
    by_project = (await client.get(where, params={"by": "project"})).json()["items"]
    by_day = (await client.get(where, params={"by": "day", "days": 1})).json()["items"]
    assert ([one["key"] for one in by_project], [one["key"] for one in by_day]) == (
        ["acme-cashbox"],
        [now.date().isoformat()],
    )
    assert (await client.get(where, params={"days": 0})).status_code == 422


@pytest.fixture
def app(app: FastAPI) -> FastAPI:
    # Until the application itself includes them.
    paths = {getattr(route, "path", "") for route in app.routes}
    for module in (prompt_experiments, prompt_usage):
        if module.router.routes[0].path not in paths:
            app.include_router(module.router)
    return app
