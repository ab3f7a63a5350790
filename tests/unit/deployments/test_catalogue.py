"""The catalogue names every deployment once, and `prefect.yaml` says the same, for other work pools too."""

import json
from pathlib import Path
from typing import Any

import prefect
import pytest
import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped] # no stubs in dev
from prefect import Flow

from contexten_core.errors import UnknownFlowError
from deployments.catalogue import BURST, CATALOGUE, LEARNING, LIFECYCLE, MAINTENANCE, WORK_POOL, Workflow, find
from tests.unit.known_names import setting_names

ROOT = Path(__file__).resolve().parents[3]
WORKER_TYPES = Path("server/api/collections_data/views/aggregate-worker-metadata.json")
WORKFLOWS = pytest.mark.parametrize("workflow", CATALOGUE, ids=lambda workflow: workflow.full_name)


def test_prefect_yaml_describes_exactly_the_catalogue(described: dict[str, Any]) -> None:
    assert described["name"] == "contexten"
    assert described["deployments"] == [as_prefect_describes(workflow) for workflow in CATALOGUE]


def test_prefect_yaml_needs_none_of_our_files_on_a_worker(described: dict[str, Any]) -> None:
    assert set(described) == {"name", "pull", "deployments", "definitions"}, "no build or push step"
    assert described["pull"] == [], "without the key, Prefect adds a step that enters the folder of whoever deployed"


def test_prefect_yaml_shows_the_same_flows_on_other_pools(described: dict[str, Any]) -> None:
    for elsewhere in described["definitions"]:
        workflow = find(elsewhere["flow_name"])
        ours = as_prefect_describes(workflow)
        assert {**elsewhere, **{key: ours[key] for key in ("name", "work_pool", "schedules")}} == ours
        assert elsewhere["schedules"] == [], "our worker registers its own, and what runs twice is wrong"
        assert elsewhere["name"] not in {each.deployment for each in CATALOGUE}, "our worker registers those anew"
        assert elsewhere["work_pool"]["name"] == f"{WORK_POOL}-{elsewhere['name']}"
    shown = {(each["flow_name"], each["name"]) for each in described["definitions"]}
    assert shown >= {("lifecycle", pool) for pool in ("process", "docker", "kubernetes")}


def test_job_variables_are_those_of_the_pool_types(described: dict[str, Any]) -> None:
    for elsewhere in described["definitions"]:
        given = elsewhere["work_pool"].get("job_variables", {})
        known = job_variables(elsewhere["name"])
        assert set(given) <= set(known["properties"])
        Draft202012Validator(known).validate(given)


def test_job_variables_hold_settings_and_no_secret(described: dict[str, Any]) -> None:
    for elsewhere in described["definitions"]:
        given = elsewhere["work_pool"].get("job_variables", {}).get("env", {})
        assert {name: setting_names()[name] for name in given} == dict.fromkeys(given, False)
    assert "prefect.blocks" not in (ROOT / "prefect.yaml").read_text(encoding="utf-8")


def test_names_are_used_once() -> None:
    assert len({workflow.name for workflow in CATALOGUE}) == len(CATALOGUE)
    assert len({workflow.full_name for workflow in CATALOGUE}) == len(CATALOGUE)


@WORKFLOWS
def test_every_entrypoint_is_the_flow_of_that_name(workflow: Workflow) -> None:
    flow = workflow.load()
    assert isinstance(flow, Flow)
    assert flow.name == workflow.name


@WORKFLOWS
def test_a_flow_leaves_retries_and_results_to_our_own_records(workflow: Workflow) -> None:
    flow = workflow.load()
    assert (flow.retries, flow.persist_result) == (0, False)


@WORKFLOWS
def test_a_workflow_is_found_by_its_name_and_by_that_of_its_deployment(workflow: Workflow) -> None:
    assert find(workflow.name) is workflow
    assert find(workflow.full_name) is workflow


@pytest.mark.parametrize("name", ["", "deploying", "webhook", "lifecycle/scheduled", "Lifecycle"])
def test_an_unknown_name_is_answered_with_the_known_ones(name: str) -> None:
    with pytest.raises(UnknownFlowError) as caught:
        find(name)
    assert repr(name) in caught.value.message
    assert caught.value.hint == "the known flows are: lifecycle, burst, learning, maintenance"


def test_the_names_that_users_rely_on() -> None:
    names = [workflow.full_name for workflow in (LIFECYCLE, BURST, LEARNING, MAINTENANCE)]
    assert names == ["lifecycle/webhook", "burst/backlog", "learning/scheduled", "maintenance/scheduled"]
    assert WORK_POOL == "contexten"


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    return loaded


def job_variables(worker_type: str) -> dict[str, Any]:
    """Return what deployments on a pool of this type may set, as the installed Prefect knows it."""
    collections = json.loads((Path(prefect.__file__).parent / WORKER_TYPES).read_text(encoding="utf-8"))
    types = {name: worker for collection in collections.values() for name, worker in collection.items()}
    variables: dict[str, Any] = types[worker_type]["default_base_job_configuration"]["variables"]
    return variables


def as_prefect_describes(workflow: Workflow) -> dict[str, Any]:
    schedules = [] if workflow.cron is None else [{"cron": workflow.cron, "timezone": "UTC"}]
    return {
        "name": workflow.deployment,
        "flow_name": workflow.name,
        "entrypoint": workflow.entrypoint,
        "description": workflow.description,
        "tags": list(workflow.tags),
        "schedules": schedules,
        "work_pool": {"name": WORK_POOL},
    }
