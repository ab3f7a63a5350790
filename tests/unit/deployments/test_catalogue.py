"""The catalogue names every deployment once, and `prefect.yaml` says the same."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow

from contexten_core.errors import UnknownFlowError
from deployments.catalogue import CATALOGUE, LEARNING, LIFECYCLE, MAINTENANCE, WORK_POOL, Workflow, find

ROOT = Path(__file__).resolve().parents[3]
WORKFLOWS = pytest.mark.parametrize("workflow", CATALOGUE, ids=lambda workflow: workflow.full_name)


def test_prefect_yaml_describes_exactly_the_catalogue() -> None:
    described = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    assert described["name"] == "contexten"
    assert described["deployments"] == [as_prefect_describes(workflow) for workflow in CATALOGUE]
    assert set(described) == {"name", "deployments"}, "a build, push or pull step would need our files on the worker"


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
    assert caught.value.hint == "the known flows are: lifecycle, learning, maintenance"


def test_the_names_that_users_rely_on() -> None:
    names = [workflow.full_name for workflow in (LIFECYCLE, LEARNING, MAINTENANCE)]
    assert names == ["lifecycle/webhook", "learning/scheduled", "maintenance/scheduled"]
    assert WORK_POOL == "contexten"


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
