"""Prompts, templates and conditions: made, changed, listed and removed; each change is a version and has an author."""

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest

from contexten_core.db import BaseModel, Database
from contexten_core.db.paging import Page
from contexten_core.errors import ConflictError, InvalidInputError
from contexten_core.inputs import RowInput, checked
from contexten_core.prompts import store
from contexten_core.prompts.change import (
    create_prompt,
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
from contexten_core.prompts.conditions import judge
from contexten_core.prompts.inputs import (
    PromptConditionCreate,
    PromptConditionUpdate,
    PromptCreate,
    PromptTemplateCreate,
    PromptTemplateUpdate,
    PromptUpdate,
)
from contexten_core.prompts.models import (
    ConditionOperator,
    Executor,
    PromptConditionModel,
    PromptModel,
    PromptStatus,
    PromptTemplateModel,
    PromptType,
)
from contexten_core.prompts.spec import VariableSpec, VariableType, spec_of
from contexten_core.prompts.versions import page_versions, spec_of_prompt
from contexten_core.tasks.models import TaskType

NOBODY = UUID("ffffffff-ffff-4fff-bfff-ffffffffffff")
A_PROMPT = {"name": "Run the checks", "prompt_type": "testing", "template": "Run the checks"}
RUN = {"executor_config": {"command": "python -m pytest -q"}}
ON_PUSH = {"field_name": "event.type", "operator": "equals", "expected_value": "push"}
FOR_GO = {"template_name": "go", "language": "go", "content": "Run go test"}


async def add(database: Database, **fields: Any) -> PromptModel:
    async with database.transaction() as session:
        return await create_prompt(session, checked(PromptCreate, A_PROMPT | fields))


async def change(database: Database, prompt: PromptModel, **fields: Any) -> PromptModel:
    async with database.transaction() as session:
        changed = await update_prompt(session, prompt.id, checked(PromptUpdate, fields))
    assert changed is not None
    return changed


async def add_condition(database: Database, prompt: PromptModel, **fields: Any) -> PromptConditionModel:
    given = {"prompt_id": prompt.id, "field_name": "event.type", "operator": "equals", "expected_value": "push"}
    async with database.transaction() as session:
        return await create_prompt_condition(session, checked(PromptConditionCreate, given | fields))


async def add_template(database: Database, prompt: PromptModel, **fields: Any) -> PromptTemplateModel:
    given = {"prompt_id": prompt.id, "template_name": "python", "content": "Run pytest"} | fields
    async with database.transaction() as session:
        return await create_prompt_template(session, checked(PromptTemplateCreate, given))


async def version(database: Database, prompt: PromptModel) -> int:
    async with database.reading() as session:
        found = await store.get_prompt(session, prompt.id)
    assert found is not None
    return found.version


def same(one: BaseModel | None, other: BaseModel | None) -> bool:
    """Compare two rows by what they say, as JSON."""
    assert one is not None
    assert other is not None
    return json.dumps(one.to_dict(), sort_keys=True) == json.dumps(other.to_dict(), sort_keys=True)


async def test_a_prompt_that_can_be_carried_out_is_active(database: Database) -> None:
    limits = {"wall_seconds": 60, "output_bytes": 1000}
    made = await add(database, **RUN, limits=limits, variables={"a": "string"}, category="checks", priority=-3)

    async with database.reading() as session:
        prompt = await store.get_prompt(session, made.id)

    assert prompt is not None
    assert same(prompt, made)
    assert (prompt.slug, prompt.status, prompt.version) == ("run-the-checks", PromptStatus.ACTIVE, 1)
    assert (prompt.task_type, prompt.executor, prompt.priority) == (TaskType.TESTING, Executor.COMMAND, -3)
    assert (prompt.executor_config, prompt.limits) == (RUN["executor_config"], limits)


async def test_a_prompt_with_nothing_to_carry_it_out_is_inactive_until_it_has(database: Database) -> None:
    prompt = await add(database, prompt_type="system_prompt")
    assert (prompt.status, prompt.task_type, prompt.executor_config) == (PromptStatus.INACTIVE, TaskType.ANALYSIS, {})

    async with database.transaction() as session:
        for changes in ({"status": "active"}, {"status": "active", "executor_config": None}):
            with pytest.raises(InvalidInputError, match="executor_config: an active prompt needs"):
                await update_prompt(session, prompt.id, checked(PromptUpdate, changes))
        with pytest.raises(InvalidInputError, match="executor_config: an active prompt needs"):
            await create_prompt(session, checked(PromptCreate, A_PROMPT | {"status": "active"}))

    assert (await change(database, prompt, status="active", **RUN)).status is PromptStatus.ACTIVE
    with pytest.raises(InvalidInputError, match="executor_config: an active prompt needs"):
        await change(database, prompt, executor_config=None)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Checks"},
        {"template": "Run all checks"},
        {"description": "All of them"},
        {"system_prompt": "You are careful"},
        {"category": "checks", "subcategory": "slow"},
        {"tags": ["slow"]},
        {"variables": {"a": {"type": "integer", "source": "change.files"}}},
        {"default_values": None},
        {"default_values": {"a": 1, "b": [True]}},
        {"priority": 5},
        {"prompt_type": "analysis", "task_type": "analysis", "task_priority": "high"},
        {"executor_config": {"command": ["python", "-m", "pytest"]}},
        {"executor": "llm", "executor_config": {"model": "openai:gpt-5", "max_turns": 3}},
        {"limits": {"max_cost": 0.5, "network": ["pypi.org", "*.pythonhosted.org"]}},
        {"outputs": {"comment": {"most": 1}, "labels": {"labels": ["bug"]}}},
    ],
)
async def test_whatever_a_prompt_says_being_changed_is_the_next_version(
    database: Database, changes: dict[str, Any]
) -> None:
    prompt = await add(database, **RUN, variables={"a": {"type": "integer"}}, default_values={"a": 2})

    changed = await change(database, prompt, **changes)
    again = await change(database, prompt, **changes)

    assert (changed.version, again.version) == (2, 2)
    async with database.reading() as session:
        found = await store.get_prompt(session, prompt.id)
        (newest, first) = (await page_versions(session, prompt_id=prompt.id, limit=5)).rows
        spec = await spec_of_prompt(session, again)
    assert same(found, again)
    assert json.dumps({key: again.to_dict()[key] for key in changes}) == json.dumps(changes)
    assert (newest.version, newest.parent_version, newest.digest) == (2, 1, again.digest)
    assert spec_of(prompt.slug, newest.content) == spec != spec_of(prompt.slug, first.content)


