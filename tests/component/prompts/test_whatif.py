"""Stored events, judged again by changed prompts."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from contexten.emulators.sender import GitHubDelivery
from contexten_core.errors import InvalidInputError
from contexten_core.events.claim import RunRef
from contexten_core.events.models import RunModel
from contexten_core.projects.resolve import Target
from contexten_core.prompts.define import define_prompt
from contexten_core.prompts.lint.stored import lint_stored
from contexten_core.prompts.models import ConditionOperator
from contexten_core.prompts.spec import ConditionSpec, PromptSpec
from contexten_core.prompts.whatif import WhatIf, whatif

if TYPE_CHECKING:
    from tests.component.conftest import Push, Worker

BRANCHES = ("main", "dev", "docs")


def prompt(slug: str, *, priority: int = 0, **expected: Any) -> PromptSpec:
    conditions = tuple(
        ConditionSpec(name.replace("__", "."), ConditionOperator.EQUALS, value) for name, value in expected.items()
    )
    return PromptSpec(
        slug=slug,
        name=slug,
        template=f"Do {slug}",
        executor_config={"command": "make"},
        conditions=conditions,
        priority=priority,
    )


async def _select(worker: "Worker", delivery: GitHubDelivery) -> RunRef:
    run = await worker.take_on(delivery)
    event = await worker.ingest(run)
    target = await worker.resolve(run, event)
    assert isinstance(target, Target)
    await worker.select(run, event, target)
    return run


@pytest.fixture
async def pushes(worker: "Worker", push: "Push") -> list[RunRef]:
    """A push to each of three branches, of which `main` and `dev` have prompts."""
    await worker.add_project("acme/cashbox")
    async with worker.database.transaction() as session:
        await define_prompt(session, prompt("acme-cashbox-checks", event__branch="main"))
        await define_prompt(session, prompt("development", event__branch="dev"))
    return [
        await _select(worker, push(branch=branch, commit=f"{number}d1c2b3a" * 5))
        for number, branch in enumerate(BRANCHES)
    ]


async def replay(worker: "Worker", *changed: PromptSpec, **options: Any) -> WhatIf:
    async with worker.database.reading() as session:
        return await whatif(session, changed, **options)


async def test_events_that_would_choose_differently_are_counted_with_examples(
    worker: "Worker", pushes: list[RunRef]
) -> None:
    narrowed = prompt("acme-cashbox-checks", event__branch="trunk")
    documents = prompt("documents", event__branch="docs")
    result = await replay(worker, narrowed, documents, prompt("urgent", priority=9, event__branch="dev"))
    moves = {(move.before, move.after): move for move in result.moves}

    assert (result.events, result.same, result.different) == (3, 0, 1)
    assert (result.newly_ignored, result.newly_handled, result.unknown) == (1, 1, 0)
    assert (result.added, result.replaced) == (["documents", "urgent"], ["acme-cashbox-checks"])
    assert moves.keys() == {("development", "urgent"), ("acme-cashbox-checks", None), (None, "documents")}
    (ignored,) = moves["acme-cashbox-checks", None].examples
    assert ignored.event_id == pushes[0].event_id
    assert ignored.why == "acme-cashbox-checks does not apply: `event.branch equals 'trunk'`, saw 'main'"
    (first,) = moves["development", "urgent"].examples
    assert first.why == "urgent applies: `event.branch equals 'dev'`, and comes before development by priority and name"


@pytest.mark.usefixtures("pushes")
async def test_the_present_prompts_change_nothing(worker: "Worker") -> None:
    same = prompt("development", event__branch="dev")
    result = await replay(worker, same)
    other_words = await replay(worker, replace(same, template="Do it well"))

    assert (result.events, result.same, result.moves, result.unchanged) == (3, 3, [], ["development"])
    assert (other_words.same, other_words.same_but_changed, other_words.replaced) == (3, 1, ["development"])


async def test_only_the_newest_events_are_replayed(worker: "Worker", pushes: list[RunRef]) -> None:
    result = await replay(worker, prompt("documents", event__branch="docs"), last=1)

    assert (result.events, result.newly_handled) == (1, 1)
    assert result.moves[0].examples[0].event_id == pushes[2].event_id


@pytest.mark.usefixtures("pushes")
async def test_a_prompt_can_be_taken_away(worker: "Worker") -> None:
    result = await replay(worker, removed=["development"])

    assert (result.removed, result.newly_ignored) == (["development"], 1)
    assert result.moves[0].examples[0].why == "development is removed"
    with pytest.raises(InvalidInputError, match="no active prompt 'nobody'"):
        await replay(worker, removed=["nobody"])


async def test_what_was_not_looked_up_of_the_code_counts_as_unknown_where_it_decides(
    worker: "Worker", pushes: list[RunRef]
) -> None:
    risky = prompt("risky", priority=9, event__branch="main", change__files=3)
    result = await replay(worker, risky)

    assert (result.unknown, result.same) == (1, 2)
    assert result.unknown_examples[0].why == "change.files was not looked up: change.files equals 3"
    for run, files in ((pushes[0], 3), (pushes[0], 4)):
        async with worker.database.transaction() as session:
            model = await session.get(RunModel, run.run_id)
            assert model is not None
            assert model.explanation is not None
            model.explanation = {**model.explanation, "fields": {"change.files": files}}
        known = await replay(worker, risky)
        assert (known.unknown, known.different) == (0, int(files == 3))


@pytest.mark.usefixtures("pushes")
async def test_stored_prompts_are_checked_with_the_events_that_came(worker: "Worker") -> None:
    async with worker.database.transaction() as session:
        await define_prompt(session, prompt("never", event__branch="dev", event__number="7"))
        findings = await lint_stored(session, settings=worker.runtime.settings)

    assert [(one.code, one.slug) for one in findings] == [("never-holds", "never")]
