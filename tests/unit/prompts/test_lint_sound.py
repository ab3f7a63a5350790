"""What the checks say is true: held against selection itself, for every event of a small world."""

from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contexten_core.prompts.conditions import holds
from contexten_core.prompts.lint.lint import lint
from contexten_core.prompts.models import ConditionOperator, LogicalOperator
from contexten_core.prompts.spec import ConditionSpec, PromptSpec

TYPES = ("push", "issues", "release")
ACTIONS = (None, "opened", "closed")
NUMBERS = (None, 1, 2, 5)
TITLES = (None, "", "fix tax", "fix", "a tax")
LANGUAGES: tuple[list[str] | None, ...] = ([], ["Python"], ["Python", "Go"], None)
EVENTS: list[dict[str, Any]] = [
    {"event": {"type": kind, "action": action, "number": number, "title": title, "from_bot": bot}, **change}
    for kind, action, number, title, bot in product(TYPES, ACTIONS, NUMBERS, TITLES, (True, False))
    for change in ({"change": {"languages": LANGUAGES[(number or 0) % 4]}}, {})
]
EXPECTED: dict[str, list[Any]] = {
    "event.type": [*TYPES, "other"],
    "event.action": [*ACTIONS, 1],
    "event.number": [0, 1, 2, 1.5, 5, "1"],
    "event.title": ["fix", "tax", "fix tax", "", None],
    "event.from_bot": [True, False, 1],
    "change.languages": ["Python", "Go", ["Python"], "Klingon"],
}
PATTERNS = ["fix", "^fix$", "^(fix|a tax)$", "tax$", "(?i)FIX", ".*", "^$", "x t"]


@st.composite
def conditions(draw: st.DrawFn) -> ConditionSpec:
    field = draw(st.sampled_from(sorted(EXPECTED)))
    operator = draw(st.sampled_from(ConditionOperator))
    value = st.sampled_from(EXPECTED[field])
    expected: Any
    match operator:
        case ConditionOperator.IN | ConditionOperator.NOT_IN:
            expected = draw(st.lists(value, max_size=3))
        case ConditionOperator.REGEX_MATCH:
            expected = draw(st.sampled_from(PATTERNS))
        case ConditionOperator.GREATER_THAN | ConditionOperator.LESS_THAN:
            expected = draw(st.sampled_from([0, 1, 1.5, 2, 5]))
        case _:
            expected = draw(value)
    join = draw(st.sampled_from([LogicalOperator.AND, LogicalOperator.AND, LogicalOperator.OR]))
    return ConditionSpec(field, operator, expected, logical_operator=join, group=draw(st.sampled_from([None, "g"])))


prompts = st.lists(
    st.tuples(st.lists(conditions(), min_size=1, max_size=3), st.integers(0, 1)), min_size=2, max_size=4
).map(
    lambda made: [
        PromptSpec(slug=f"p{number}", name="P", template="x", conditions=tuple(some), priority=priority)
        for number, (some, priority) in enumerate(made)
    ]
)


@given(prompts)
@settings(max_examples=20, deadline=None)
def test_what_is_reported_is_so_for_every_event(specs: list[PromptSpec]) -> None:
    findings = lint(specs)
    never = {one.slug for one in findings if one.code == "never-holds"}
    shadowed = {one.slug for one in findings if one.code == "shadowed"}
    overlapping = {(one.slug, other) for one in findings if one.code == "conflict" for other in one.related}
    dead = {(one.slug, one.part[1]) for one in findings if one.code == "dead-alternative"}
    for event in EVENTS:
        applying = sorted(
            (spec for spec in specs if holds(spec.conditions, event)), key=lambda spec: (-spec.priority, spec.slug)
        )
        assert never.isdisjoint(spec.slug for spec in applying)
        if not applying:
            continue
        winner = applying[0]
        assert winner.slug not in shadowed
        # Two that apply to one event and are of one priority are told of, but for those that are shadowed.
        same = [spec for spec in applying if spec.priority == winner.priority and spec.slug not in shadowed]
        assert all((spec.slug, winner.slug) in overlapping for spec in same[1:])
    for slug, field in dead:
        spec = next(one for one in specs if one.slug == slug)
        alternatives = [one for one in spec.conditions if one.logical_operator is LogicalOperator.OR]
        assert any(
            not any(holds(spec.conditions, event) and holds([_alone(one)], event) for event in EVENTS)
            for one in alternatives
            if one.field == field
        )


def _alone(condition: ConditionSpec) -> ConditionSpec:
    return ConditionSpec(condition.field, condition.operator, condition.expected)


@given(prompts, st.randoms(use_true_random=False))
@settings(max_examples=15, deadline=None)
def test_the_order_of_the_prompts_changes_nothing(specs: list[PromptSpec], random: Any) -> None:
    shuffled = list(specs)
    random.shuffle(shuffled)

    assert lint(shuffled) == lint(specs)
