"""Prompts written as files and read again."""

import json
import string
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped] # no stubs in dev

from contexten_core.prompts.fields import FIELDS
from contexten_core.prompts.files import (
    diff_specs,
    read_prompt_file,
    read_prompts,
    schema,
    write_prompt_file,
    write_prompts,
)
from contexten_core.prompts.files.yaml import parse
from contexten_core.prompts.inputs import check_spec
from contexten_core.prompts.models import ConditionOperator, Executor, LogicalOperator, PromptType
from contexten_core.prompts.spec import (
    ConditionSpec,
    OutputSpec,
    OutputType,
    PromptSpec,
    TemplateSpec,
    VariableSpec,
    VariableType,
)
from contexten_core.tasks.models import TaskPriority, TaskType

READABLE = """\
prompts:
  - slug: run-checks
    name: Run the checks
    type: testing
    priority: 10
    when:
      event.type: [push, pull_request]
      event.branch: {not_equals: gh-pages}
      any: [{change.languages: {contains: python}}, {event.title: {matches: '(?i)fix'}}]
      groups:
        small:
          any:
            - {change.files: {less_than: 5}}
            - {change.risk: {less_than: 20, name: harmless}}
    do: {command: make test}
    limits: {wall_seconds: 900}
    outputs: {comment: {most: 1}}
    system_prompt: Answer briefly.
    template: |
      Run the checks of {{ title }}.

      Say what failed.
    variables: {title: {type: string, source: event.title}}
    templates:
      - name: go
        language: go
        template: Run go test.
"""
SPEC = PromptSpec(
    slug="run-checks",
    name="Run the checks",
    template="Run the checks of {{ title }}.\n\nSay what failed.\n",
    priority=10,
    conditions=(
        ConditionSpec("event.type", ConditionOperator.IN, ["push", "pull_request"]),
        ConditionSpec("event.branch", ConditionOperator.NOT_EQUALS, "gh-pages"),
        ConditionSpec("change.languages", ConditionOperator.CONTAINS, "python", logical_operator=LogicalOperator.OR),
        ConditionSpec("event.title", ConditionOperator.REGEX_MATCH, "(?i)fix", logical_operator=LogicalOperator.OR),
        ConditionSpec(
            "change.files", ConditionOperator.LESS_THAN, 5, logical_operator=LogicalOperator.OR, group="small"
        ),
        ConditionSpec(
            "change.risk",
            ConditionOperator.LESS_THAN,
            20,
            name="harmless",
            logical_operator=LogicalOperator.OR,
            group="small",
        ),
    ),
    executor_config={"command": "make test"},
    limits={"wall_seconds": 900},
    outputs={OutputType.COMMENT: OutputSpec(most=1)},
    system_prompt="Answer briefly.",
    variables={"title": VariableSpec(source="event.title")},
    templates=(TemplateSpec("go", "Run go test.", language="go"),),
)

_NASTY = st.sampled_from(
    [
        *("yes", "on", "1.10", "2024-01-01", "null", "~", "0o17", "010", "1e3", "-.5", "12:30:45", "<<", "=", "0x1F"),
        *("- a", "a: b", "# no", " lead", "trail ", "\ttab", "a\n b\n", "\n", " \n x", "a\n\n\n", "x\n\ty", "\n\tx"),
        *("'", '"', "{{ x }}", "|", ">", "%", "@x", "!x", "&x", "*x", "\x85", "\u2028", "\ufeff", "é", "😀", "a\r\nb"),
        *("\x1b[0m", "x" * 200),
    ]
)
_text = _NASTY | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=30)
_long = _text | st.lists(_text, min_size=1, max_size=4).map("\n".join)
_numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(-1e15, 1e15)
_scalar = st.none() | st.booleans() | _numbers | _text | st.just("")
_json: st.SearchStrategy[Any] = st.recursive(
    _scalar,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text | st.just(""), inner, max_size=3),
    max_leaves=6,
)
_rank = st.integers(-1_000_000, 1_000_000)
_word = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=8)
_fields = st.sampled_from([*FIELDS, "any", "all", "groups", "x.any"]) | _word.map("mine.{}".format)
_maybe = st.none() | _text


