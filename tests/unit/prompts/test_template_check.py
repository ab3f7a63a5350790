"""What is wrong with templates and variables is found before anything is rendered, with its place."""

from dataclasses import replace

import pytest

from contexten_core.prompts.fields import FIELDS, root_of
from contexten_core.prompts.spec import PromptSpec, TemplateSpec, VariableSpec, VariableType
from contexten_core.prompts.templates.check import PartProblem, check_prompt, mistyped
from contexten_core.prompts.templates.language import NAMESPACES
from contexten_core.prompts.templates.render import Problem, check_template, includes_in, names_in

TEXT = """Review {{ event.title | upper }} by {{ event['actor'] or 'nobody' }}.
{% for path in change.paths[:5] %}
{{ loop.index }}. {{ path ~ suffix }}
{% endfor %}
{% set tone = style.tone %}{{ tone }}
{% include "house-style@production" %}{% include "tone" %}{% include "tone" %}
"""
SPEC = PromptSpec(slug="review", name="Review", template="{{ title }}", variables={"title": VariableSpec()})


def test_names_are_the_paths_that_a_template_uses_but_not_what_it_sets_itself() -> None:
    assert names_in(TEXT) == {"event.title", "event.actor", "change.paths", "suffix", "style.tone"}
    assert names_in("no tags at all") == frozenset()


def test_includes_are_its_references_in_order() -> None:
    assert includes_in(TEXT) == ("house-style@production", "tone")


def test_every_field_can_be_used() -> None:
    assert {root_of(path) for path in FIELDS} == NAMESPACES
    assert check_template("t", "\n".join(f"{{{{ {path} }}}}" for path in FIELDS), declared=()) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a\n{{ event.titel }}", Problem("there is no field event.titel; did you mean event.title?", 2, 4)),
        ("{{ event.title.text }}", Problem("there is no field event.title.text; did you mean event.title?", 1, 4)),
        ("{{ event }}", Problem("event is a group of fields; name one of them, such as event.title", 1, 4)),
        ("{{ titel }}", Problem("there is no variable titel; did you mean title?", 1, 4)),
        ("{{ zzz }}", Problem("there is no variable zzz; declare it among the variables", 1, 4)),
        (
            "{% if 1 %}{% set a = 1 %}{% endif %}{{ a }}{{ b }}{% set b = 1 %}",
            Problem("there is no variable b; declare it among the variables", 1, 47),
        ),
        (
            "{% for a in title %}{% endfor %}\n{{ a }}",
            Problem("there is no variable a; declare it among the variables", 2, 4),
        ),
        (
            "{% include 'no such' %}",
            Problem("'no such' is no reference to a prompt, such as house-style@production", 1, 4),
        ),
        ("{% include 'review@3' %}", Problem("review includes itself", 1, 4)),
        ("{{ title | uper }}", Problem("there is no filter uper; did you mean upper?", 1, 12)),
    ],
)
def test_a_mistake_is_told_with_its_place_and_what_was_meant(text: str, problem: Problem) -> None:
    assert check_template("review", text, declared=["title"]) == [problem]


def test_all_mistakes_are_told_in_the_order_of_the_lines() -> None:
    problems = check_template("t", "{{ b }}\n{{ a | no }}\n{% include x %}{{ event.no }}", declared=[])
    assert [problem.line for problem in problems] == [1, 2, 2, 3, 3]


def test_problems_of_a_prompt_say_in_which_part_they_are() -> None:
    spec = replace(
        SPEC,
        template="{{ title }}{{ tilte }}",
        system_prompt="{{ 1 +",
        templates=(TemplateSpec("python", "\n{% macro a() %}{% endmacro %}"),),
    )
    assert [(problem.part, problem.line) for problem in check_prompt(spec)] == [
        ("template", 1),
        ("system_prompt", 1),
        ("templates.python", 2),
    ]


@pytest.mark.parametrize(
    ("name", "variable", "said"),
    [
        ("event", VariableSpec(), "has a meaning in every template"),
        ("loop", VariableSpec(), "has a meaning in every template"),
        ("_a", VariableSpec(), "begins with a letter"),
        ("a b", VariableSpec(), "begins with a letter"),
        ("not", VariableSpec(), "begins with a letter"),
        ("a", VariableSpec(source="event.titel"), "there is no field event.titel; did you mean event.title?"),
        ("a", VariableSpec(source="payload.secret"), "there is no field payload.secret"),
        (
            "a",
            VariableSpec(type=VariableType.INTEGER, default="3"),
            "its default is a text '3', and has to be an integer",
        ),
        ("a", VariableSpec(required=True), "neither a source nor a default"),
    ],
)
def test_what_is_wrong_with_a_variable_is_said(name: str, variable: VariableSpec, said: str) -> None:
    (problem,) = check_prompt(replace(SPEC, template="a", variables={name: variable}))
    assert problem == PartProblem(f"variables.{name}", problem.message)
    assert said in problem.message


@pytest.mark.parametrize(
    ("kind", "fitting", "others"),
    [
        (VariableType.STRING, ["", "a"], [1, True, ["a"], None]),
        (VariableType.INTEGER, [0, -1], [1.0, True, "1"]),
        (VariableType.NUMBER, [0, 1.5], [True, "1"]),
        (VariableType.BOOLEAN, [True, False], [0, "true"]),
        (VariableType.LIST, [[], ("a",)], ["a", {}]),
        (VariableType.OBJECT, [{}, {"a": 1}], [[], "a"]),
    ],
)
def test_no_type_is_taken_for_another(kind: VariableType, fitting: list[object], others: list[object]) -> None:
    assert [mistyped(kind, value) for value in fitting] == [None] * len(fitting)
    assert None not in [mistyped(kind, value) for value in others]
