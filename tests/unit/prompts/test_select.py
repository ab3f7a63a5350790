from typing import Any
from uuid import UUID, uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contexten_core.events.normalise import NormalisedEvent
from contexten_core.projects.resolve import Target
from contexten_core.prompts.explanation import Explanation
from contexten_core.prompts.index.index import LivePrompt, PromptIndex
from contexten_core.prompts.models import ConditionOperator
from contexten_core.prompts.select import choose, known_fields
from contexten_core.prompts.spec import ConditionSpec, PromptSpec

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


def _prompt(slug: str, *, priority: int = 0, **expected: Any) -> LivePrompt:
    """Return a prompt that applies when each field equals the given value; `__` in a name stands for a dot."""
    conditions = tuple(
        ConditionSpec(name.replace("__", "."), ConditionOperator.EQUALS, value) for name, value in expected.items()
    )
    spec = PromptSpec(slug=slug, name=slug, template="Run the tests", conditions=conditions, priority=priority)
    return LivePrompt(prompt_id=uuid5(UUID(int=3), slug), version=1, spec=spec)


def _choose(prompts: list[LivePrompt], fields: dict[str, Any]) -> tuple[LivePrompt | None, Explanation]:
    return choose(PromptIndex.build(prompts), fields)


def test_the_prompt_whose_conditions_hold_is_chosen() -> None:
    push, review = _prompt("checks", event__type="push"), _prompt("review", event__type="pull_request")

    winner, explanation = _choose([review, push], PUSH)

    assert winner is push
    assert (explanation.winner, explanation.reason) == ("checks", "checks applies")


def test_of_several_the_one_with_the_highest_priority_is_chosen() -> None:
    general = _prompt("a-general", event__type="push")
    special = _prompt("z-special", priority=5, event__type="push", event__branch="main")

    winner, explanation = _choose([general, special], PUSH)

    assert winner is special
    assert explanation.reason == "z-special applies and comes before 1 other(s) by priority and name"


def test_of_equals_the_first_by_name_is_chosen() -> None:
    winner, _ = _choose([_prompt("b", event__type="push"), _prompt("a", event__type="push")], PUSH)

    assert winner is not None
    assert winner.spec.slug == "a"


def test_an_unfinished_prompt_takes_no_events() -> None:
    winner, explanation = _choose([_prompt("unfinished")], PUSH)

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
def test_where_none_applies_the_reason_is_given(prompts: list[LivePrompt], fields: dict[str, Any], reason: str) -> None:
    winner, explanation = _choose(prompts, fields)

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
        _choose([_prompt(slug, priority=priority, event__type=kind) for slug, priority, kind in order], PUSH)
        for order in orders
    )

    assert one == other
    applying = [(-priority, slug) for slug, priority, kind in orders[0] if kind == "push"]
    assert one[1].winner == (min(applying)[1] if applying else None)
