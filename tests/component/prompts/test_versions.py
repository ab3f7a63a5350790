"""Versions of prompts: kept, found again, restored; two people at once; the head is always the newest version."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import Database
from contexten_core.errors import ConflictError, InvalidInputError, NotFoundError
from contexten_core.inputs import checked
from contexten_core.prompts import store, version_store
from contexten_core.prompts.change import (
    create_prompt_condition,
    create_prompt_template,
    delete_prompt,
    delete_prompt_condition,
    delete_prompt_template,
    update_prompt,
    update_prompt_condition,
    update_prompt_template,
)
from contexten_core.prompts.changes import page_changes
from contexten_core.prompts.head import canonical
from contexten_core.prompts.inputs import (
    PromptConditionCreate,
    PromptConditionUpdate,
    PromptTemplateCreate,
    PromptTemplateUpdate,
    PromptUpdate,
)
from contexten_core.prompts.labels import set_label
from contexten_core.prompts.models import (
    ConditionOperator,
    Executor,
    LogicalOperator,
    PromptChange,
    PromptModel,
    PromptStatus,
    PromptVersionModel,
)
from contexten_core.prompts.spec import (
    ConditionSpec,
    OutputSpec,
    OutputType,
    PromptSpec,
    TemplateSpec,
    VariableSpec,
    VariableType,
    content_of,
    digest_of,
    spec_of,
)
from contexten_core.prompts.versions import (
    Saved,
    get_reference,
    get_version,
    page_versions,
    resolve_reference,
    restore_version,
    save_spec,
    spec_of_prompt,
)
from contexten_core.settings import DatabaseConfig, Settings

SPEC = PromptSpec(
    slug="review",
    name="Review",
    template="Review {{ title }}",
    system_prompt="You are careful.",
    tags=("a", "b"),
    variables={
        "title": VariableSpec(source="event.title", required=True),
        "limit": VariableSpec(VariableType.INTEGER, default=10, description="How many."),
    },
    templates=(TemplateSpec("python", "Use ruff", language="python"), TemplateSpec("go", "Use vet", priority=2)),
    conditions=(
        ConditionSpec("event.type", ConditionOperator.IN, ["pull_request", "push"]),
        ConditionSpec("event.action", ConditionOperator.EQUALS, None, "or nothing", LogicalOperator.OR, "action"),
        ConditionSpec("event.action", ConditionOperator.EQUALS, "opened", None, LogicalOperator.OR, "action", 3),
    ),
    priority=4,
    executor=Executor.LLM,
    executor_config={"model": "openai:gpt-5"},
    limits={"wall_seconds": 60, "max_cost": 0.25},
    outputs={OutputType.COMMENT: OutputSpec(2), OutputType.PATCH: OutputSpec(paths=("docs/**",))},
)


@asynccontextmanager
async def _opened(config: DatabaseConfig) -> AsyncIterator[Database]:
    database = Database(config)
    try:
        yield database
    finally:
        await database.close()


async def save(database: Database, spec: PromptSpec, **given: Any) -> Saved:
    async with database.transaction() as session:
        return await save_spec(session, spec, **{"author": "ann", "message": "because"} | given)


async def test_a_spec_comes_back_as_it_was_saved_from_the_head_and_from_its_version(database: Database) -> None:
    saved = await save(database, SPEC)

    async with database.reading() as session:
        prompt = await store.by_slug(session, "review")
        assert prompt is not None
        version = await get_version(session, prompt.id, 1)
        assert version is not None
        head = await spec_of_prompt(session, prompt)
    assert (saved.version, saved.is_new, prompt.status) == (1, True, PromptStatus.ACTIVE)
    assert head == spec_of("review", version.content) == SPEC
    assert (version.author, version.message, version.parent_version) == ("ann", "because", None)
    assert version.digest == prompt.digest == digest_of(content_of(SPEC))


async def test_the_same_again_changes_nothing_also_in_other_words(database: Database) -> None:
    await save(database, SPEC)
    named = replace(SPEC.conditions[0], name="event.type")

    again = await save(database, replace(SPEC, conditions=(named, *SPEC.conditions[1:])))

    assert (again.version, again.is_new) == (1, False)
    async with database.reading() as session:
        assert len((await page_changes(session, slug="review", limit=10)).rows) == 1
        assert (await version_store.catalogue(session)).revision == 1


async def test_a_change_is_the_next_version_and_no_version_ever_changes(database: Database) -> None:
    first = await save(database, SPEC)
    await save(database, replace(SPEC, template="Look at it", priority=5), author="bob", message="shorter")
    third = await save(database, replace(SPEC, conditions=SPEC.conditions[::-1], templates=SPEC.templates[::-1]))

    async with database.reading() as session:
        rows = (await page_versions(session, prompt_id=first.prompt.id, limit=10)).rows
        changes = (await page_changes(session, slug="review", limit=10)).rows
        head = await spec_of_prompt(session, third.prompt)
    assert [(row.version, row.parent_version, row.author) for row in rows] == [
        (3, 2, "ann"),
        (2, 1, "bob"),
        (1, None, "ann"),
    ]
    assert spec_of("review", rows[2].content) == SPEC
    assert head == spec_of("review", rows[0].content)
    assert head.conditions == SPEC.conditions[::-1]
    assert head.templates == SPEC.templates[::-1]
    assert [(row.change, row.version, row.details) for row in changes] == [
        (PromptChange.VERSION, 3, {"changed": ["conditions", "priority", "template", "templates"]}),
        (PromptChange.VERSION, 2, {"changed": ["priority", "template"]}),
        (PromptChange.CREATED, 1, None),
    ]


async def test_rows_that_stay_keep_who_they_are_and_their_figures(database: Database) -> None:
    saved = await save(database, SPEC)
    async with database.transaction() as session:
        (python, go) = await version_store.templates_in_order(session, saved.prompt.id)
        conditions = {row.id for row in await version_store.conditions_in_order(session, saved.prompt.id)}
        go.usage_count = 7

    rust = TemplateSpec("rust", "Use clippy")
    await save(database, replace(SPEC, templates=(SPEC.templates[1], rust), conditions=SPEC.conditions[::-1][:2]))

    async with database.reading() as session:
        templates = await version_store.templates_in_order(session, saved.prompt.id)
        left = {row.id for row in await version_store.conditions_in_order(session, saved.prompt.id)}
    assert [(row.template_name, row.usage_count) for row in templates] == [("go", 7), ("rust", 0)]
    assert templates[0].id == go.id != python.id
    assert left < conditions


async def test_who_is_second_of_two_at_once_is_told_by_whom(
    database: Database, database_config: DatabaseConfig
) -> None:
    saved = await save(database, SPEC)
    ready = asyncio.Barrier(2)

    async def push(where: Database, author: str) -> str:
        await ready.wait()
        try:
            await save(where, replace(SPEC, template=f"by {author}"), author=author, message=author, expected_version=1)
        except ConflictError as error:
            return error.message
        return author

    async with _opened(database_config) as other:
        answers = set(await asyncio.gather(push(database, "bob"), push(other, "cy")))

    (winner,) = answers & {"bob", "cy"}
    (told,) = answers - {winner}
    assert told == (
        "your change of 'review' starts from version 1 by ann (because), "
        f"but the newest is version 2 by {winner} ({winner})"
    )
    async with database.reading() as session:
        newest = await get_version(session, saved.prompt.id, 2)
        assert await get_version(session, saved.prompt.id, 3) is None
    assert newest is not None
    assert newest.content["template"] == f"by {winner}"


async def test_of_ten_who_make_the_same_prompt_at_once_one_does(database: Database) -> None:
    async def push(number: int) -> str:
        try:
            await save(database, replace(SPEC, name=f"Review {number}"), expected_version=0)
        except ConflictError as error:
            return error.message
        return "made"

    answers = sorted(await asyncio.gather(*(push(number) for number in range(10))))
    assert answers == sorted(["made", *["there is a prompt 'review' already: version 1 by ann (because)"] * 9])


async def test_many_prompts_at_once_in_any_order_wait_for_each_other_in_no_circle(database: Database) -> None:
    specs = [replace(SPEC, slug=slug) for slug in "abcd"]
    for spec in specs:
        await save(database, spec)

    async def push(author: str, order: list[PromptSpec]) -> None:
        async with database.transaction() as session:
            for spec in order:
                await save_spec(session, replace(spec, template=f"by {author}"), author=author, message="all")

    await asyncio.gather(push("bob", specs), push("cy", specs[::-1]))

    async with database.reading() as session:
        prompts = (await store.page_prompts(session, limit=10)).rows
        revision = (await version_store.catalogue(session)).revision
    assert ({prompt.version for prompt in prompts}, len({prompt.template for prompt in prompts})) == ({3}, 1)
    assert sorted(prompt.revision for prompt in prompts) == list(range(revision - 3, revision + 1))


async def test_a_version_that_is_expected_of_nothing(database: Database) -> None:
    with pytest.raises(ConflictError, match="there is no prompt 'review'; your change starts from its version 2"):
        await save(database, SPEC, expected_version=2)
    await save(database, SPEC)
    with pytest.raises(ConflictError, match="starts from version 9, which is none of its own, but the newest is"):
        await save(database, SPEC, expected_version=9)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (replace(SPEC, slug="No Slug"), "slug"),
        (replace(SPEC, template=""), "template"),
        (replace(SPEC, conditions=(ConditionSpec("a", ConditionOperator.REGEX_MATCH, "("),)), "conditions.0.expected"),
        (replace(SPEC, conditions=SPEC.conditions * 400), "conditions"),
        (replace(SPEC, templates=SPEC.templates[:1] * 2), "templates"),
        (replace(SPEC, variables={"a-b": VariableSpec()}), "variables.a-b.[key]"),
        (replace(SPEC, variables={"a": VariableSpec(VariableType.INTEGER, default="1")}), "variables.a.default"),
        (replace(SPEC, limits={"wall_seconds": -1}), "limits.wall_seconds"),
        (replace(SPEC, executor=Executor.COMMAND), "executor_config"),
        (replace(SPEC, outputs={OutputType.COMMENT: OutputSpec(0)}), "outputs.comment.most"),
    ],
)
async def test_what_no_prompt_can_say_is_refused_and_nothing_stored(
    database: Database, spec: PromptSpec, field: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await save(database, spec)

    assert list(caught.value.fields) == [field]
    async with database.reading() as session:
        assert (await store.page_prompts(session, limit=1)).rows == []


async def test_the_status_is_no_part_of_a_version(database: Database) -> None:
    await save(database, SPEC, status=PromptStatus.TESTING)
    again = await save(database, SPEC, status=PromptStatus.DEPRECATED)
    kept = await save(database, replace(SPEC, priority=1))

    assert (again.version, again.is_new, again.prompt.status) == (1, False, PromptStatus.DEPRECATED)
    assert (kept.version, kept.prompt.status) == (2, PromptStatus.DEPRECATED)
    idle = replace(SPEC, slug="idle", executor=Executor.COMMAND, executor_config={})
    assert (await save(database, idle)).prompt.status is PromptStatus.INACTIVE
    with pytest.raises(InvalidInputError, match="executor_config: an active prompt needs"):
        await save(database, idle, status=PromptStatus.ACTIVE)


async def test_an_earlier_version_is_restored_as_the_newest(database: Database) -> None:
    saved = await save(database, SPEC)
    await save(database, replace(SPEC, template="worse", templates=(), conditions=()))

    async with database.transaction() as session:
        restored = await restore_version(session, saved.prompt, 1, author="bob")
    async with database.transaction() as session:
        again = await restore_version(session, saved.prompt, 1, author="bob", expected_version=3)
        with pytest.raises(NotFoundError, match="review has no version 8"):
            await restore_version(session, saved.prompt, 8, author="bob")
        with pytest.raises(ConflictError):
            await restore_version(session, saved.prompt, 2, author="bob", expected_version=2)

    async with database.reading() as session:
        version = await get_version(session, saved.prompt.id, 3)
        assert await spec_of_prompt(session, again.prompt) == SPEC
    assert version is not None
    assert (restored.version, restored.is_new, again.version, again.is_new) == (3, True, 3, False)
    assert (version.parent_version, version.message, version.author) == (2, "Restored version 1", "bob")


async def test_a_reference_is_a_number_a_label_or_what_is_live(database: Database) -> None:
    prompt = (await save(database, SPEC)).prompt
    await save(database, replace(SPEC, priority=1))
    await save(database, replace(SPEC, priority=2))

    async def resolve(reference: str | None) -> int | None:
        async with database.reading() as session:
            found = await resolve_reference(session, "review", reference)
        return None if found is None else found[1].version

    unlabelled = [await resolve(reference) for reference in (None, "production", "latest", "2", "staging", "4", "0")]
    async with database.transaction() as session:
        for label, version in (("production", 1), ("staging", 2)):
            await set_label(session, prompt.id, label, version, author="ann", may_protected=True, settings=Settings())
    labelled = [await resolve(reference) for reference in (None, "production", "latest", "2", "staging")]

    assert unlabelled == [3, 3, 3, 2, None, None, None]
    assert labelled == [1, 1, 3, 2, 2]


@pytest.mark.parametrize(
    ("slug", "reference", "problem", "hint"),
    [
        ("nothing", None, "there is no prompt 'nothing'", "contexten prompts list"),
        ("review", "7", "review has no version 7", "its versions: 1 to 1"),
        ("review", str(2**40), "review has no version 1099511627776", "its versions: 1 to 1"),
        ("review", "9" * 5_000, "review has no version 99999999999999999…", "its versions: 1 to 1"),
        ("review", "best", "review has no label 'best'", "its labels: latest, production"),
    ],
    ids=["prompt", "version", "large version", "very large version", "label"],
)
async def test_what_a_reference_does_not_lead_to_is_said(
    database: Database, slug: str, reference: str | None, problem: str, hint: str
) -> None:
    await save(database, SPEC)

    async with database.reading() as session:
        with pytest.raises(NotFoundError, match=problem) as caught:
            await get_reference(session, slug, reference)
        assert await resolve_reference(session, slug, reference) is None
    assert caught.value.hint is not None
    assert hint in caught.value.hint


async def test_the_catalogue_counts_every_change_and_every_removal(database: Database) -> None:
    first = (await save(database, SPEC)).prompt
    second = (await save(database, replace(SPEC, slug="second"))).prompt
    await save(database, replace(SPEC, priority=1))
    await save(database, replace(SPEC, priority=1), status=PromptStatus.INACTIVE)
    async with database.transaction() as session:
        await delete_prompt(session, second.id, author="ann", message="unused")

    async with database.reading() as session:
        catalogue = await version_store.catalogue(session)
        found = await store.get_prompt(session, first.id)
        (removal, _) = (await page_changes(session, slug="second", limit=10)).rows
        versions_left = await session.scalar(select(func.count()).where(PromptVersionModel.prompt_id == second.id))
    assert found is not None
    assert (catalogue.revision, catalogue.deletions, found.revision) == (5, 1, 4)
    assert (removal.change, removal.author, removal.message) == (PromptChange.REMOVED, "ann", "unused")
    assert versions_left == 0


# A brace may begin what is no template.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0{"), min_size=1, max_size=8)
FLOATS = st.floats(-9e18, 9e18)
SCALAR = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | FLOATS | TEXT
JSON = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=5
)
NAMES = st.sampled_from(["a", "b", "c"])
OPERATORS = st.sampled_from([ConditionOperator.EQUALS, ConditionOperator.NOT_EQUALS, ConditionOperator.CONTAINS])
RANKS = st.integers(-2, 2)
SPECS = st.builds(
    PromptSpec,
    slug=st.just("any"),
    name=TEXT,
    template=TEXT,
    description=st.none() | TEXT,
    tags=st.lists(TEXT, max_size=2).map(tuple),
    variables=st.dictionaries(
        NAMES,
        st.builds(VariableSpec, type=st.just(VariableType.LIST), default=st.none() | st.lists(JSON, max_size=2))
        | st.builds(VariableSpec, type=st.just(VariableType.NUMBER), default=st.none() | FLOATS),
        max_size=2,
    ),
    templates=st.lists(
        st.builds(TemplateSpec, name=NAMES, content=TEXT, priority=RANKS), max_size=3, unique_by=lambda one: one.name
    ).map(tuple),
    conditions=st.lists(
        st.builds(ConditionSpec, field=NAMES, operator=OPERATORS, expected=JSON, name=st.none() | TEXT, priority=RANKS),
        max_size=3,
    ).map(tuple),
    priority=RANKS,
    limits=st.fixed_dictionaries({}, optional={"max_cost": st.floats(0, 100), "wall_seconds": st.integers(1, 100)}),
    outputs=st.dictionaries(st.sampled_from(OutputType), st.builds(OutputSpec, most=st.integers(1, 3)), max_size=2),
)
Step = Callable[[AsyncSession, PromptModel], Awaitable[object]]


def _saved(spec: PromptSpec) -> Step:
    return lambda session, prompt: save_spec(session, replace(spec, slug=prompt.slug), author="ann", message="x")


def _changed(changes: dict[str, Any]) -> Step:
    return lambda session, prompt: update_prompt(session, prompt.id, checked(PromptUpdate, changes))


def _condition_added(expected: Any, is_active: bool) -> Step:
    given = {"field_name": "d", "operator": "equals", "expected_value": expected, "is_active": is_active}
    return lambda session, prompt: create_prompt_condition(
        session, checked(PromptConditionCreate, given | {"prompt_id": prompt.id})
    )


def _condition(position: int, changes: dict[str, Any] | None) -> Step:
    async def step(session: AsyncSession, prompt: PromptModel) -> None:
        rows = await version_store.conditions_in_order(session, prompt.id)
        if len(rows) <= position:
            return
        if changes is None:
            await delete_prompt_condition(session, rows[position].id)
        else:
            await update_prompt_condition(session, rows[position].id, checked(PromptConditionUpdate, changes))

    return step


def _template(name: str, content: str | None) -> Step:
    async def step(session: AsyncSession, prompt: PromptModel) -> None:
        row = await store.template_by_name(session, prompt.id, name)
        if row is None:
            given = {"prompt_id": prompt.id, "template_name": name, "content": content or name}
            await create_prompt_template(session, checked(PromptTemplateCreate, given))
        elif content is None:
            await delete_prompt_template(session, row.id)
        else:
            await update_prompt_template(session, row.id, checked(PromptTemplateUpdate, {"content": content}))

    return step


def _restored(version: int) -> Step:
    return lambda session, prompt: restore_version(session, prompt, min(version, prompt.version), author="bob")


STEPS = st.lists(
    SPECS.map(_saved)
    | st.fixed_dictionaries(
        {},
        optional={
            "name": TEXT,
            "status": st.sampled_from(["inactive", "testing"]),
            "slug": st.uuids().map(str),
            "default_values": st.none() | st.dictionaries(st.just("d"), JSON, max_size=1),
            "limits": st.none() | st.just({"processes": 3}),
            "tags": st.none() | st.lists(TEXT, max_size=2),
            "metadata": st.none() | st.dictionaries(TEXT, JSON, max_size=1),
        },
    ).map(_changed)
    | st.builds(_condition_added, JSON, st.booleans())
    | st.builds(
        _condition,
        st.integers(0, 2),
        st.none() | st.just({"is_active": False}) | JSON.map(lambda value: {"expected_value": value}),
    )
    | st.builds(_template, NAMES, st.none() | TEXT)
    | st.builds(_restored, st.integers(1, 3)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=SPECS, steps=STEPS)
def test_whatever_is_done_the_head_is_the_newest_version(
    database_config: DatabaseConfig, start: PromptSpec, steps: list[Step]
) -> None:
    async def walk(session: AsyncSession) -> None:
        saved = await save_spec(session, replace(start, slug=f"p{uuid4()}"), author="ann", message="x")
        seen: list[dict[str, Any]] = []
        for step in (_saved(start), *steps):
            prompt = await session.get_one(PromptModel, saved.prompt.id)
            before = prompt.version
            await step(session, prompt)
            await session.flush()
            session.expunge_all()

            prompt = await session.get_one(PromptModel, saved.prompt.id)
            rows = (await page_versions(session, prompt_id=prompt.id, limit=50)).rows[::-1]
            contents = [row.content for row in rows]
            head = await spec_of_prompt(session, prompt)
            assert [row.version for row in rows] == list(range(1, prompt.version + 1))
            assert before <= prompt.version <= before + 1
            assert head == canonical(head) == spec_of(prompt.slug, contents[-1])
            assert digest_of(content_of(head)) == prompt.digest == rows[-1].digest == digest_of(contents[-1])
            assert contents[: len(seen)] == seen
            seen = contents

    async def main() -> None:
        async with (
            _opened(database_config) as database,
            database.engine.connect() as connection,
            AsyncSession(connection, expire_on_commit=False) as session,
        ):
            await walk(session)

    asyncio.run(main())