async def test_status_parent_and_metadata_are_no_part_of_a_version(database: Database) -> None:
    parent = await add(database, slug="parent")
    prompt = await add(database, **RUN)

    changed = await change(
        database, prompt, status="testing", metadata={"a": 1}, parent_prompt_id=str(parent.id), **RUN
    )

    assert (changed.version, changed.status, changed.metadata_) == (1, PromptStatus.TESTING, {"a": 1})


async def test_another_slug_is_the_next_version(database: Database) -> None:
    prompt = await add(database, **RUN)

    changed = await change(database, prompt, slug="checks")

    async with database.reading() as session:
        (newest, first) = (await page_versions(session, prompt_id=prompt.id, limit=5)).rows
        (change_made, _) = (await page_changes(session, slug="checks", limit=5)).rows
    assert (changed.version, newest.digest) == (2, first.digest)
    assert change_made.message == newest.message == "Renamed from run-the-checks to checks"


async def test_versions_are_not_lost_when_a_prompt_is_changed_at_once(database: Database) -> None:
    prompt = await add(database)

    await asyncio.gather(
        *(change(database, prompt, template=f"text {number}") for number in range(10)),
        *(add_condition(database, prompt, expected_value=number) for number in range(10)),
    )

    assert await version(database, prompt) == 21


async def test_of_20_who_want_the_same_slug_at_once_one_gets_it(database: Database) -> None:
    ready = asyncio.Barrier(20)

    async def create() -> str:
        await ready.wait()
        try:
            await add(database, slug="checks")
        except ConflictError as error:
            return error.message
        return "made"

    answers = sorted(await asyncio.gather(*(create() for _ in range(20))))

    assert answers == sorted(["made", *["slug: 'checks' is taken by another prompt"] * 19])
    async with database.reading() as session:
        assert len((await store.page_prompts(session, limit=10)).rows) == 1


