from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contexten_core.events.normalise import NormalisedEvent
from contexten_core.projects.resolve import Target
from contexten_core.prompts.models import (
    ConditionOperator,
    Executor,
    LogicalOperator,
    PromptConditionModel,
    PromptModel,
    PromptType,
)
from contexten_core.prompts.select import choose, known_fields
from contexten_core.tasks.models import TaskType

Prompt = tuple[PromptModel, list[PromptConditionModel]]

TARGET = Target(
    project_id=UUID(int=1),
    project_slug="acme-cashbox",
    project_name="acme/cashbox",
    repository_id=UUID(int=2),
    repository="acme/cashbox",
    clone_url="https://github.com/acme/cashbox.git",
    default_branch="main",
    commit="ab" * 20,
    ref="refs/heads/main",
    allow_local=False,
    api_url=None,
)

EXAMPLES = settings(deadline=None, derandomize=True, database=None)
PUSH = known_fields(NormalisedEvent(type="push", name="acme/cashbox main push", branch="main"), TARGET)
CLOSED = known_fields(NormalisedEvent(type="pull_request", name="acme/cashbox#1 closed", action="closed"), TARGET)


def _prompt(slug: str, *, priority: int = 0, **expected: Any) -> Prompt:
    """Return a prompt that applies when each field equals the given value; `__` in a name stands for a dot."""
    model = PromptModel(
        id=uuid4(),
        name=slug,
        slug=slug,
        prompt_type=PromptType.TESTING,
        template="Run the tests",
        version=1,
        task_type=TaskType.TESTING,
        priority=priority,
        executor=Executor.COMMAND,
        executor_config={"command": "make"},
    )
    conditions = [
        PromptConditionModel(
            condition_name=name,
            field_name=name.replace("__", "."),
            operator=ConditionOperator.EQUALS,
            expected_value=value,
            logical_operator=LogicalOperator.AND,
        )
        for name, value in expected.items()
    ]
    return model, conditions


def test_conditions_can_ask_about_event_project_and_repository() -> None:
    assert PUSH["event"]["type"] == "push"
    assert PUSH["event"]["provider"] == "github"
    assert PUSH["project"] == {"slug": "acme-cashbox", "name": "acme/cashbox"}
    assert PUSH["repository"] == {"full_name": "acme/cashbox", "default_branch": "main"}


def test_the_prompt_whose_conditions_hold_is_chosen() -> None:
    push, review = _prompt("checks", event__type="push"), _prompt("review", event__type="pull_request")

    winner, explanation = choose([review, push], PUSH)

    assert winner is push[0]
    assert (explanation.winner, explanation.reason) == ("checks", "checks applies")
    assert [(candidate.slug, candidate.applies) for candidate in explanation.candidates] == [
        ("checks", True),
        ("review", False),
    ]
    (seen,) = explanation.candidates[1].conditions
    assert (seen.field, seen.expected, seen.seen, seen.holds) == ("event.type", "pull_request", "push", False)


def test_of_several_the_one_with_the_highest_priority_is_chosen() -> None:
    general = _prompt("a-general", event__type="push")
    special = _prompt("z-special", priority=5, event__type="push", event__branch="main")

    winner, explanation = choose([general, special], PUSH)

    assert winner is special[0]
    assert explanation.reason == "z-special applies and comes before 1 other(s) by priority and name"


def test_of_equals_the_first_by_name_is_chosen() -> None:
    winner, _ = choose([_prompt("b", event__type="push"), _prompt("a", event__type="push")], PUSH)

    assert winner is not None
    assert winner.slug == "a"


def test_an_unfinished_prompt_takes_no_events() -> None:
    winner, explanation = choose([_prompt("unfinished")], PUSH)

    assert winner is None
    assert not explanation.candidates[0].applies


@pytest.mark.parametrize(
    ("prompts", "fields", "reason"),
    [
        ([], PUSH, "there is no active prompt"),
        ([_prompt("x", event__type="release")], PUSH, "none of 1 active prompts applies to push of acme-cashbox"),
        (
            [_prompt("x", event__type="push"), _prompt("y", event__type="push")],
            CLOSED,
            "none of 2 active prompts applies to pull_request closed of acme-cashbox",
        ),
    ],
)
def test_where_none_applies_the_reason_is_given(prompts: list[Prompt], fields: dict[str, Any], reason: str) -> None:
    winner, explanation = choose(prompts, fields)

    assert winner is None
    assert (explanation.winner, explanation.reason) == (None, reason)


_definitions = st.lists(
    st.tuples(st.text("abc", min_size=1, max_size=3), st.integers(-2, 2), st.sampled_from(["push", "release"])),
    max_size=8,
    unique_by=lambda definition: definition[0],
)


@EXAMPLES
@given(_definitions.flatmap(lambda known: st.tuples(st.just(known), st.permutations(known))))
def test_the_order_of_definition_never_matters(orders: tuple[list[tuple[str, int, str]], ...]) -> None:
    one, other = (
        choose([_prompt(slug, priority=priority, event__type=kind) for slug, priority, kind in order], PUSH)
        for order in orders
    )

    assert one[1] == other[1]
    applying = [(-priority, slug) for slug, priority, kind in orders[0] if kind == "push"]
    assert one[1].winner == (min(applying)[1] if applying else None)
