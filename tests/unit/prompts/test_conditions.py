import time
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contexten_core.prompts.conditions import ConditionVerdict, all_hold, judge, look_up
from contexten_core.prompts.models import ConditionOperator, LogicalOperator

EXAMPLES = settings(deadline=None, derandomize=True, database=None)


@dataclass
class Rule:
    operator: ConditionOperator
    expected_value: Any
    field_name: str = "field"
    condition_name: str = "rule"
    logical_operator: LogicalOperator = LogicalOperator.AND
    group_id: str | None = None


def _holds(operator: str, seen: Any, expected: Any) -> bool:
    return judge(Rule(ConditionOperator(operator), expected), {"field": seen}).holds


@pytest.mark.parametrize(
    ("operator", "seen", "expected", "holds"),
    [
        ("equals", "push", "push", True),
        ("equals", "push", "Push", False),
        ("equals", None, None, True),
        ("equals", 3, 3.0, True),
        ("not_equals", "push", "pull_request", True),
        ("not_equals", "push", "push", False),
        ("not_equals", None, "push", True),
        ("contains", "fix the build", "the", True),
        ("contains", "fix the build", "", True),
        ("contains", ["bug", "ci"], "ci", True),
        ("contains", ["bug", "ci"], "c", False),
        ("contains", None, "ci", False),
        ("contains", {"ci": 1}, "ci", False),
        ("not_contains", ["bug"], "ci", True),
        ("not_contains", "fix ci", "ci", False),
        ("not_contains", None, "ci", True),
        ("greater_than", 3, 2.5, True),
        ("greater_than", 2, 2, False),
        ("greater_than", "b", "a", True),
        ("greater_than", None, 0, False),
        ("less_than", 2, 3, True),
        ("less_than", 3, 3, False),
        ("less_than", "a", "b", True),
        ("in", "push", ["push", "pull_request"], True),
        ("in", None, [None, "opened"], True),
        ("in", "closed", [None, "opened"], False),
        ("in", "push", "push pull_request", False),
        ("not_in", "closed", ["opened"], True),
        ("not_in", "opened", ["opened"], False),
        ("regex_match", "release/1.2", r"^release/\d+\.\d+$", True),
        ("regex_match", "my release/1.2", "release", True),
        ("regex_match", "main", "^release/", False),
    ],
)
def test_each_operator(operator: str, seen: Any, expected: Any, holds: bool) -> None:
    assert _holds(operator, seen, expected) is holds


@pytest.mark.parametrize(("seen", "expected"), [("1", 1), (1, True), (0, False), (None, ""), ("true", True), ([1], 1)])
def test_values_of_different_types_are_not_equal(seen: Any, expected: Any) -> None:
    for left, right in ((seen, expected), (expected, seen)):
        assert not _holds("equals", left, right)
        assert _holds("not_equals", left, right)
        assert not _holds("in", left, [right])
        assert _holds("not_in", left, [right])


@pytest.mark.parametrize(("seen", "expected"), [("10", 9), (10, "9"), (True, 0), (1, False), ([2], [1]), ("b", None)])
def test_values_of_different_types_are_neither_larger_nor_smaller(seen: Any, expected: Any) -> None:
    assert not _holds("greater_than", seen, expected)
    assert not _holds("less_than", seen, expected)


@pytest.mark.parametrize("expected", [7, None, ["a"], "(unclosed", "(?=lookahead)", r"\1"])
def test_what_is_not_a_pattern_matches_nothing(expected: Any) -> None:
    assert not _holds("regex_match", "aaaa", expected)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*)*$", "^(([a-z])+.)+[A-Z]([a-z])+$", "(x+x+)+y"])
def test_a_hostile_pattern_takes_no_time(pattern: str) -> None:
    started_at = time.process_time()
    _holds("regex_match", "a" * 19_999 + "!", pattern)

    assert time.process_time() - started_at < 2  # a backtracking engine would need more than the age of the universe


@EXAMPLES
@given(st.sampled_from(ConditionOperator), st.from_type(object) | st.text(), st.from_type(object) | st.text())
def test_no_values_make_it_raise(operator: ConditionOperator, seen: Any, expected: Any) -> None:
    assert isinstance(_holds(operator, seen, expected), bool)


def test_the_verdict_shows_what_was_seen() -> None:
    rule = Rule(ConditionOperator.EQUALS, "x", field_name="event.text", condition_name="1 event.text")

    assert judge(rule, {"event": {"text": "y" * 500}}) == ConditionVerdict(
        name="1 event.text",
        field="event.text",
        operator=ConditionOperator.EQUALS,
        expected="x",
        seen="y" * 199 + "…",
        holds=False,
    )


@pytest.mark.parametrize("path", ["event.nothing", "event.type.deeper", "nothing.at.all", "", "event."])
def test_a_path_that_leads_nowhere_sees_none(path: str) -> None:
    assert look_up({"event": {"type": "push"}}, path) is None


def _joined(*members: tuple[str, bool, str | None]) -> bool:
    rules = [
        Rule(ConditionOperator.EQUALS, holds, logical_operator=LogicalOperator(logical), group_id=group)
        for logical, holds, group in members
    ]
    verdicts = [judge(rule, {"field": True}) for rule in rules]
    results = {
        all_hold([rules[index] for index in order], [verdicts[index] for index in order])
        for order in permutations(range(len(rules)))
    }
    assert len(results) == 1, "the order of conditions changed the verdict"
    return results.pop()


@pytest.mark.parametrize(
    ("members", "holds"),
    [
        ([], False),
        ([("AND", True, None)], True),
        ([("AND", True, None), ("AND", False, None)], False),
        ([("OR", False, None), ("OR", True, None)], True),
        ([("OR", False, None), ("OR", False, None)], False),
        ([("AND", True, None), ("OR", False, None), ("OR", True, None)], True),
        ([("AND", False, None), ("OR", True, None)], False),
        ([("OR", True, "branch"), ("OR", False, "branch"), ("AND", True, "type")], True),
        ([("OR", True, "branch"), ("AND", False, "type")], False),
    ],
)
def test_how_verdicts_join(members: list[tuple[str, bool, str | None]], holds: bool) -> None:
    assert _joined(*members) is holds