async def test_a_slug_cannot_be_changed_to_one_that_is_taken(database: Database) -> None:
    await add(database, slug="taken")
    prompt = await add(database, slug="checks")

    with pytest.raises(ConflictError, match="slug: 'taken' is taken by another prompt"):
        await change(database, prompt, slug="taken")
    assert (await change(database, prompt, slug="checks")).slug == "checks"


async def test_a_prompt_may_have_a_parent_that_exists(database: Database) -> None:
    parent = await add(database, slug="parent")
    child = await add(database, slug="child", parent_prompt_id=parent.id)

    with pytest.raises(InvalidInputError, match=f"parent_prompt_id: there is no prompt {NOBODY}"):
        await add(database, slug="other", parent_prompt_id=NOBODY)
    with pytest.raises(InvalidInputError, match="parent_prompt_id: there is no prompt"):
        await change(database, child, parent_prompt_id=NOBODY)
    with pytest.raises(InvalidInputError, match="parent_prompt_id: is the prompt itself"):
        await change(database, child, parent_prompt_id=child.id)
    assert (await change(database, child, parent_prompt_id=None)).parent_prompt_id is None


async def test_a_prompt_is_removed_with_its_templates_and_conditions(database: Database) -> None:
    prompt = await add(database)
    child = await add(database, slug="child", parent_prompt_id=prompt.id)
    template, condition = await add_template(database, prompt), await add_condition(database, prompt)

    async with database.transaction() as session:
        assert await delete_prompt(session, prompt.id)

    async with database.reading() as session:
        assert await store.get_prompt(session, prompt.id) is None
        assert await store.get_prompt_template(session, template.id) is None
        assert await store.get_prompt_condition(session, condition.id) is None
        orphan = await store.get_prompt(session, child.id)
    assert orphan is not None
    assert orphan.parent_prompt_id is None


async def test_every_change_is_in_the_history_with_author_and_message(database: Database) -> None:
    by = {"author": "ann", "message": "because"}
    async with database.transaction() as session:
        prompt = await create_prompt(session, checked(PromptCreate, A_PROMPT | RUN), **by)
        condition = await create_prompt_condition(
            session, checked(PromptConditionCreate, {**ON_PUSH, "prompt_id": prompt.id}), **by
        )
        template = await create_prompt_template(
            session, checked(PromptTemplateCreate, {**FOR_GO, "prompt_id": prompt.id}), **by
        )
        await update_prompt(session, prompt.id, checked(PromptUpdate, {"template": "x", "status": "testing"}), **by)
        await update_prompt(session, prompt.id, checked(PromptUpdate, {"metadata": {"a": 1}}), **by)
        for changes in ({"is_active": False}, {"description": "not now"}):
            await update_prompt_condition(session, condition.id, checked(PromptConditionUpdate, changes), **by)
        await update_prompt_template(session, template.id, checked(PromptTemplateUpdate, {"content": "x"}), **by)
        await delete_prompt_condition(session, condition.id, **by)
        await delete_prompt_template(session, template.id, **by)
        await delete_prompt(session, prompt.id, **by)

    async with database.reading() as session:
        history = (await page_changes(session, slug=prompt.slug, limit=50)).rows[::-1]
        assert (await page_changes(session, limit=50)).rows == history[::-1]
    assert [(row.change.value, row.version, (row.details or {}).get("changed")) for row in history] == [
        ("created", 1, None),
        ("version", 2, ["conditions"]),
        ("version", 3, ["templates"]),
        ("version", 4, ["template"]),
        ("status", 4, None),
        ("details", 4, ["metadata"]),
        ("version", 5, ["conditions"]),
        ("details", 5, ["conditions"]),
        ("version", 6, ["templates"]),
        ("details", 6, ["conditions"]),
        ("version", 7, ["templates"]),
        ("removed", 7, None),
    ]
    assert {(row.slug, row.author, row.message, row.prompt_id) for row in history} == {
        (prompt.slug, "ann", "because", None)
    }


