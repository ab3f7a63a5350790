"""`.contexten.yaml`: a repository adds prompts for itself and narrows others, and never widens anything."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped] # no stubs in dev

from contexten_core.errors import ConfigurationError
from contexten_core.prompts.conditions import holds
from contexten_core.prompts.files import PromptFileError
from contexten_core.prompts.files.yaml import parse
from contexten_core.prompts.index.index import LivePrompt
from contexten_core.prompts.models import ConditionOperator, Executor, LogicalOperator
from contexten_core.prompts.project_file.narrow import Narrowing, narrowed
from contexten_core.prompts.project_file.power import Power, power_of
from contexten_core.prompts.project_file.read import (
    ProjectFile,
    apply,
    idle_narrowings,
    is_from_file,
    project_schema,
    read_project_file,
)
from contexten_core.prompts.spec import ConditionSpec, OutputSpec, OutputType, PromptSpec

CASHBOX = "Acme/Cashbox"
FILE = """\
prompts:
  - slug: docs
    name: Build the documentation
    when: {event.type: push}
    do: {command: make docs}
    limits: {wall_seconds: 60}
    template: Build the documentation.
narrow:
  review: {enabled: false}
  run-checks:
    limits: {wall_seconds: 300}
    outputs: {comment: {most: 1}}
    when: {event.branch: {not_equals: wip}}