@st.composite
def _conditions(draw: st.DrawFn) -> ConditionSpec:
    operator = draw(st.sampled_from(ConditionOperator))
    expected: st.SearchStrategy[Any] = _json
    if operator in {ConditionOperator.IN, ConditionOperator.NOT_IN}:
        expected = st.lists(_json, max_size=3)
    elif operator in {ConditionOperator.LESS_THAN, ConditionOperator.GREATER_THAN}:
        expected = _numbers
    elif operator is ConditionOperator.REGEX_MATCH:
        expected = st.sampled_from(["(?i)fix", "^yes$", "a|b", "\\d+: "])
    return ConditionSpec(
        field=draw(_fields),
        operator=operator,
        expected=draw(expected),
        name=draw(_maybe),
        logical_operator=draw(st.sampled_from(LogicalOperator)),
        group=draw(st.sampled_from([None, None, "a", "yes", "any", ""])),
        priority=draw(st.just(0) | _rank),
    )


_VALUES: dict[VariableType, st.SearchStrategy[Any]] = {
    VariableType.STRING: _text,
    VariableType.INTEGER: st.integers(-(2**63), 2**63 - 1),
    VariableType.NUMBER: _numbers,
    VariableType.BOOLEAN: st.booleans(),
    VariableType.LIST: st.lists(_json, max_size=2),
    VariableType.OBJECT: st.dictionaries(_text, _json, max_size=2),
}
_variables = st.sampled_from(VariableType).flatmap(
    lambda kind: st.builds(
        VariableSpec,
        type=st.just(kind),
        source=st.none() | st.sampled_from(["event.title", "change.files"]),
        default=st.none() | _VALUES[kind],
        required=st.booleans(),
        description=_maybe,
    )
)
_names = st.none() | st.lists(_text, max_size=3).map(tuple)
_executors: st.SearchStrategy[tuple[Executor, dict[str, Any]]] = st.one_of(
    st.tuples(
        st.just(Executor.COMMAND), st.sampled_from([{}, {"command": "make test"}, {"command": ["a", "yes", "1"]}])
    ),
    st.tuples(st.just(Executor.LLM), st.sampled_from([{}, {"model": "openai:gpt-5"}, {"model": "m", "max_turns": 3}])),
    st.tuples(st.just(Executor.AGENT), st.sampled_from([{}, {"command": "claude -p"}])),
    st.tuples(st.just(Executor.HTTP), st.sampled_from([{}, {"agent": "acme"}])),
    st.tuples(st.just(Executor.REPLY), st.sampled_from([{}, {"labels": {"add": ["welcome"], "remove": []}}])),
    st.tuples(st.just(Executor("acme-agent")), st.sampled_from([{}, {"effort": "high", "tools": ["a", 1, None]}])),
)


@st.composite
def specs(draw: st.DrawFn) -> PromptSpec:
    executor, config = draw(_executors)
    templates = draw(
        st.lists(
            st.builds(
                TemplateSpec,
                name=_text,
                content=_long,
                language=_maybe,
                context_type=_maybe,
                is_default=st.booleans(),
                priority=_rank,
            ),
            max_size=2,
            unique_by=lambda template: template.name,
        )
    )
    return PromptSpec(
        slug=draw(st.sampled_from(["a", "yes", "1.10", "0", "run-checks", "null", "2024-01-01"])),
        name=draw(_text),
        template=draw(_long),
        description=draw(st.none() | _long | st.just("")),
        prompt_type=draw(st.sampled_from(PromptType)),
        category=draw(_maybe),
        subcategory=draw(_maybe),
        tags=draw(st.lists(_text, max_size=2).map(tuple)),
        system_prompt=draw(st.none() | _long),
        variables=draw(st.dictionaries(st.sampled_from(["title", "yes", "_1", "Null"]), _variables, max_size=2)),
        templates=tuple(templates),
        conditions=tuple(draw(st.lists(_conditions(), max_size=6))),
        priority=draw(_rank),
        task_type=draw(st.sampled_from(TaskType)),
        task_priority=draw(st.sampled_from(TaskPriority)),
        executor=executor,
        executor_config=config,
        limits=draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "wall_seconds": st.just(900) | st.just(0.5),
                    "output_bytes": st.just(1000),
                    "network": st.just(["pypi.org"]),
                },
            )
        ),
        outputs=draw(
            st.dictionaries(
                st.sampled_from(OutputType),
                st.builds(OutputSpec, most=st.integers(1, 1000), labels=_names, paths=_names),
                max_size=2,
            )
        ),
    )


def test_a_file_reads_as_the_prompts_it_says() -> None:
    assert read_prompt_file(READABLE, name="checks.yaml") == [SPEC]


def test_a_prompt_is_written_as_people_write_it() -> None:
    assert write_prompt_file([SPEC]) == READABLE


