"""A prompt that could never be rendered is refused when it is saved, with the place, and the stored one stays."""

from dataclasses import replace

import pytest

from contexten_core.db import Database
from contexten_core.prompts.spec import PromptSpec, TemplateSpec, VariableSpec, VariableType
from contexten_core.prompts.templates.render import TemplateError
from contexten_core.prompts.versions import resolve_reference, save_spec

SPEC = PromptSpec(slug="review", name="Review", template="Review it.", executor_config={"command": "make"})


async def save(database: Database, spec: PromptSpec) -> None:
    async with database.transaction() as session:
        await save_spec(session, spec, author="ann", message="Why")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (replace(SPEC, template="a\n{{ titel }}"), "review (template), line 2, column 4: "),
        (replace(SPEC, template="{% if x %}"), "review (template), line 1"),
        (replace(SPEC, system_prompt="{{ ''.__class__ }}"), "review (system_prompt), line 1"),
        (replace(SPEC, templates=(TemplateSpec("go", "{{ event.titel }}"),)), "event.title"),
        (replace(SPEC, variables={"n": VariableSpec(VariableType.INTEGER, source="event.nummer")}), "variables.n"),
        (replace(SPEC, template='{% include "review@latest" %}'), "review"),
    ],
    ids=["undeclared", "syntax", "attribute", "field", "source", "itself"],
)
async def test_what_cannot_be_rendered_is_not_saved(database: Database, spec: PromptSpec, said: str) -> None:
    await save(database, SPEC)

    with pytest.raises(TemplateError) as caught:
        await save(database, spec)

    assert said in caught.value.message
    async with database.reading() as session:
        found = await resolve_reference(session, "review", "latest")
    assert found is not None
    assert (found[1].version, found[1].content["template"]) == (1, "Review it.")


async def test_prompts_that_include_each_other_in_a_circle_are_not_saved(database: Database) -> None:
    other = replace(SPEC, slug="other", template='{% include "review" %}')
    await save(database, other)

    with pytest.raises(TemplateError) as caught:
        await save(database, replace(SPEC, template='See {% include "other" %}'))

    assert "review > other > review" in caught.value.message