"""
CHECKS = PromptSpec(
    slug="run-checks",
    name="Checks",
    template="Run",
    conditions=(ConditionSpec("event.type", ConditionOperator.EQUALS, "push"),),
    executor_config={"command": "make test"},
    limits={"wall_seconds": 900, "output_bytes": 1000},
    outputs={OutputType.COMMENT: OutputSpec(most=3), OutputType.PATCH: OutputSpec(paths=("docs/**", "src/**"))},
)


def _live(*specs: PromptSpec) -> list[LivePrompt]:
    return [LivePrompt(uuid4(), 1, spec) for spec in specs]


def _read(text: str, *, power: Power | None = None) -> ProjectFile:
    return read_project_file(text, name=".contexten.yaml", repository=CASHBOX, power=power)


def _problem(text: str, *, power: Power | None = None) -> tuple[int, int, str]:
    with pytest.raises(PromptFileError) as caught:
        _read(text, power=power)
    (problem,) = caught.value.problems
    return problem.line, problem.column, problem.message


def _fields(**event: Any) -> dict[str, Any]:
    return {"event": {"type": "push", "branch": "main"} | event, "repository": {"full_name": CASHBOX}}


def test_a_file_adds_prompts_and_narrows_others() -> None:
    central = _live(CHECKS, replace(CHECKS, slug="review"), replace(CHECKS, slug="other"))
    checks, other, docs = apply(central, _read(FILE))

    assert (checks.spec.slug, other, docs.spec.slug) == ("run-checks", central[2], "acme/cashbox/docs")
    assert checks.spec.limits == {"wall_seconds": 300, "output_bytes": 1000}
    assert checks.spec.outputs == {OutputType.COMMENT: OutputSpec(most=1)}
    assert (checks.prompt_id, checks.version) == (central[0].prompt_id, central[0].version)
    assert not is_from_file(checks)
    assert is_from_file(docs)
    assert docs.spec.limits == {"wall_seconds": 60, "output_bytes": 1_048_576, "network": []}


def test_a_narrowed_prompt_needs_both_conditions() -> None:
    checks = apply(_live(CHECKS), _read(FILE))[0].spec

    assert holds(checks.conditions, _fields())
    assert not holds(checks.conditions, _fields(branch="wip"))
    assert not holds(checks.conditions, _fields(type="release"))


def test_an_added_prompt_is_for_its_own_repository_alone() -> None:
    docs = apply([], _read(FILE))[0].spec

    assert holds(docs.conditions, _fields())
    assert not holds(docs.conditions, _fields() | {"repository": {"full_name": "acme/other"}})


def test_an_or_in_a_narrowing_does_not_join_an_or_of_the_prompt() -> None:
    push, tag = (
        ConditionSpec("event.type", ConditionOperator.EQUALS, kind, logical_operator=LogicalOperator.OR)
        for kind in ("push", "create")
    )
    text = "narrow: {run-checks: {when: {any: [{event.branch: main}, {event.branch: next}]}}}"
    conditions = apply(_live(replace(CHECKS, conditions=(push, tag))), _read(text))[0].spec.conditions

    assert holds(conditions, _fields(branch="next"))
    assert not holds(conditions, _fields(branch="main", type="release"))
    assert not holds(conditions, _fields(branch="wip", type="push"))


def test_narrowing_a_prompt_without_conditions_does_not_make_it_apply() -> None:
    unfinished = replace(CHECKS, conditions=())

    assert apply(_live(unfinished), _read(FILE))[0].spec.conditions == ()


def test_what_nobody_knows_is_said() -> None:
    assert idle_narrowings(_live(CHECKS), _read(FILE)) == ["review"]


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}", "prompts: []", "narrow: {}"])
def test_a_file_that_says_nothing_changes_nothing(text: str) -> None:
    central = _live(CHECKS)

    assert apply(central, _read(text)) == central


def test_of_a_file_that_cannot_be_read_no_prompt_is_left() -> None:
    file = ProjectFile.unreadable(CASHBOX, name=".contexten.yaml", problem=".contexten.yaml:3:1: is no YAML")

    assert apply(_live(CHECKS), file) == []


@pytest.mark.parametrize(
    ("line", "column", "message"),
    [
        ("do: {llm: {}}", 15, "a project's own file may not use this executor; it may use command"),
        ("do: {agent: claude -p}", 17, "a project's own file may not use this executor"),
        ("limits: {wall_seconds: 901}", 28, "is more than the 900"),
        ("limits: {output_bytes: 2000000}", 28, "is more than the 1048576"),
        ("limits: {memory_bytes: 5}", 28, "may not set this limit"),
        ("limits: {network: [pypi.org]}", 23, "may not reach pypi.org"),
        ("outputs: {comment: {}}", 24, "may not allow this output"),
        ("version: 3", 5, "have no versions"),
    ],
)
def test_a_prompt_beyond_the_envelope_is_refused_with_its_place(line: str, column: int, message: str) -> None:
    text = f"prompts:\n  - slug: docs\n    name: Docs\n    when: {{event.type: push}}\n    template: x\n    {line}\n"
    found = _problem(text)

    assert found[:2] == (6, column)
    assert message in found[2]


def test_an_added_prompt_says_when_it_applies() -> None:
    assert "`when` is missing" in _problem("prompts: [{slug: a, name: A, template: x}]")[2]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{enabled: true}", "can only be false"),
        ("{priority: 100}", "'priority' is no key here"),
        ("{do: {command: x}}", "'do' is no key here"),
        ("{limits: {wall_seconds: 0}}", "should be greater than 0"),
        ("{outputs: {patch: {paths: [.github/workflows/ci.yml]}}}", "names beginning with a dot cannot be allowed"),
        ("{outputs: {patch: {paths: [docs/.git/**]}}}", "names beginning with a dot cannot be allowed"),
        ("{outputs: {patch: {paths: [AGENTS.md]}}}", "only patterns such as docs/**"),
        ("{when: {event.typ: push}}", "did you mean event.type?"),
    ],
)
def test_what_would_widen_is_refused_with_its_place(line: str, message: str) -> None:
    found = _problem(f"narrow:\n  run-checks: {line}\n")

    assert found[0] == 2
    assert message in found[2]


def test_a_project_may_widen_the_envelope_of_its_own_file() -> None:
    power = power_of(
        {
            "executors": ["command", "llm"],
            "limits": {"wall_seconds": 1800, "network": ["*.pypi.org"], "max_cost": 0.5},
            "outputs": {"labels": {"most": 2, "labels": ["docs", "bug"]}},
        }
    )
    text = """\
