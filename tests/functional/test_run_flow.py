"""`run_flow()` as a program of a user calls it, on the stack of its home."""

import json
import sys
from typing import Any

import pytest

from tests.functional.stacks import Runs, ServedStack

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

PROGRAM = """
import asyncio, json, sys
from contexten import run_flow
from contexten.run import run_flow_async

def told(result):
    return {"name": result.name, "id": str(result.run_id), "state": result.state, "result": result.result,
            "url": result.url}

def refused(name, **parameters):
    try:
        return told(run_flow(name, **parameters))
    except Exception as error:
        return {"types": [kind.__name__ for kind in type(error).__mro__], "message": str(error),
                "hint": getattr(error, "hint", None)}

async def in_a_loop():
    try:
        run_flow("learning")
    except RuntimeError as error:
        forbidden = str(error)
    result = await run_flow_async("lifecycle", event_id=event_id)
    return {"result": told(result), "forbidden": forbidden}

event_id = sys.argv[1]
json.dump({
    "learning": told(run_flow("learning", limit=100, timeout=60)),
    "full name": told(run_flow("learning/scheduled")),
    "not waited for": told(run_flow("learning", wait=False)),
    "in a loop": asyncio.run(in_a_loop()),
    "unknown": refused("deploying"),
    "wrong type": refused("learning", limit="many"),
    "wrong value": refused("learning", limit=0),
    "no event": refused("lifecycle", event_id="not-an-id"),
    "missing": refused("lifecycle"),
    "surplus": refused("learning", colour="blue"),
    "late": refused("lifecycle", event_id=event_id, timeout=0.01),
}, sys.stdout)
"""


@pytest.fixture(scope="module")
def told(stack: ServedStack, runs: Runs) -> dict[str, Any]:
    answer = stack.program([sys.executable, "-W", "error", "-c", PROGRAM, runs.passed["event_id"]], within=120)
    assert answer.code == 0, answer.err
    told: dict[str, Any] = json.loads(answer.out)
    return told


@pytest.mark.parametrize("name", ["learning", "full name"])
def test_a_flow_of_the_catalogue_runs_by_its_name(stack: ServedStack, told: dict[str, Any], name: str) -> None:
    result = told[name]
    assert (result["name"], result["state"]) == ("learning", "Completed")
    assert result["result"]["outcomes"] >= 3
    assert result["url"] == f"{stack.urls['prefect']}/runs/flow-run/{result['id']}"
    assert stack.prefect("GET", f"/flow_runs/{result['id']}")["state_name"] == "Completed"


def test_without_waiting_the_run_is_scheduled_and_goes_on(stack: ServedStack, told: dict[str, Any]) -> None:
    result = told["not waited for"]
    assert (result["state"], result["result"]) == ("Scheduled", None)
    assert stack.finished_flow_run(result["id"], within=20)["state_type"] == "COMPLETED"


def test_in_a_running_loop_there_is_run_flow_async(told: dict[str, Any], runs: Runs) -> None:
    result = told["in a loop"]["result"]
    assert (result["name"], result["state"]) == ("lifecycle", "Completed")
    assert result["result"]["event_id"] == runs.passed["event_id"]
    assert (result["result"]["conclusion"], result["result"]["flow_run_id"]) == ("success", result["id"])


def test_run_flow_refuses_a_running_loop(told: dict[str, Any]) -> None:
    assert "run_flow_async" in told["in a loop"]["forbidden"]


def test_an_unknown_flow_is_refused_with_the_known_ones(told: dict[str, Any]) -> None:
    assert "UnknownFlowError" in told["unknown"]["types"]
    assert "'deploying'" in told["unknown"]["message"]
    assert told["unknown"]["hint"] == "the known flows are: lifecycle, burst, learning, maintenance"


@pytest.mark.parametrize(
    ("case", "mentioned"),
    [
        ("wrong type", "limit"),
        ("wrong value", "limit"),
        ("no event", "event_id"),
        ("missing", "event_id"),
        ("surplus", "colour"),
    ],
)
def test_parameters_that_do_not_fit_are_refused_by_the_flow(told: dict[str, Any], case: str, mentioned: str) -> None:
    assert {"ParameterTypeError", "SignatureMismatchError", "TypeError"} & set(told[case]["types"]), told[case]
    assert mentioned in told[case]["message"]


def test_a_run_that_takes_too_long_is_given_up_on(told: dict[str, Any]) -> None:
    assert "TimeoutError" in told["late"]["types"]
