"""The index is held to the naive evaluator: every prompt, every condition."""

import random
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contexten_core.prompts.conditions import holds
from contexten_core.prompts.index.index import LivePrompt, PromptIndex
from contexten_core.prompts.models import ConditionOperator, LogicalOperator
from contexten_core.prompts.spec import ConditionSpec, PromptSpec

EXAMPLES = settings(deadline=None, derandomize=True, database=None, max_examples=100)
FEWER = settings(EXAMPLES, max_examples=30)
PUSH: dict[str, Any] = {"event": {"type": "push", "action": None, "branch": "main", "text": "Fix the tax", "number": 3}}


def live(slug: str, *conditions: ConditionSpec, priority: int = 0) -> LivePrompt:
    spec = PromptSpec(slug=slug, name=slug, template="Do it", conditions=conditions, priority=priority)
    return LivePrompt(prompt_id=uuid5(NAMESPACE_URL, slug), version=1, spec=spec)


def when(field: str, operator: str, expected: Any, *, either: bool = False, group: str | None = None) -> ConditionSpec:
    joined = LogicalOperator.OR if either else LogicalOperator.AND
    return ConditionSpec(field, ConditionOperator(operator), expected, logical_operator=joined, group=group)


def slugs(prompts: list[LivePrompt]) -> list[str]:
    return [one.spec.slug for one in prompts]


PATHS = ["event.type", "event.action", "event.branch", "event.text", "event.number", "event.links", "codebase.files"]
values = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(["push", "main", "fix", "Fix the tax", "", "x" * 40, "2026-01-07T10:00:00Z", "é\x00", "\ud800"]),
    st.integers(-2, 3),
    st.sampled_from([0.0, 1.0, 2.5]),
)
nested = values | st.lists(values, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), values, max_size=2)
patterns = st.sampled_from(
    ["", "^main$", "(fix|tax)", "F.x", "[a-z]+", "(unclosed", r"\pL{900}", "a{0,200}b", "x{20,}"]
)


@st.composite
def conditions(draw: st.DrawFn) -> ConditionSpec:
    operator = draw(st.sampled_from(ConditionOperator))
    fitting = {
        ConditionOperator.REGEX_MATCH: patterns,
        ConditionOperator.IN: st.lists(nested, max_size=3),
        ConditionOperator.NOT_IN: st.lists(nested, max_size=3),
    }
    expected = draw(fitting.get(operator, nested) | nested)
    joined = draw(st.sampled_from(LogicalOperator))
    group = draw(st.sampled_from([None, "a", "b"]))
    return ConditionSpec(draw(st.sampled_from(PATHS)), operator, expected, None, joined, group, draw(st.integers(0, 1)))


prompts = st.lists(
    st.builds(
        lambda slug, some, priority: live(slug, *some, priority=priority),
        st.text("abcd", min_size=1, max_size=4),
        st.lists(conditions(), max_size=4),
        st.integers(-2, 2),
    ),
    max_size=12,
    unique_by=lambda one: one.spec.slug,
)
events = st.builds(
    lambda event, code: {"event": event} | ({} if code is None else {"codebase": code}),
    st.dictionaries(st.sampled_from(["type", "action", "branch", "text", "number", "links"]), nested),
    st.none() | st.dictionaries(st.just("files"), values),
)