@settings(deadline=None, max_examples=30)
@given(st.lists(specs(), min_size=1, max_size=2, unique_by=lambda spec: spec.slug))
def test_every_prompt_reads_as_it_was_written(written: list[PromptSpec]) -> None:
    for spec in written:
        check_spec(spec)
    text = write_prompt_file(written)
    read = read_prompt_file(text, name="prompts.yaml")

    assert read == written
    assert repr(read) == repr([in_order(spec) for spec in written])
    assert write_prompt_file(read) == text
    Draft202012Validator(schema()).validate(parse(text, name="prompts.yaml").value)


def in_order(spec: PromptSpec) -> PromptSpec:
    """Return a spec with the keys in the order in which they are written."""
    return replace(
        spec,
        variables=dict(sorted(spec.variables.items())),
        limits=dict(sorted(spec.limits.items())),
        outputs=dict(sorted(spec.outputs.items())),
    )


def test_conditions_whose_order_the_short_form_cannot_keep_are_listed() -> None:
    first, second = SPEC.conditions[:2]
    mixed = replace(SPEC, conditions=(replace(first, group="a"), second, replace(first, group="a", name="again")))
    text = write_prompt_file([mixed])

    assert "- {field: event.type, in: [push, pull_request], group: a}\n" in text
    assert read_prompt_file(text, name="x") == [mixed]


def test_a_file_remembers_the_version_that_it_was_made_from() -> None:
    text = write_prompts([SPEC, replace(SPEC, slug="other")], versions={"run-checks": 3})

    assert [(found.spec.slug, found.version) for found in read_prompts(text, name="x")] == [
        ("run-checks", 3),
        ("other", None),
    ]


def test_each_prompt_says_where_it_stands() -> None:
    second = read_prompts(write_prompts([SPEC, replace(SPEC, slug="other")]), name="x")[1]

    assert (second.place.line, second.place.column, second.path) == (28, 5, ("prompts", 1))


def test_a_difference_is_shown_in_the_form_of_the_file() -> None:
    diff = diff_specs(SPEC, replace(SPEC, priority=20, limits={}), names=("live", "mine"))

    assert diff.startswith("--- live\n+++ mine\n")
    assert [line for line in diff.splitlines()[2:] if line[0] in "+-"] == [
        "-    priority: 10",
        "+    priority: 20",
        "-    limits: {wall_seconds: 900}",
    ]
    assert diff_specs(SPEC, SPEC) == ""
    assert diff_specs(None, SPEC).count("\n+") > 20


def test_the_schema_is_one_that_editors_take() -> None:
    Draft202012Validator.check_schema(schema())
    value = parse(READABLE, name="x").value
    validator = Draft202012Validator(schema())
    validator.validate(value)
    mistakes: list[dict[str, Any]] = [
        {"typ": "testing"},
        {"when": {"event.type": {"equal": 1}}},
        {"do": {}},
        {"limits": {"wall": 1}},
    ]
    for wrong in mistakes:
        assert list(validator.iter_errors({"prompts": [value["prompts"][0] | wrong]}))


def test_the_schema_tells_what_each_field_means() -> None:
    assert "how risky the change looks" in json.dumps(schema())


@pytest.mark.parametrize(
    ("written", "executor", "config"),
    [
        ("command: make test", Executor.COMMAND, {"command": "make test"}),
        ("command: [make, test]", Executor.COMMAND, {"command": ["make", "test"]}),
        ("llm: {}", Executor.LLM, {}),
        ('llm: "openai:gpt-5"', Executor.LLM, {"model": "openai:gpt-5"}),
        ("llm: {max_turns: 4}", Executor.LLM, {"max_turns": 4}),
        ("agent: claude -p", Executor.AGENT, {"command": "claude -p"}),
        ("agent: {command: claude -p, prompt_by: file}", Executor.AGENT, {"command": "claude -p", "prompt_by": "file"}),
        ("http: acme", Executor.HTTP, {"agent": "acme"}),
        ("reply: {}", Executor.REPLY, {}),
        ("reply: {labels: {add: [welcome]}}", Executor.REPLY, {"labels": {"add": ["welcome"]}}),
        ("acme-agent: {effort: high}", Executor("acme-agent"), {"effort": "high"}),
    ],
)
def test_what_carries_a_prompt_out(written: str, executor: Executor, config: dict[str, Any]) -> None:
    text = f"prompts: [{{slug: a, name: A, template: x, do: {{{written}}}}}]"
    (spec,) = read_prompt_file(text, name="x")

    assert (spec.executor, spec.executor_config) == (executor, config)
