"""A prompt's text for one event: which template, what it includes, and the values of its variables."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from contexten_core.db import Database
from contexten_core.prompts.spec import PromptSpec, TemplateSpec, VariableSpec, VariableType
from contexten_core.prompts.templates.instruction import Rendered, pick_template, prepare, render_prompt
from contexten_core.prompts.templates.render import Renderer, TemplateError
from contexten_core.prompts.versions import save_spec

FIELDS: dict[str, Any] = {
    "event": {"type": "issues", "title": "It {{ fails }}", "text": None, "number": 7, "links": ("a", "b")},
    "project": {"slug": "acme-cashbox", "name": "acme/cashbox"},
}
WITHOUT_QUERIES = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)
"""Of tests that include nothing, one kind of database is enough."""

SPEC = PromptSpec(slug="fix", name="Fix", template="Fix {{ event.title }}.")
STYLE = PromptSpec(
    slug="style",
    name="Style",
    template="Be {{ tone }}.",
    variables={"tone": VariableSpec(default="brief")},
    templates=(TemplateSpec("python", "Follow PEP 8.", language="python"),),
)


class Desk:
    """A database with prompts, and somebody who renders them."""

    def __init__(self, database: Database, renderer: Renderer) -> None:
        self._database = database
        self._renderer = renderer

    async def save(self, *specs: PromptSpec) -> None:
        async with self._database.transaction() as session:
            for spec in specs:
                await save_spec(session, spec, author="mara", message="Say it")

    async def render(
        self, spec: PromptSpec, *, language: str | None = None, context_type: str | None = "issues", **fields: Any
    ) -> Rendered:
        async with self._database.reading() as session:
            return await render_prompt(
                session, self._renderer, spec, FIELDS | fields, language=language, context_type=context_type
            )

    async def refused(self, spec: PromptSpec, **fields: Any) -> TemplateError:
        with pytest.raises(TemplateError) as caught:
            await self.render(spec, **fields)
        return caught.value

    async def paths(self, spec: PromptSpec) -> frozenset[str]:
        async with self._database.reading() as session:
            return (await prepare(session, spec, language=None, context_type=None)).paths


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    async with Renderer() as renderer:
        yield Desk(database, renderer)


def chain(length: int) -> list[PromptSpec]:
    """Return prompts of which each includes the next."""
    names = [f"p{number}" for number in range(length)]
    texts = [*(f"{{% include '{name}' %}}" for name in names[1:]), "the end"]
    return [PromptSpec(slug=name, name=name, template=text) for name, text in zip(names, texts, strict=True)]


@WITHOUT_QUERIES
async def test_values_come_from_the_event_and_stay_as_they_are(desk: Desk) -> None:
    assert await desk.render(SPEC) == Rendered("Fix It {{ fails }}.")
    spec = replace(SPEC, system_prompt="You work on {{ project.name }}.")
    assert (await desk.render(spec)).system_text == "You work on acme/cashbox."


@WITHOUT_QUERIES
async def test_a_field_that_is_not_known_prints_nothing(desk: Desk) -> None:
    spec = replace(SPEC, template="[{{ event.text }}{{ change.files }}{{ codebase.primary_language | default('?') }}]")
    assert (await desk.render(spec)).text == "[?]"


@WITHOUT_QUERIES
async def test_variables_take_their_sources_value_or_their_default(desk: Desk) -> None:
    variables = {
        "number": VariableSpec(type=VariableType.INTEGER, source="event.number"),
        "links": VariableSpec(type=VariableType.LIST, source="event.links"),
        "text": VariableSpec(source="event.text", default="no text"),
        "depth": VariableSpec(type=VariableType.OBJECT, default={"most": 3}),
        "absent": VariableSpec(source="event.text"),
    }
    text = "{{ number + 1 }} {{ links | join(' ') }} {{ text }} {{ depth.most }} [{{ absent }}]"
    assert (await desk.render(replace(SPEC, template=text, variables=variables))).text == "8 a b no text 3 []"


@WITHOUT_QUERIES
@pytest.mark.parametrize(
    ("variable", "problem"),
    [
        (
            VariableSpec(type=VariableType.INTEGER, source="event.title"),
            "the value of the variable x, from event.title, is a text 'It {{ fails }}', and has to be an integer",
        ),
        (
            VariableSpec(type=VariableType.STRING, source="event.number"),
            "the value of the variable x, from event.number, is an integer 7, and has to be a text",
        ),
        (
            VariableSpec(type=VariableType.BOOLEAN, default="yes"),
            "the value of the variable x, from its default, is a text 'yes', and has to be a boolean",
        ),
        (
            VariableSpec(source="event.text", required=True),
            "the variable x needs a value, and event.text has none for this event",
        ),
    ],
)
async def test_a_value_of_another_type_or_none_where_one_is_needed_is_an_error(
    desk: Desk, variable: VariableSpec, problem: str
) -> None:
    error = await desk.refused(replace(SPEC, template="a\n{{ x }}", variables={"x": variable}))
    assert error.message == f"fix, line 2, column 4: {problem}"


@WITHOUT_QUERIES
async def test_an_undeclared_variable_is_an_error_even_where_it_would_not_be_printed(desk: Desk) -> None:
    error = await desk.refused(replace(SPEC, template="{% if false %}{{ titel }}{% endif %}"))
    assert error.message == "fix, line 1, column 18: there is no variable titel; declare it among the variables"
    assert "did you mean event.title?" in (await desk.refused(replace(SPEC, template="{{ event.titel }}"))).message


@WITHOUT_QUERIES
async def test_an_unused_variable_needs_no_value(desk: Desk) -> None:
    spec = replace(SPEC, variables={"x": VariableSpec(source="event.text", required=True)})
    assert (await desk.render(spec)).text == "Fix It {{ fails }}."


async def test_included_prompts_bring_their_variables_and_templates(desk: Desk) -> None:
    await desk.save(STYLE)
    spec = replace(SPEC, template="Fix it. {% include 'style@latest' %}")
    assert await desk.render(spec) == Rendered("Fix it. Be brief.", versions=("style@1",))
    assert (await desk.render(spec, language="Python")).text == "Fix it. Follow PEP 8."

    told = replace(spec, variables={"tone": VariableSpec(default="kind")})
    assert (await desk.render(told)).text == "Fix it. Be kind."


async def test_included_prompts_that_declare_one_variable_differently_are_refused(desk: Desk) -> None:
    await desk.save(STYLE, replace(STYLE, slug="mood", name="Mood", variables={"tone": VariableSpec(default="dry")}))
    spec = replace(SPEC, template="{% include 'style' %}{% include 'mood' %}")
    assert "declare the variable tone differently" in (await desk.refused(spec)).problem
    settled = replace(spec, variables={"tone": VariableSpec(default="kind")})
    assert (await desk.render(settled)).text == "Be kind.Be kind."


async def test_a_version_is_included_by_its_number(desk: Desk) -> None:
    await desk.save(STYLE, replace(STYLE, template="Be long."))
    for reference, text in (("style@1", "Be brief."), ("style@2", "Be long."), ("style", "Be long.")):
        assert (await desk.render(replace(SPEC, template=f"{{% include '{reference}' %}}"))).text == text


async def test_includes_in_a_circle_are_refused_with_the_whole_way(desk: Desk) -> None:
    await desk.save(
        PromptSpec(slug="a", name="A", template="\n{% include 'b@latest' %}"),
        PromptSpec(slug="b", name="B", template="{% include 'fix' %}"),
    )
    error = await desk.refused(replace(SPEC, template="{% include 'a' %}"))
    assert error.message == "b@latest, line 1, column 4: includes go in a circle: fix > a > b > fix"


async def test_includes_go_only_so_deep(desk: Desk) -> None:
    await desk.save(*chain(6))
    assert (await desk.render(replace(SPEC, template="{% include 'p1' %}"))).text == "the end"
    assert "more than 5 deep" in (await desk.refused(replace(SPEC, template="{% include 'p0' %}"))).problem


async def test_only_so_many_prompts_are_included(desk: Desk) -> None:
    await desk.save(*(PromptSpec(slug=f"p{number}", name="p", template="a") for number in range(21)))
    text = "".join(f"{{% include 'p{number}' %}}" for number in range(21))
    assert (await desk.refused(replace(SPEC, template=text))).problem == "more than 20 prompts are included in all"


@pytest.mark.parametrize("reference", ["nobody", "style@staging", "style@9", "No Slug!"])
async def test_what_is_not_there_cannot_be_included(desk: Desk, reference: str) -> None:
    await desk.save(STYLE)
    error = await desk.refused(replace(SPEC, template=f"\n{{% include '{reference}' %}}"))
    assert (error.template, error.line) == ("fix", 2)
    assert reference in error.problem


async def test_what_a_prompt_needs_to_know_is_known_before_it_is_rendered(desk: Desk) -> None:
    await desk.save(replace(STYLE, template="{{ change.paths | join }}{{ tone }}"))
    variables = {
        "language": VariableSpec(source="codebase.primary_language"),
        "unused": VariableSpec(source="event.url"),
    }
    spec = replace(SPEC, template="{{ event.title }}{{ language }}{% include 'style' %}", variables=variables)
    assert await desk.paths(spec) == {"event.title", "codebase.primary_language", "change.paths"}


@pytest.mark.parametrize(
    ("language", "context_type", "picked"),
    [
        ("Python", "push", "python"),
        ("python", "pull_request", "both"),
        ("Go", "pull_request", "pull"),
        ("Go", "push", "other"),
        (None, None, "other"),
    ],
)
def test_the_template_that_fits_is_picked(language: str | None, context_type: str | None, picked: str) -> None:
    spec = replace(
        SPEC,
        templates=(
            TemplateSpec("python", "", language="python"),
            TemplateSpec("pull", "", context_type="pull_request"),
            TemplateSpec("both", "", language="python", context_type="pull_request"),
            TemplateSpec("other", "", is_default=True),
            TemplateSpec("nothing", "", priority=9),
        ),
    )
    found = pick_template(spec, language=language, context_type=context_type)
    assert found is not None
    assert found.name == picked
    without = replace(spec, templates=spec.templates[:3])
    assert picked != "other" or pick_template(without, language=language, context_type=context_type) is None


def test_priority_decides_between_templates_that_fit() -> None:
    templates = (
        TemplateSpec("a", "", language="python", context_type="push"),
        TemplateSpec("b", "", language="python", priority=1),
    )
    found = pick_template(replace(SPEC, templates=templates), language="python", context_type="push")
    assert found is not None
    assert found.name == "b"