@EXAMPLES
@given(prompts, events, st.sampled_from([0, 1, 32]))
def test_it_finds_what_the_naive_evaluator_finds(known: list[LivePrompt], event: dict[str, Any], crowded: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("contexten_core.prompts.index.index._CROWDED", crowded)
        patch.setattr("contexten_core.prompts.index.texts._PATTERNS_AT_ONCE", 3)
        index = PromptIndex.build(known)

    naive = {one.spec.slug for one in known if holds(one.spec.conditions, event)}
    judged = index.judge(event)
    assert set(slugs(judged.applying)) == naive
    assert slugs(judged.applying) == slugs(sorted(judged.applying, key=lambda one: (-one.spec.priority, one.spec.slug)))
    assert naive <= set(slugs(index.candidates(event)))
    looked_at = len(judged.applying) + len(judged.missing)
    assert looked_at + sum(judged.elsewhere.values()) + judged.unfinished == len(known)


@FEWER
@given(prompts, events, st.randoms(use_true_random=False))
def test_the_order_of_definition_never_matters(
    known: list[LivePrompt], event: dict[str, Any], shuffled: random.Random
) -> None:
    other = shuffled.sample(known, len(known))

    assert PromptIndex.build(known).judge(event) == PromptIndex.build(other).judge(event)


@FEWER
@given(prompts, prompts, events)
def test_an_index_made_from_another_one_is_the_same(
    before: list[LivePrompt], after: list[LivePrompt], event: dict[str, Any]
) -> None:
    kept = [*after, *(one for one in before if one.spec.slug not in {other.spec.slug for other in after})]
    previous = PromptIndex.build(before)

    assert PromptIndex.build(kept, previous=previous).judge(event) == PromptIndex.build(kept).judge(event)


@FEWER
@given(prompts, st.data(), events)
def test_a_varied_index_is_the_same_as_one_made_anew(
    before: list[LivePrompt], data: st.DataObject, event: dict[str, Any]
) -> None:
    kept = [one for one in before if data.draw(st.booleans())]
    added = [one for one in data.draw(prompts) if one.spec.slug not in {other.spec.slug for other in kept}]
    varied, anew = PromptIndex.build(before).varied([*kept, *added]), PromptIndex.build([*kept, *added])

    assert varied.judge(event).applying == anew.judge(event).applying
    assert varied.asks(event) == anew.asks(event)
    assert varied.prompts == anew.prompts
    judged = varied.judge(event)
    looked_at = len(judged.applying) + len(judged.missing)
    assert looked_at + sum(judged.elsewhere.values()) + judged.unfinished == len(varied)


def test_only_prompts_that_an_event_can_concern_are_looked_at() -> None:
    known = [
        live("push", when("event.type", "equals", "push")),
        live("release", when("event.type", "equals", "release")),
        live("either", when("event.type", "equals", "push", either=True), when("event.type", "in", ["x"], either=True)),
        live(
            "both", when("event.type", "equals", "push", either=True), when("event.branch", "equals", "x", either=True)
        ),
        live("always", when("event.action", "not_equals", "closed")),
        live("never", when("event.type", "in", [])),
        live("unfinished"),
    ]
    index = PromptIndex.build(known)

    assert sorted(slugs(index.candidates(PUSH))) == ["always", "both", "either", "push"]
    judged = index.judge(PUSH)
    assert (judged.elsewhere, judged.unfinished) == ({"event.type": 2}, 1)


def test_a_prompt_is_filed_under_what_fewest_share() -> None:
    known = [
        live(f"p{number}", when("event.type", "equals", "push"), when("project.slug", "equals", f"project-{number}"))
        for number in range(100)
    ]
    index = PromptIndex.build(known)

    assert slugs(index.candidates(PUSH | {"project": {"slug": "project-7"}})) == ["p7"]


def test_in_a_crowd_texts_are_looked_for_in_one_pass() -> None:
    known = [
        live(f"p{number}", when("event.type", "equals", "push"), when("event.text", operator, f"word{number}!"))
        for number, operator in enumerate(["regex_match", "contains"] * 50)
    ]
    index = PromptIndex.build(known)

    assert slugs(index.candidates(PUSH)) == []
    event = {"event": {"type": "push", "text": "here is word7! and word8! and word8!"}}
    assert sorted(slugs(index.candidates(event))) == ["p7", "p8"]
    links = {"event": {"type": "push", "text": ["word7!", "word8!", "and word10!"]}}
    assert slugs(index.candidates(links)) == ["p7"]


def test_patterns_too_large_to_be_looked_for_together_are_tried_one_by_one() -> None:
    hostile = [live(f"p{n}", when("event.text", "regex_match", f"(.{{0,30}}a){{{n}}}!")) for n in range(20, 30)]
    hostile.append(live("odd", when("event.text", "contains", "x" * 1_000_000)))
    hostile.append(live("none", when("event.text", "regex_match", "(unclosed")))
    index = PromptIndex.build([*hostile, live("fine", when("event.text", "contains", "the tax"))])

    assert slugs(index.judge(PUSH).applying) == ["fine"]
    found = index.judge({"event": {"text": "ba" * 24 + "!"}}).applying
    assert slugs(found) == ["p20", "p21", "p22", "p23", "p24"]


@pytest.mark.parametrize(
    ("conditions", "asked"),
    [
        ([when("event.type", "equals", "push")], set()),
        ([when("change.risk", "greater_than", 50)], {"change"}),
        ([when("change.risk", "greater_than", 50), when("codebase.files", "less_than", 9)], {"change", "codebase"}),
        ([when("change.risk", "greater_than", 50), when("event.type", "equals", "release")], set()),
        ([when("change.risk", "greater_than", 50), when("event.action", "not_equals", None)], set()),
        (
            [when("change.risk", "greater_than", 5, either=True), when("event.type", "equals", "x", either=True)],
            {"change"},
        ),
    ],
)
def test_code_is_asked_for_only_where_it_can_decide(conditions: list[ConditionSpec], asked: set[str]) -> None:
    assert PromptIndex.build([live("p", *conditions)]).asks(PUSH) == asked


def test_prompts_are_found_by_their_slug() -> None:
    one, other = live("a"), live("b")
    index = PromptIndex.build([other, one], revision=7)

    assert (len(index), index.prompts, index.revision) == (2, [one, other], 7)
    assert (index.get("b"), index.get("c")) == (other, None)