async def test_a_change_without_a_message_says_what_was_changed(database: Database) -> None:
    prompt = await add(database)
    await change(database, prompt, system_prompt="Be careful", priority=3)
    await change(database, prompt, status="deprecated")
    await add_condition(database, prompt)

    async with database.reading() as session:
        history = (await page_changes(session, slug=prompt.slug, limit=50)).rows[::-1]
    assert [row.message for row in history] == [
        "Created",
        "Changed priority, system prompt",
        "Made deprecated, was inactive",
        "Changed conditions",
    ]
    assert {row.author for row in history} == {"unknown"}


@pytest.mark.parametrize(
    ("field", "text"), [("author", " "), ("author", "x" * 201), ("message", ""), ("message", "x" * 2001)]
)
async def test_author_and_message_are_neither_empty_nor_long(database: Database, field: str, text: str) -> None:
    async with database.transaction() as session:
        with pytest.raises(InvalidInputError) as caught:
            await create_prompt(session, checked(PromptCreate, A_PROMPT), **{"author": "ann", field: text})
    assert set(caught.value.fields) == {field}


async def test_who_started_from_an_older_version_is_told_and_changes_nothing(database: Database) -> None:
    prompt = await add(database)
    await change(database, prompt, template="theirs", expected_version=1)

    with pytest.raises(
        ConflictError, match=r"starts from version 1 by unknown \(Created\), but the newest is version 2"
    ):
        await change(database, prompt, template="mine", expected_version=1)

    async with database.reading() as session:
        found = await store.get_prompt(session, prompt.id)
    assert found is not None
    assert (found.version, found.template) == (2, "theirs")


async def test_default_values_fit_the_variables_also_those_that_were_there(database: Database) -> None:
    prompt = await add(database, variables={"limit": "integer"})

    with pytest.raises(InvalidInputError, match="default_values: limit is no integer"):
        await change(database, prompt, default_values={"limit": "ten"})
    await change(database, prompt, default_values={"limit": 10, "title": "none"})
    with pytest.raises(InvalidInputError, match="default_values: limit is no string"):
        await change(database, prompt, variables={"limit": "string"})

    async with database.reading() as session:
        found = await store.get_prompt(session, prompt.id)
        assert found is not None
        assert (await spec_of_prompt(session, found)).variables == {
            "limit": VariableSpec(VariableType.INTEGER, default=10),
            "title": VariableSpec(VariableType.STRING, default="none"),
        }


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"executor_config": {}}, "the command executor needs"),
        ({"executor_config": {"url": "https://agent.example"}}, "the command executor takes no url"),
        ({"executor": "http", "executor_config": {"model": "openai:gpt-5"}}, "the http executor takes no model"),
        ({"executor_config": {"command": "x", "shell": True}}, "the command executor takes no shell"),
        ({"executor": "llm", **RUN}, "the llm executor takes no command"),
    ],
)
async def test_an_executor_is_given_what_it_takes(database: Database, given: dict[str, Any], problem: str) -> None:
    prompt = await add(database, **RUN)

    with pytest.raises(InvalidInputError, match=f"executor_config: {problem}"):
        await add(database, slug="other", **given)
    with pytest.raises(InvalidInputError, match=f"executor_config: {problem}"):
        await change(database, prompt, **given)


async def test_another_executor_needs_another_configuration(database: Database) -> None:
    prompt = await add(database, **RUN)

    with pytest.raises(InvalidInputError, match="executor_config: the llm executor takes no command"):
        await change(database, prompt, executor="llm")
    assert (await change(database, prompt, executor="llm", executor_config=None)).executor is Executor.LLM


async def test_what_is_not_there_is_neither_changed_nor_removed(database: Database) -> None:
    async with database.transaction() as session:
        assert await update_prompt(session, NOBODY, checked(PromptUpdate, {"name": "x"})) is None
        assert await update_prompt_template(session, NOBODY, checked(PromptTemplateUpdate, {"name": "x"})) is None
        assert await update_prompt_condition(session, NOBODY, checked(PromptConditionUpdate, {"name": "x"})) is None
        assert not await delete_prompt(session, NOBODY)
        assert not await delete_prompt_template(session, NOBODY)
        assert not await delete_prompt_condition(session, NOBODY)


