"""A lifecycle on an ordinary Prefect work pool: a process of Prefect's own worker that has the package, and no more."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from contexten_core.settings import Settings
from deployments.attach import attached
from tests.functional.stacks import GitHubProgram, Runs, ServedStack

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

ROOT = Path(__file__).resolve().parents[2]
WORKER_SECONDS = 90


def test_a_process_of_prefects_worker_carries_out_a_lifecycle(
    stack: ServedStack, deployed: dict[str, Any], runs: Runs, github: GitHubProgram, tmp_path: Path
) -> None:
    event_id = runs.passed["event_id"]
    before = len(stack.get(f"/api/events/{event_id}")["runs"])
    flow_run = stack.prefect(
        "POST", f"/deployments/{deployed['id']}/create_flow_run", {"parameters": {"event_id": event_id}}
    )
    pool = deployed["work_pool_name"]
    worker = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", "process", "--run-once"]
    database = attached(Settings(home=stack.home)).db.url
    assert database is not None
    ended = stack.program(
        worker,
        within=WORKER_SECONDS,
        cwd=tmp_path,
        HOME=str(tmp_path),
        TMPDIR=str(tmp_path),
        CONTEXTEN_HOME=str(tmp_path / "home"),
        PREFECT_HOME=str(tmp_path / "prefect"),
        DATABASE_URL=database.get_secret_value(),
        PREFECT_API_URL=stack.urls["prefect_api"],
        PUBLIC_URL=stack.urls["web"],
        DO_NOT_TRACK="1",
    )
    assert ended.code == 0, ended
    assert stack.finished_flow_run(flow_run["id"], within=30)["state_type"] == "COMPLETED", ended
    assert set(stack.task_states(flow_run["id"]).values()) == {"Completed"}
    run = stack.handled(event_id, runs=before + 1)
    assert (run["flow_run_id"], run["conclusion"]) == (flow_run["id"], "success")
    # Our worker, not Prefect's, carries out what waits in the outbox.
    assert [state for state, _ in github.of_run(run, repository="octo/thermometer")] == ["pending", "success"]
    assert len(stack.get(f"/api/events/{event_id}")["runs"]) == before + 1


@pytest.fixture
def deployed(stack: ServedStack) -> Iterator[dict[str, Any]]:
    """`lifecycle/process` as `prefect.yaml` shows it, on a pool of its own."""
    shown = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    (described,) = [each for each in shown["definitions"] if each["name"] == "process"]
    pool = described["work_pool"]["name"]
    stack.prefect("POST", "/work_pools/", {"name": pool, "type": "process"})
    body = {
        "name": described["name"],
        "flow_id": stack.prefect("GET", "/flows/name/lifecycle")["id"],
        "entrypoint": described["entrypoint"],
        "tags": described["tags"],
        "work_pool_name": pool,
        "pull_steps": shown["pull"],
    }
    deployment = stack.prefect("POST", "/deployments/", body)
    yield deployment
    for path in (f"/deployments/{deployment['id']}", f"/work_pools/{pool}"):
        httpx.delete(f"{stack.urls['prefect_api']}{path}", timeout=10, trust_env=False).raise_for_status()