prompts:
  - slug: docs
    name: Docs
    when: {event.type: push}
    do: {llm: {}}
    limits: {wall_seconds: 1800, network: [files.pypi.org]}
    outputs: {labels: {most: 1, labels: [docs]}}
    template: x
"""
    (docs,) = _read(text, power=power).prompts

    assert (docs.executor, docs.limits["max_cost"], docs.limits["output_bytes"]) == (Executor.LLM, 0.5, 1_048_576)
    for wider, message in (
        (text.replace("1800,", "1801,"), "is more than the 1800"),
        (text.replace("files.pypi.org", "pypi.org"), "may not reach pypi.org"),
        (text.replace("most: 1", "most: 3"), "is more than the 2"),
        (text.replace("labels: [docs]", "labels: [docs, security]"), "may set no others than docs, bug"),
        (text.replace(", labels: [docs]", ""), "may set no others than docs, bug"),
        (text.replace("{llm: {}}", "{llm: gpt-9}"), "may not configure this executor"),
    ):
        assert message in _problem(wider, power=power)[2]


def test_the_usual_envelope_holds_where_a_project_says_nothing() -> None:
    assert power_of(None) == power_of({}) == Power()
    with pytest.raises(ConfigurationError, match="the project's setting file_power of prompts: executor"):
        power_of({"executor": ["llm"]})


_limits = st.fixed_dictionaries(
    {},
    optional={
        "wall_seconds": st.integers(1, 5000),
        "output_bytes": st.integers(1, 5_000_000),
        "max_cost": st.integers(0, 5),
        "network": st.lists(st.sampled_from(["a.org", "b.org", "*.a.org", "x.a.org"]), unique=True),
    },
)
_outputs = st.dictionaries(
    st.sampled_from([OutputType.LABELS, OutputType.COMMENT]),
    st.builds(
        OutputSpec, most=st.integers(1, 5), labels=st.none() | st.lists(st.sampled_from("abc"), unique=True).map(tuple)
    ),
)


def _no_more(narrow: Sequence[str] | None, wide: Sequence[str] | None) -> bool:
    return wide is None or (narrow is not None and set(narrow) <= set(wide))


@settings(deadline=None)
@given(_limits, _outputs, _limits, st.none() | _outputs)
def test_narrowing_never_gives_more(
    limits: dict[str, Any],
    outputs: dict[OutputType, OutputSpec],
    given_limits: dict[str, Any],
    given_outputs: dict[OutputType, OutputSpec] | None,
) -> None:
    spec = replace(CHECKS, limits=limits, outputs=outputs)
    found = narrowed(spec, Narrowing(limits=given_limits, outputs=given_outputs))

    usual = {"wall_seconds": 900, "output_bytes": 1_048_576}
    for name in ("wall_seconds", "output_bytes", "max_cost"):
        before = limits.get(name, usual.get(name, float("inf")))
        assert found.limits.get(name, usual.get(name, float("inf"))) <= before
        if name in limits or name in usual:
            assert found.limits.get(name, before) <= given_limits.get(name, before)
    for host in found.limits.get("network", []):
        assert host in limits["network"] or f"*.{host.partition('.')[2]}" in limits["network"]
    for kind, output in found.outputs.items():
        assert output.most <= outputs[kind].most
        assert _no_more(output.labels, outputs[kind].labels)
        assert given_outputs is None or _no_more(output.labels, given_outputs[kind].labels)


def test_editors_check_the_file_by_its_own_schema() -> None:
    validator = Draft202012Validator(project_schema())
    validator.validate(parse(FILE, name="x").value)

    assert list(validator.iter_errors({"narrow": {"review": {"enabled": True}}}))