async def test_conditions_make_the_next_version_when_they_come_change_and_go(database: Database) -> None:
    prompt = await add(database)
    versions = []

    condition = await add_condition(database, prompt, operator="in", expected_value=[1, None])
    versions.append(await version(database, prompt))
    for changes in ({"expected_value": [True, None]}, {"expected_value": [True, None]}, {"is_active": False}):
        async with database.transaction() as session:
            await update_prompt_condition(session, condition.id, checked(PromptConditionUpdate, changes))
        versions.append(await version(database, prompt))
    async with database.reading() as session:
        stored = await store.get_prompt_condition(session, condition.id)
    async with database.transaction() as session:
        assert await delete_prompt_condition(session, condition.id)
    versions.append(await version(database, prompt))

    assert versions == [2, 3, 3, 4, 4], "the last was not active, and so no part of a version any more"
    assert stored is not None
    assert (stored.name, stored.condition_name, stored.is_active) == ("event.type", "event.type", False)
    assert stored.expected_value[0] is True


async def test_a_stored_condition_decides_as_it_was_meant(database: Database) -> None:
    prompt = await add(database)
    condition = await add_condition(database, prompt, operator="regex_match", expected_value="^pu(sh|ll)$")

    async with database.reading() as session:
        (stored,) = (await spec_of_prompt(session, prompt)).conditions
    assert condition.expected_value == stored.expected
    assert judge(stored, {"event": {"type": "push"}}).holds
    assert not judge(stored, {"event": {"type": "pushed"}}).holds


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"operator": "in"}, "expected_value"),
        ({"operator": "less_than"}, "expected_value"),
        ({"operator": "regex_match", "expected_value": "("}, "expected_value"),
    ],
)
async def test_a_changed_condition_has_to_make_sense_as_a_whole(
    database: Database, changes: dict[str, Any], field: str
) -> None:
    condition = await add_condition(database, await add(database))

    async with database.transaction() as session:
        with pytest.raises(InvalidInputError) as caught:
            await update_prompt_condition(session, condition.id, checked(PromptConditionUpdate, changes))

    assert set(caught.value.fields) == {field}
    async with database.reading() as session:
        stored = await store.get_prompt_condition(session, condition.id)
    assert stored is not None
    assert stored.operator is ConditionOperator.EQUALS


async def test_templates_and_conditions_need_a_prompt(database: Database) -> None:
    nobody = PromptModel(id=NOBODY, name="nobody")

    with pytest.raises(InvalidInputError, match=f"prompt_id: there is no prompt {NOBODY}"):
        await add_template(database, nobody)
    with pytest.raises(InvalidInputError, match=f"prompt_id: there is no prompt {NOBODY}"):
        await add_condition(database, nobody)


async def test_the_name_of_a_template_is_its_prompts_own(database: Database) -> None:
    prompt, other = await add(database), await add(database, slug="other")
    template = await add_template(database, prompt)
    await add_template(database, prompt, template_name="go")
    await add_template(database, other)

    with pytest.raises(ConflictError, match="template_name: the prompt has a template 'python' already"):
        await add_template(database, prompt)
    async with database.transaction() as session:
        with pytest.raises(ConflictError, match="template_name: the prompt has a template 'go' already"):
            await update_prompt_template(session, template.id, checked(PromptTemplateUpdate, {"template_name": "go"}))
        changes = checked(PromptTemplateUpdate, {"template_name": "rust", "is_default": True, "language": None})
        changed = await update_prompt_template(session, template.id, changes)

    async with database.reading() as session:
        assert same(await store.get_prompt_template(session, template.id), changed)
        assert len((await store.page_prompt_templates(session, prompt_id=prompt.id, limit=10)).rows) == 2
    async with database.transaction() as session:
        assert await delete_prompt_template(session, template.id)
    assert await version(database, prompt) == 5


