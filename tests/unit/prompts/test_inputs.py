"""What prompts may be given: variables, limits, outputs, and what their executors take."""

import pickle
from copy import deepcopy
from typing import Any

import pytest

from contexten_core.errors import InvalidInputError
from contexten_core.inputs import checked
from contexten_core.prompts.inputs import PromptCreate, PromptUpdate, check_spec, default_problem, executor_problem
from contexten_core.prompts.models import Executor
from contexten_core.prompts.spec import PromptSpec, VariableSpec, VariableType

A_PROMPT = {"name": "Checks", "prompt_type": "testing", "template": "Run {{ title }}"}


def columns(**given: Any) -> dict[str, Any]:
    return checked(PromptCreate, A_PROMPT | given).columns()


def test_a_variable_is_its_type_or_more() -> None:
    given = {"title": "string", "files": {"type": "list", "source": "change.paths", "default": [], "required": True}}

    assert columns(variables=given)["variables"] == {"title": {"type": "string"}, "files": given["files"]}
    assert columns(variables=None)["variables"] is None
    assert "variables" not in columns()


def test_limits_hold_time_output_money_tokens_hosts_memory_and_processes() -> None:
    limits = {
        "wall_seconds": 60.0,
        "output_bytes": 1_000,
        "max_cost": 0.5,
        "max_tokens": 20_000,
        "network": ["pypi.org", "*.pythonhosted.org", "localhost", "127.0.0.1"],
        "memory_bytes": 2**30,
        "processes": 50,
    }

    assert columns(limits=limits)["limits"] == limits
    assert columns(limits={"max_cost": 0})["limits"] == {"max_cost": 0}


def test_outputs_say_how_much_of_what() -> None:
    outputs = {"comment": {}, "labels": {"most": 3, "labels": ["bug", "flaky"]}, "patch": {"paths": ["docs/**"]}}

    assert columns(outputs=outputs)["outputs"] == outputs


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"variables": {"title": "text"}}, "variables.title.type"),
        ({"variables": {"a b": "string"}}, "variables.a b.[key]"),
        ({"variables": {"__class__.x": "string"}}, "variables.__class__.x.[key]"),
        ({"variables": {"title": 5}}, "variables.title"),
        ({"variables": {"title": {"kind": "string"}}}, "variables.title.kind"),
        ({"variables": {"title": {"source": "event..title"}}}, "variables.title.source"),
        ({"variables": {"limit": {"type": "integer", "default": "3"}}}, "variables.limit.default"),
        ({"variables": {f"v{number}": "string" for number in range(201)}}, "variables"),
        ({"variables": {"limit": "integer"}, "default_values": {"limit": True}}, "default_values"),
        ({"default_values": {"limit": [{"a": 1e19}]}}, "default_values"),
        ({"limits": {"max_cost": -1}}, "limits.max_cost"),
        ({"limits": {"max_tokens": 0}}, "limits.max_tokens"),
        ({"limits": {"processes": 0}}, "limits.processes"),
        ({"limits": {"memory_bytes": 2**50}}, "limits.memory_bytes"),
        *(
            ({"limits": {"network": [host]}}, "limits.network.0")
            for host in ("", "*", "https://pypi.org", "pypi.org:443", "a.*.org", "*pypi.org", "PyPI.org", "a b", "x\n")
        ),
        ({"outputs": {"email": {}}}, "outputs.email.[key]"),
        ({"outputs": {"comment": {"most": 0}}}, "outputs.comment.most"),
        ({"outputs": {"labels": {"labels": [""]}}}, "outputs.labels.labels.0"),
        ({"executor_config": {"command": "'unclosed"}}, "executor_config.command"),
        ({"executor_config": {"model": ""}}, "executor_config.model"),
        ({"executor_config": {"max_turns": 0}}, "executor_config.max_turns"),
        *(
            ({"executor_config": {"agent": name}}, "executor_config.agent")
            for name in ("", "https://agent.example/run", "../acme", 5)
        ),
        ({"executor_config": {"labels": {"set": ["bug"]}}}, "executor_config.labels.set"),
        ({"executor_config": {"prompt_by": "argument"}}, "executor_config.prompt_by"),
        ({"executor_config": {"environment": {"A-B": "x"}}}, "executor_config.environment.A-B.[key]"),
        ({"executor_config": {"of_our_own": [1e19]}}, "executor_config.of_our_own"),
        *(
            ({"executor": name}, "executor")
            for name in ("", "Acme", "acme/agent", "acme.agent", "x" * 65, "acme\n", 5, None)
        ),
    ],
)
def test_what_is_wrong_is_refused_by_its_name(given: dict[str, Any], field: str) -> None:
    for model, valid in ((PromptCreate, A_PROMPT), (PromptUpdate, {})):
        with pytest.raises(InvalidInputError) as caught:
            checked(model, valid | given)
        assert list(caught.value.fields) == [field]


