import json
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contexten_core.prompts.explanation import MOST_TOLD, Explanation, Others, explanation_of, replay
from contexten_core.prompts.index.index import LivePrompt, PromptIndex
from contexten_core.prompts.models import ConditionOperator, LogicalOperator
from contexten_core.prompts.select import choose
from contexten_core.prompts.spec import ConditionSpec, PromptSpec

EXAMPLES = settings(deadline=None, derandomize=True, database=None, max_examples=100)
PUSH: dict[str, Any] = {
    "event": {
        "type": "push",
        "action": None,
        "provider": "github",
        "branch": "main",
        "text": "Fix the tax",
        "number": 3,
    },
    "project": {"slug": "acme-cashbox"},
}


def live(slug: str, *conditions: ConditionSpec, priority: int = 0) -> LivePrompt:
    spec = PromptSpec(slug=slug, name=slug, template="Do it", conditions=conditions, priority=priority)
    return LivePrompt(prompt_id=uuid5(NAMESPACE_URL, slug), version=3, spec=spec)


def when(field: str, operator: str, expected: Any) -> ConditionSpec:
    return ConditionSpec(field, ConditionOperator(operator), expected)


def explained(known: list[LivePrompt], fields: dict[str, Any] = PUSH) -> Explanation:
    return choose(PromptIndex.build(known), fields)[1]


def stored(explanation: Explanation) -> Explanation:
    """Return an explanation as it comes back from where it is kept."""
    return explanation_of(json.loads(json.dumps(explanation.as_dict())))


def test_it_tells_of_each_candidate_what_each_condition_saw() -> None:
    push = live("checks", when("event.type", "equals", "push"), when("event.number", "greater_than", 2), priority=4)
    found = explained([push, live("review", when("event.type", "equals", "pull_request"))])

    assert (found.winner, found.version, found.reason) == ("checks", 3, "checks applies")
    first, second = found.candidates
    assert (first.slug, first.version, first.priority, first.applies) == ("checks", 3, 4, True)
    assert [(one.field, one.expected, one.seen, one.holds) for one in first.conditions] == [
        ("event.type", "push", "push", True),
        ("event.number", 2, 3, True),
    ]
    assert (second.slug, second.applies, second.conditions[0].holds) == ("review", False, False)
    assert found.others == []
    assert found.fields["event.number"] == 3


def test_what_was_not_looked_up_is_no_field_of_it() -> None:
    found = explained([live("risky", when("event.type", "equals", "release"), when("change.risk", "greater_than", 5))])

    (_, risk) = found.candidates[0].conditions
    assert (risk.looked_up, risk.holds) == (False, False)
    assert "change.risk" not in found.fields
    assert replay(stored(found)) == found


def test_conditions_are_told_in_the_order_of_their_priority() -> None:
    low, high = when("event.type", "equals", "push"), when("event.branch", "equals", "main")
    high = ConditionSpec(high.field, high.operator, high.expected, priority=1)
    found = explained([live("p", low, high)])

    assert [one.field for one in found.candidates[0].conditions] == ["event.branch", "event.type"]


def test_of_many_the_nearest_are_told_and_the_others_counted() -> None:
    known = [
        *(live(f"other-{n:04}", when("event.type", "equals", f"kind-{n}")) for n in range(1_000)),
        *(live(f"always-{n:04}", when("event.type", "equals", "push"), priority=n) for n in range(30)),
        *(
            live(f"near-{n:04}", when("event.type", "equals", "push"), when("event.number", "greater_than", 9))
            for n in range(40)
        ),
        live("unfinished"),
    ]
    found = explained(known)

    assert len(found.candidates) == MOST_TOLD
    assert (found.winner, found.reason) == (
        "always-0029",
        "always-0029 applies and comes before 29 other(s) by priority and name",
    )
    assert [one.slug for one in found.candidates[28:32]] == ["always-0001", "always-0000", "near-0000", "near-0001"]
    assert found.others == [
        Others(20, "have a condition that does not hold"),
        Others(1_000, "are for other events: event.type"),
        Others(1, "have no conditions, and so apply to nothing"),
    ]
    assert replay(stored(found)) == found


def test_more_that_apply_than_are_told_are_counted() -> None:
    found = explained([live(f"p{n:02}", when("event.type", "equals", "push")) for n in range(60)])

    assert found.others == [Others(10, "apply as well, and come after those", applies=True)]
    assert found.reason == "p00 applies and comes before 59 other(s) by priority and name"
    assert replay(stored(found)) == found


def test_it_is_of_bounded_size() -> None:
    longest = [f"value {n}" for n in range(5_000)]
    known = [live(f"p{n:02}", when("event.text", "in", [*longest, n])) for n in range(40)]
    found = explained(known, {"event": {**PUSH["event"], "text": "x" * 100_000}})

    assert len(json.dumps(found.as_dict())) < 1_000_000
    assert 0 < len(found.candidates) < 40
    (rest,) = found.others
    assert rest.count == 40 - len(found.candidates)
    assert found.reason.startswith("none of 40 active prompts applies")
    assert replay(stored(found)) == found


@pytest.mark.parametrize(
    ("change", "winner"),
    [({"event.type": "release"}, None), ({"event.branch": "main"}, "on-main"), ({"event.branch": "dev"}, "any")],
)
def test_replaying_with_other_values_decides_otherwise(change: dict[str, Any], winner: str | None) -> None:
    on_main = live("on-main", when("event.type", "equals", "push"), when("event.branch", "equals", "main"), priority=1)
    found = explained([on_main, live("any", when("event.type", "equals", "push"))])
    found.fields.update(change)

    again = replay(found)
    assert again.winner == winner
    assert (again == found) is (winner == "on-main")


values = st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["push", "main", "x" * 300, 2.5])
conditions = st.builds(
    ConditionSpec,
    field=st.sampled_from(["event.type", "event.branch", "event.number", "event.links", "change.risk"]),
    operator=st.sampled_from(ConditionOperator),
    expected=values | st.lists(values, max_size=3),
    name=st.sampled_from([None, "named"]),
    logical_operator=st.sampled_from(LogicalOperator),
    group=st.sampled_from([None, "a"]),
    priority=st.integers(0, 2),
)
prompts = st.lists(
    st.builds(
        lambda slug, some, priority: live(slug, *some, priority=priority),
        st.text("abcd", min_size=1, max_size=4),
        st.lists(conditions, max_size=4),
        st.integers(-2, 2),
    ),
    max_size=12,
    unique_by=lambda one: one.spec.slug,
)
events = st.builds(
    lambda event, change: {"event": event} | ({} if change is None else {"change": change}),
    st.dictionaries(st.sampled_from(["type", "branch", "number", "links"]), values | st.lists(values, max_size=25)),
    st.none() | st.dictionaries(st.just("risk"), values),
)


@EXAMPLES
@given(prompts, events, st.integers(0, 3))
def test_it_replays_to_the_same_result(known: list[LivePrompt], event: dict[str, Any], most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("contexten_core.prompts.explanation.MOST_TOLD", max(most, 1))
        winner, found = choose(PromptIndex.build(known), event)
        again = replay(stored(found))

    assert again == found
    assert found.winner == (winner.spec.slug if winner else None)
    assert len(found.candidates) + sum(one.count for one in found.others) == len(known)