async def test_pages_go_on_where_the_last_ended_though_prompts_are_added(database: Database) -> None:
    made = [await add(database, slug=f"prompt-{number}", category="c") for number in range(5)]
    await add(database, slug="other", prompt_type="bug_fix", **RUN)

    async def read(cursor: str | None) -> Page[PromptModel]:
        async with database.reading() as session:
            return await store.page_prompts(session, limit=2, cursor=cursor, category="c")

    first = await read(None)
    await add(database, slug="added-meanwhile", category="c")
    second = await read(first.next_cursor)
    third = await read(second.next_cursor)

    seen = [prompt.slug for found in (first, second, third) for prompt in found.rows]
    assert seen == [prompt.slug for prompt in reversed(made)]
    assert third.next_cursor is None
    async with database.reading() as session:
        active = await store.page_prompts(session, limit=9, status=PromptStatus.ACTIVE)
        fixes = await store.page_prompts(session, limit=9, prompt_type=PromptType.BUG_FIX)
        with pytest.raises(InvalidInputError, match="cursor"):
            await store.page_prompts(session, limit=2, cursor="x")
    assert [prompt.slug for prompt in active.rows] == [prompt.slug for prompt in fixes.rows] == ["other"]


async def test_conditions_are_listed_by_prompt(database: Database) -> None:
    prompt, other = await add(database), await add(database, slug="other")
    conditions = [await add_condition(database, prompt, priority=number) for number in range(3)]
    await add_condition(database, other)

    async with database.reading() as session:
        first = await store.page_prompt_conditions(session, prompt_id=prompt.id, limit=2)
        second = await store.page_prompt_conditions(session, prompt_id=prompt.id, limit=2, cursor=first.next_cursor)

    assert [row.id for row in (*first.rows, *second.rows)] == [row.id for row in reversed(conditions)]


ANY_ROW: list[tuple[dict[str, Any], str]] = [
    ({"nmae": "x"}, "nmae"),
    ({"name": "x" * 501}, "name"),
    ({"name": "a\0b"}, "name"),
    ({"name": "\ud83d"}, "name"),
    ({"description": "\udc00"}, "description"),
    ({"tags": [5]}, "tags.0"),
    ({"metadata": {"a": 2**63}}, "metadata"),
    ({"metadata": {"a": float("nan")}}, "metadata"),
]
PROMPT: list[tuple[dict[str, Any], str]] = [
    ({"slug": "Checks!"}, "slug"),
    ({"prompt_type": "poem"}, "prompt_type"),
    ({"prompt_type": None}, "prompt_type"),
    ({"template": ""}, "template"),
    ({"template": None}, "template"),
    ({"template": "a\0b"}, "template"),
    ({"template": "x" * 1_000_001}, "template"),
    ({"system_prompt": "\ud83d"}, "system_prompt"),
    ({"variables": ["a"]}, "variables"),
    ({"default_values": {"a": 2**64}}, "default_values"),
    ({"default_values": {"a b": 1}}, "default_values"),
    ({"status": "broken"}, "status"),
    ({"task_type": "poem"}, "task_type"),
    ({"task_priority": None}, "task_priority"),
    ({"priority": 2**31}, "priority"),
    ({"priority": 2**70}, "priority"),
    ({"executor": "a shell"}, "executor"),
    ({"executor_config": {"command": "x", "max_turns": 0}}, "executor_config.max_turns"),
    ({"limits": {"wall_seconds": 0}}, "limits.wall_seconds"),
    ({"limits": {"wall_seconds": 86_401}}, "limits.wall_seconds"),
    ({"limits": {"wall_seconds": float("inf")}}, "limits.wall_seconds"),
    ({"limits": {"wall_seconds": None}}, "limits.wall_seconds"),
    ({"limits": {"output_bytes": 2**63}}, "limits.output_bytes"),
    ({"limits": {"memory": 1}}, "limits.memory"),
    ({"parent_prompt_id": "checks"}, "parent_prompt_id"),
    ({"usage_count": 1}, "usage_count"),
    ({"success_rate": 1}, "success_rate"),
    ({"average_response_time": 1}, "average_response_time"),
    ({"version": 9}, "version"),
]
TEMPLATE: list[tuple[dict[str, Any], str]] = [
    ({"template_name": None}, "template_name"),
    ({"content": ""}, "content"),
    ({"is_default": None}, "is_default"),
    ({"priority": "high"}, "priority"),
    ({"usage_count": 1}, "usage_count"),
]
CONDITION: list[tuple[dict[str, Any], str]] = [
    ({"field_name": ""}, "field_name"),
    ({"field_name": "event..type"}, "field_name"),
    ({"field_name": "event.type "}, "field_name"),
    ({"field_name": "a" * 201}, "field_name"),
    ({"field_name": ".".join("a" * 11)}, "field_name"),
    ({"operator": "like"}, "operator"),
    ({"logical_operator": "XOR"}, "logical_operator"),
    ({"expected_value": 2**64}, "expected_value"),
    ({"expected_value": "\0"}, "expected_value"),
    ({"is_active": None}, "is_active"),
    ({"group_id": "\ud83d"}, "group_id"),
]
UNFIT: list[tuple[str, Any]] = [
    ("in", "push"),
    ("not_in", {"a": 1}),
    ("greater_than", "5"),
    ("less_than", True),
    ("less_than", None),
    ("regex_match", 5),
    ("regex_match", "("),
    ("regex_match", "(?=x)"),
    ("regex_match", "(a{1000}){1000}"),
    ("regex_match", "x" * 1_001),
]
A_TEMPLATE = {"prompt_id": str(NOBODY), "template_name": "python", "content": "Run pytest"}
A_CONDITION = {"prompt_id": str(NOBODY), "field_name": "event.type", "operator": "equals", "expected_value": 1}


