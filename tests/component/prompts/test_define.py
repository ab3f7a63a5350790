from dataclasses import replace

import pytest

from contexten_core.db import Database
from contexten_core.prompts import store
from contexten_core.prompts.define import ConditionSpec, PromptSpec, checks_of, define_prompt
from contexten_core.prompts.models import ConditionOperator, Executor, PromptStatus
from contexten_core.tasks.models import TaskType

SPEC = checks_of(
    project_slug="acme-cashbox", project_name="acme/cashbox", command="make test", limits={"wall_seconds": 60}
)


async def _define(database: Database, spec: PromptSpec) -> int:
    """Define a prompt and return the version that it then has."""
    async with database.transaction() as session:
        return (await define_prompt(session, spec)).version


async def test_a_prompt_is_stored_with_its_conditions(database: Database) -> None:
    await _define(database, SPEC)
    async with database.reading() as session:
        ((prompt, conditions),) = await store.active(session)

    assert (prompt.slug, prompt.name, prompt.version) == ("acme-cashbox-checks", "Checks of acme/cashbox", 1)
    assert (prompt.executor, prompt.executor_config) == (Executor.COMMAND, {"command": "make test"})
    assert (prompt.limits, prompt.task_type) == ({"wall_seconds": 60}, TaskType.TESTING)
    assert [(condition.field_name, condition.operator, condition.expected_value) for condition in conditions] == [
        ("project.slug", ConditionOperator.EQUALS, "acme-cashbox"),
        ("event.type", ConditionOperator.IN, ["push", "pull_request"]),
        ("event.action", ConditionOperator.IN, [None, "opened", "reopened", "synchronize"]),
    ]


async def test_an_executor_that_is_not_installed_here_is_stored_and_told(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await _define(database, replace(SPEC, executor=Executor("acme-bot"), executor_config={"effort": "high"}))
    async with database.reading() as session:
        ((prompt, _),) = await store.active(session)

    assert (prompt.executor, prompt.executor_config) == (Executor("acme-bot"), {"effort": "high"})
    assert "no executor named acme-bot" in caplog.text


async def test_defining_the_same_again_changes_nothing(database: Database) -> None:
    assert [await _define(database, SPEC) for _ in range(3)] == [1, 1, 1]

    async with database.reading() as session:
        ((_, conditions),) = await store.active(session)
    assert len(conditions) == len(SPEC.conditions)


@pytest.mark.parametrize(
    "changed",
    [
        replace(SPEC, executor_config={"command": "make check"}),
        replace(SPEC, limits={}),
        replace(SPEC, priority=5),
        replace(SPEC, template="Run everything"),
        replace(SPEC, conditions=SPEC.conditions[:2]),
        replace(SPEC, conditions=(*SPEC.conditions[:2], ConditionSpec("event.action", ConditionOperator.EQUALS, "x"))),
    ],
    ids=["command", "limits", "priority", "template", "fewer conditions", "another condition"],
)
async def test_a_prompt_that_differs_is_the_next_version(database: Database, changed: PromptSpec) -> None:
    assert await _define(database, SPEC) == 1
    assert await _define(database, changed) == 2
    async with database.reading() as session:
        ((prompt, conditions),) = await store.active(session)

    assert (prompt.executor_config, prompt.priority) == (changed.executor_config, changed.priority)
    assert [(condition.field_name, condition.expected_value) for condition in conditions] == [
        (condition.field, condition.expected) for condition in changed.conditions
    ]


@pytest.mark.parametrize("expected", [None, False, 0, "", [], 1.5])
async def test_a_condition_may_expect_any_value(database: Database, expected: object) -> None:
    condition = ConditionSpec("event.action", ConditionOperator.EQUALS, expected)
    await _define(database, replace(SPEC, conditions=(condition,)))
    async with database.reading() as session:
        ((_, (stored,)),) = await store.active(session)

    assert stored.expected_value == expected
    assert type(stored.expected_value) is type(expected)


async def test_conditions_stay_in_the_order_in_which_they_were_given(database: Database) -> None:
    given = tuple(ConditionSpec(f"event.field{number}", ConditionOperator.EQUALS, number) for number in range(12))
    await _define(database, replace(SPEC, conditions=given[::-1]))
    await _define(database, replace(SPEC, conditions=given))
    async with database.reading() as session:
        ((_, conditions),) = await store.active(session)

    assert [condition.expected_value for condition in conditions] == list(range(12))


async def test_only_active_prompts_and_conditions_count(database: Database) -> None:
    for slug in ("active", "retired"):
        await _define(database, replace(SPEC, slug=slug))
    async with database.transaction() as session:
        retired = await store.by_slug(session, "retired")
        assert retired is not None
        retired.status = PromptStatus.DEPRECATED
        active = await store.by_slug(session, "active")
        assert active is not None
        (await store.conditions_of(session, active.id))[0].is_active = False

    async with database.reading() as session:
        ((prompt, conditions),) = await store.active(session)
    assert prompt.slug == "active"
    assert [condition.field_name for condition in conditions] == ["event.type", "event.action"]


async def test_uses_are_counted_and_averaged(database: Database) -> None:
    await _define(database, SPEC)
    async with database.transaction() as session:
        prompt = await store.by_slug(session, SPEC.slug)
        assert prompt is not None
        for succeeded, seconds in ((True, 1.0), (False, 4.0), (True, 1.0)):
            await store.count_use(session, prompt.id, succeeded=succeeded, seconds=seconds)
        await session.refresh(prompt)

    assert prompt.usage_count == 3
    assert prompt.success_rate == pytest.approx(2 / 3)
    assert prompt.average_response_time == pytest.approx(2.0)
