import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from contexten_core.db import Database
from contexten_core.projects.add import add_repository
from contexten_core.prompts import store
from contexten_core.prompts.models import PromptModel, PromptTemplateModel
from contexten_core.prompts.spec import PromptSpec, TemplateSpec
from contexten_core.prompts.usage import Usage, UsageBy, count_outcome, usage_of
from contexten_core.prompts.versions import save_spec

NOW = datetime(2026, 1, 7, 10, 0, tzinfo=UTC)


class Ledger:
    """A prompt and two projects that it is used in."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.prompt_id: UUID
        self.projects: dict[str, UUID] = {}

    async def open(self) -> None:
        templates = (TemplateSpec("go", "Run go test.", language="go"),)
        spec = PromptSpec(slug="checks", name="Checks", template="Run them.", templates=templates)
        async with self.database.transaction() as session:
            saved = await save_spec(session, spec, author="mara", message="Checks")
            self.prompt_id = saved.prompt.id
            for name in ("acme/cashbox", "acme/thermometer"):
                project, _ = await add_repository(session, full_name=name)
                self.projects[project.slug] = project.id

    async def count(self, *, succeeded: bool = True, project: str = "acme-cashbox", **given: Any) -> None:
        values: dict[str, Any] = {
            "prompt_id": self.prompt_id,
            "version": 1,
            "project_id": self.projects[project],
            "run_id": uuid4(),
            "succeeded": succeeded,
            "is_error": False,
            "seconds": 10.0,
            "cost": 0.5,
            "now": NOW,
        }
        async with self.database.transaction() as session:
            await count_outcome(session, **values | given)

    async def usage(self, by: UsageBy, *, days: int = 30) -> list[Usage]:
        async with self.database.reading() as session:
            return await usage_of(session, self.prompt_id, by=by, days=days, now=NOW)

    async def prompt(self) -> PromptModel:
        async with self.database.reading() as session:
            found = await store.get_prompt(session, self.prompt_id)
            assert found is not None
            return found


@pytest.fixture
async def ledger(database: Database) -> Ledger:
    ledger = Ledger(database)
    await ledger.open()
    return ledger


async def test_a_prompt_keeps_its_uses_its_success_rate_and_its_average_time(ledger: Ledger) -> None:
    await ledger.count(seconds=10.0)
    await ledger.count(seconds=20.0)
    await ledger.count(seconds=60.0, succeeded=False)
    prompt = await ledger.prompt()
    assert prompt.usage_count == 3
    assert prompt.success_rate == pytest.approx(2 / 3)
    assert prompt.average_response_time == pytest.approx(30.0)


async def test_outcomes_are_added_up_by_version(ledger: Ledger) -> None:
    await ledger.count(seconds=30.0)
    await ledger.count(version=2, now=NOW + timedelta(minutes=5))
    await ledger.count(version=2, succeeded=False, is_error=True, seconds=20.0, now=NOW + timedelta(minutes=2))
    second, first = await ledger.usage(UsageBy.VERSION)

    assert (second.key, second.uses, second.successes, second.errors, second.cost) == (2, 2, 1, 1, 1.0)
    assert (second.success_rate, second.mean_seconds) == (0.5, 15.0)
    assert second.last_used_at == NOW + timedelta(minutes=5)
    assert (second.success_interval.low, second.success_interval.high) == pytest.approx((0.0945, 0.9055), abs=1e-4)
    assert (first.key, first.uses, first.errors, first.success_rate, first.mean_seconds) == (1, 1, 0, 1.0, 30.0)


async def test_outcomes_are_added_up_by_project_and_by_day(ledger: Ledger) -> None:
    await ledger.count()
    await ledger.count(version=2)
    await ledger.count(project="acme-thermometer", now=NOW - timedelta(days=1))
    await ledger.count(project="acme-thermometer", now=NOW - timedelta(days=29), succeeded=False)
    await ledger.count(project="acme-thermometer", now=NOW - timedelta(days=30))

    assert [(one.key, one.uses) for one in await ledger.usage(UsageBy.PROJECT)] == [
        ("acme-cashbox", 2),
        ("acme-thermometer", 2),
    ]
    assert [(one.key, one.uses, one.successes) for one in await ledger.usage(UsageBy.DAY)] == [
        ("2026-01-07", 2, 2),
        ("2026-01-06", 1, 1),
        ("2025-12-09", 1, 0),
    ]
    assert [one.key for one in await ledger.usage(UsageBy.DAY, days=1)] == ["2026-01-07"]
    assert sum(one.uses for one in await ledger.usage(UsageBy.VERSION, days=10_000)) == 5


async def test_outcomes_that_are_counted_at_once_are_all_counted(ledger: Ledger) -> None:
    await asyncio.gather(*(ledger.count(succeeded=number % 4 != 0) for number in range(16)))
    (row,) = await ledger.usage(UsageBy.VERSION)
    assert (row.uses, row.successes, row.cost) == (16, 12, 8.0)
    prompt = await ledger.prompt()
    assert prompt.usage_count == 16
    assert prompt.success_rate == pytest.approx(0.75)


async def test_a_template_has_figures_of_its_own(ledger: Ledger) -> None:
    await ledger.count(template="go")
    await ledger.count(template="go", succeeded=False)
    await ledger.count(template="gone")
    await ledger.count()
    async with ledger.database.reading() as session:
        template = await store.template_by_name(session, ledger.prompt_id, "go")
    assert isinstance(template, PromptTemplateModel)
    assert (template.usage_count, template.success_rate) == (2, 0.5)


async def test_the_outcome_of_a_prompt_that_is_gone_is_counted_nowhere(ledger: Ledger) -> None:
    async with ledger.database.transaction() as session:
        await session.delete(await store.get_prompt(session, ledger.prompt_id))
    await ledger.count(template="go")
    assert await ledger.usage(UsageBy.VERSION) == []
