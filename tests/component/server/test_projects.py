"""Settings of projects, of which the secret ones are written and never shown."""

import httpx
from sqlalchemy import select

from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.projects.change import project_config
from contexten_core.projects.models import ProjectConfigModel
from contexten_core.security.encryption import open_vault


async def test_a_setting_is_set_changed_and_removed(client: httpx.AsyncClient) -> None:
    project = (await client.post("/api/projects", json={"name": "Shop"})).json()
    where = f"/api/projects/{project['id']}/config"
    setting = {"config_type": "github", "config_key": "api_url", "config_value": "https://one.example"}
    first = (await client.put(where, json=setting)).json()
    second = (await client.put(where, json=setting | {"config_value": ["two", 2]})).json()
    assert first["id"] == second["id"]
    assert (second["config_value"], second["previous_value"]) == (["two", 2], "https://one.example")
    assert (await client.get(where)).json()["items"] == [second]
    other = (await client.post("/api/projects", json={"name": "Other"})).json()
    assert (await client.delete(f"/api/projects/{other['id']}/config/{first['id']}")).status_code == 404
    assert (await client.delete(f"{where}/{first['id']}")).status_code == 204
    assert (await client.get(where)).json()["items"] == []


async def test_a_secret_setting_is_never_shown(client: httpx.AsyncClient, orchestrator: SystemOrchestrator) -> None:
    project = (await client.post("/api/projects", json={"name": "Shop"})).json()
    where = f"/api/projects/{project['id']}/config"
    setting = {"config_type": "registry", "config_key": "password", "is_encrypted": True}
    for value in ("hunter2", "hunter3"):
        answer = await client.put(where, json=setting | {"config_value": value})
        assert answer.json()["config_value"] is None
        assert answer.json()["previous_value"] is None
    assert (await client.get(where)).json()["items"][0]["config_value"] is None
    async with orchestrator.database.reading() as session:
        row = (await session.execute(select(ProjectConfigModel))).scalar_one()
        assert "hunter" not in str(row.config_value)
        config = await project_config(session, open_vault(orchestrator.settings), row.project_id)
    assert config == {("registry", "password"): "hunter3"}


async def test_settings_of_no_project_are_not_found(client: httpx.AsyncClient) -> None:
    where = "/api/projects/3f0c1f1e-6a7b-4c8d-9e0f-1a2b3c4d5e6f/config"
    assert (await client.get(where)).status_code == 404
    setting = {"config_type": "a", "config_key": "b", "config_value": 1}
    assert (await client.put(where, json=setting)).status_code == 404