@pytest.mark.parametrize(
    ("executor", "config", "problem"),
    [
        (Executor.COMMAND, {"command": "make"}, None),
        (Executor.COMMAND, {}, 'the command executor needs {"command": "..."}'),
        (Executor.COMMAND, {"command": "make", "model": "x"}, "the command executor takes no model"),
        (Executor.AGENT, {"command": ["agent", "--print"]}, None),
        (Executor.AGENT, {}, 'the agent executor needs {"command": "..."}'),
        (Executor.AGENT, {"prompt_by": "file"}, 'the agent executor needs {"command": "..."}'),
        (Executor.HTTP, {"agent": "acme"}, None),
        (Executor.HTTP, {}, 'the http executor needs {"agent": "..."}'),
        (Executor.REPLY, {}, None),
        (Executor.REPLY, {"labels": {"add": ["welcome"]}}, None),
        (Executor("acme-agent"), {"whatever": 1}, None),
        (Executor.LLM, {}, None),
        (Executor.LLM, {"model": "openai:gpt-5", "max_turns": 5}, None),
        (Executor.LLM, {"agent": "x", "command": "x"}, "the llm executor takes no agent, command"),
    ],
)
def test_each_executor_takes_its_own(executor: Executor, config: dict[str, Any], problem: str | None) -> None:
    assert executor_problem(executor, config) == problem


def test_the_name_of_an_executor_is_open_and_our_own_are_always_the_same() -> None:
    assert Executor("command") is Executor.COMMAND
    assert deepcopy(Executor.LLM) is Executor.LLM
    assert pickle.loads(pickle.dumps(Executor.HTTP)) is Executor.HTTP
    assert Executor("acme-agent") == "acme-agent"
    for name in ("", "Acme", "a.b", "acme\n", "1a", "x" * 65):
        with pytest.raises(ValueError, match="no name of an executor"):
            Executor(name)


def test_an_executor_of_a_teams_own_takes_what_it_knows() -> None:
    given = columns(executor="acme-agent", executor_config={"effort": "high", "tools": ["a"], "command": "x"})

    assert given["executor"].value == "acme-agent"
    assert given["executor_config"] == {"effort": "high", "tools": ["a"], "command": "x"}


@pytest.mark.parametrize("kind", VariableType)
def test_a_default_has_the_type_of_its_variable_or_is_none(kind: VariableType) -> None:
    examples: dict[VariableType, list[Any]] = {
        VariableType.STRING: ["", "x"],
        VariableType.INTEGER: [0, 5],
        VariableType.NUMBER: [0, 1.5],
        VariableType.BOOLEAN: [True, False],
        VariableType.LIST: [[], [1]],
        VariableType.OBJECT: [{}, {"a": 1}],
    }
    fit = {type(example) for example in examples[kind]}

    for value in (value for values in examples.values() for value in values):
        assert (default_problem(kind, value) is None) == (type(value) in fit)
    assert default_problem(kind, None) is None


def test_only_a_change_says_what_it_starts_from() -> None:
    changes = checked(PromptUpdate, {"template": "x", "expected_version": 3})

    assert (changes.expected_version, changes.columns()) == (3, {"template": "x"})
    with pytest.raises(InvalidInputError, match="expected_version"):
        checked(PromptUpdate, {"expected_version": 0})


def test_a_spec_is_checked_under_its_own_names() -> None:
    check_spec(PromptSpec("checks", "Checks", "Run them", variables={"title": VariableSpec()}))
    with pytest.raises(InvalidInputError) as caught:
        check_spec(PromptSpec("checks", "", "", executor=Executor.HTTP, executor_config={"command": "x"}))

    assert set(caught.value.fields) == {"name", "template", "executor_config"}
