import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event

from contexten_core.db import Database
from contexten_core.prompts.catalogue import PromptCatalogue
from contexten_core.prompts.change import delete_prompt, update_prompt
from contexten_core.prompts.index.index import PromptIndex
from contexten_core.prompts.inputs import PromptUpdate
from contexten_core.prompts.labels import remove_label, set_label
from contexten_core.prompts.models import ConditionOperator, PromptStatus
from contexten_core.prompts.spec import LIVE, ConditionSpec, PromptSpec
from contexten_core.prompts.versions import save_spec
from contexten_core.settings import Settings

SPEC = PromptSpec(
    slug="checks",
    name="Checks",
    template="Check it",
    executor_config={"command": "make"},
    conditions=(ConditionSpec("event.type", ConditionOperator.EQUALS, "push"),),
)


class Prompts:
    """A catalogue over a database, and how many statements it took."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.catalogue = PromptCatalogue()
        self.statements = 0
        event.listen(database.engine.sync_engine, "before_cursor_execute", self._count)

    def _count(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        self.statements += statement.startswith("SELECT")

    async def save(self, *specs: PromptSpec) -> list[UUID]:
        async with self.database.transaction() as session:
            return [(await save_spec(session, spec, author="mara", message="Better")).prompt.id for spec in specs]

    async def current(self) -> PromptIndex:
        self.statements = 0
        async with self.database.reading() as session:
            return await self.catalogue.current(session)

    async def versions(self) -> dict[str, int]:
        return {live.spec.slug: live.version for live in (await self.current()).prompts}


@pytest.fixture
def prompts(database: Database) -> Prompts:
    return Prompts(database)


def _named(slugs: Sequence[str]) -> list[PromptSpec]:
    return [replace(SPEC, slug=slug) for slug in slugs]


async def test_without_prompts_it_is_empty(prompts: Prompts) -> None:
    assert len(await prompts.current()) == 0


async def test_the_newest_version_is_live_until_another_one_is_labelled(prompts: Prompts) -> None:
    (prompt_id,) = await prompts.save(SPEC)
    await prompts.save(replace(SPEC, template="Check it well", priority=4))
    assert await prompts.versions() == {"checks": 2}

    given: dict[str, Any] = {"author": "mara", "message": "Back", "may_protected": True, "settings": Settings()}
    async with prompts.database.transaction() as session:
        await set_label(session, prompt_id, LIVE, 1, **given)
    live = (await prompts.current()).get("checks")
    assert live is not None
    assert (live.version, live.spec) == (1, SPEC)

    async with prompts.database.transaction() as session:
        await remove_label(session, prompt_id, LIVE, **given)
    assert await prompts.versions() == {"checks": 2}


async def test_an_event_costs_one_query_while_nothing_changes(prompts: Prompts) -> None:
    await prompts.save(*_named([f"p{number}" for number in range(20)]))
    first = await prompts.current()

    assert await prompts.current() is first
    assert prompts.statements == 1
    assert first.revision == 20


async def test_only_what_has_changed_is_read_again(prompts: Prompts) -> None:
    await prompts.save(*_named(["a", "b", "c"]))
    before = {live.spec.slug: live for live in (await prompts.current()).prompts}
    await prompts.save(replace(SPEC, slug="b", template="Better"), replace(SPEC, slug="d"))
    after = {live.spec.slug: live for live in (await prompts.current()).prompts}

    assert {slug: live.version for slug, live in after.items()} == {"a": 1, "b": 2, "c": 1, "d": 1}
    assert (after["a"] is before["a"], after["c"] is before["c"]) == (True, True)


@pytest.mark.parametrize("status", [PromptStatus.INACTIVE, PromptStatus.TESTING, PromptStatus.DEPRECATED])
async def test_only_active_prompts_are_in_it(prompts: Prompts, status: PromptStatus) -> None:
    prompt_id, _ = await prompts.save(*_named(["a", "b"]))
    await prompts.current()
    async with prompts.database.transaction() as session:
        await update_prompt(session, prompt_id, PromptUpdate(status=status))
    assert await prompts.versions() == {"b": 1}

    async with prompts.database.transaction() as session:
        await update_prompt(session, prompt_id, PromptUpdate(status=PromptStatus.ACTIVE))
    assert set(await prompts.versions()) == {"a", "b"}


async def test_a_prompt_that_is_removed_is_gone(prompts: Prompts) -> None:
    prompt_id, _ = await prompts.save(*_named(["a", "b"]))
    await prompts.current()
    async with prompts.database.transaction() as session:
        await delete_prompt(session, prompt_id)

    assert await prompts.versions() == {"b": 1}


async def test_events_that_come_together_share_one_reading(prompts: Prompts) -> None:
    await prompts.save(*_named(["a", "b"]))
    indexes = await asyncio.gather(*(prompts.current() for _ in range(5)))

    assert len({id(index) for index in indexes}) == 1
    assert len(indexes[0]) == 2