@pytest.mark.parametrize(
    ("model", "valid", "bad", "field"),
    [
        *((PromptCreate, A_PROMPT, bad, field) for bad, field in ANY_ROW + PROMPT),
        *((PromptUpdate, {}, bad, field) for bad, field in [*ANY_ROW, *PROMPT, ({"status": None}, "status")]),
        *((PromptTemplateCreate, A_TEMPLATE, bad, field) for bad, field in ANY_ROW + TEMPLATE),
        *((PromptTemplateUpdate, {}, bad, field) for bad, field in [*ANY_ROW, *TEMPLATE, ({"name": None}, "name")]),
        *((PromptConditionCreate, A_CONDITION, bad, field) for bad, field in ANY_ROW + CONDITION),
        *((PromptConditionUpdate, {}, bad, field) for bad, field in ANY_ROW + CONDITION),
        (PromptTemplateUpdate, {}, {"prompt_id": str(NOBODY)}, "prompt_id"),
        (PromptConditionUpdate, {}, {"prompt_id": str(NOBODY)}, "prompt_id"),
        (PromptCreate, {"name": "x", "prompt_type": "testing"}, {}, "template"),
        (PromptConditionCreate, {k: v for k, v in A_CONDITION.items() if k != "expected_value"}, {}, "expected_value"),
        *(
            (PromptConditionCreate, A_CONDITION, {"operator": operator, "expected_value": value}, "expected_value")
            for operator, value in UNFIT
        ),
    ],
)
def test_what_is_wrong_is_refused_by_its_name(
    model: type[RowInput], valid: dict[str, Any], bad: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        checked(model, valid | bad)

    assert set(caught.value.fields) == {field}


@pytest.mark.parametrize("command", ["", "   ", "python 'x", [], [""], ["a", 5], 5, "a\0b", ["a\0b"], "x" * 2_001])
def test_a_command_has_to_name_a_program(command: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        checked(PromptCreate, A_PROMPT | {"executor_config": {"command": command}})

    assert {field.split(".")[1] for field in caught.value.fields} == {"command"}


@pytest.mark.parametrize(
    ("operator", "value"),
    [
        ("equals", None),
        ("contains", {"a": [1]}),
        ("in", []),
        ("in", [None, "opened"]),
        ("greater_than", -1.5),
        ("less_than", 2**62),
        ("regex_match", "^release/[0-9]+$"),
    ],
)
def test_conditions_may_expect_what_their_operator_compares(operator: str, value: Any) -> None:
    given = checked(PromptConditionCreate, A_CONDITION | {"operator": operator, "expected_value": value})

    assert given.expected_value == value
