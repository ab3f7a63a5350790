import time
from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contexten_core.prompts.conditions import (
    ConditionVerdict,
    all_hold,
    bounded,
    expected_problem,
    holds,
    judge,
    look_up,
)
from contexten_core.prompts.models import ConditionOperator, LogicalOperator
from contexten_core.prompts.spec import ConditionSpec

EXAMPLES = settings(deadline=None, derandomize=True, database=None)
OPERATORS = list(ConditionOperator)


def _holds(operator: str, seen: Any, expected: Any) -> bool:
    return judge(ConditionSpec("field", ConditionOperator(operator), expected), {"field": seen}).holds


@pytest.mark.parametrize(
    ("operator", "seen", "expected", "is_so"),
    [
        ("equals", "push", "push", True),
        ("equals", "push", "Push", False),
        ("equals", None, None, True),
        ("equals", 3, 3.0, True),
        ("equals", ["a", 1], ["a", 1], True),
        ("equals", ["a", 1], ["a", True], False),
        ("equals", {"a": [1]}, {"a": [1]}, True),
        ("not_equals", "push", "pull_request", True),
        ("not_equals", "push", "push", False),
        ("not_equals", None, "push", True),
        ("contains", "fix the build", "the", True),
        ("contains", "fix the build", "", True),
        ("contains", ["bug", "ci"], "ci", True),
        ("contains", ["bug", "ci"], "c", False),
        ("contains", [1], True, False),
        ("contains", None, "ci", False),
        ("contains", {"ci": 1}, "ci", False),
        ("not_contains", ["bug"], "ci", True),
        ("not_contains", "fix ci", "ci", False),
        ("not_contains", None, "ci", True),
        ("greater_than", 3, 2.5, True),
        ("greater_than", 2, 2, False),
        ("greater_than", "b", "a", False),
        ("greater_than", None, 0, False),
        ("greater_than", "2026-01-07T10:00:00Z", "2026-01-07T10:30:00+01:00", True),
        ("greater_than", "2026-01-07", "2026-01-06T23:59:59", True),
        ("greater_than", "2026-01-07", 2025, False),
        ("less_than", 2, 3, True),
        ("less_than", 3, 3, False),
        ("less_than", "2026-01-07T10:00:00.5Z", "2026-01-07T10:00:01Z", True),
        ("less_than", "yesterday", "2026-01-07", False),
        ("less_than", "2026-13-45", "2026-01-07", False),
        ("in", "push", ["push", "pull_request"], True),
        ("in", None, [None, "opened"], True),
        ("in", "closed", [None, "opened"], False),
        ("in", ["a"], [["a"], "b"], True),
        ("in", "push", "push pull_request", False),
        ("not_in", "closed", ["opened"], True),
        ("not_in", "opened", ["opened"], False),
        ("not_in", "push", "push pull_request", True),
        ("regex_match", "release/1.2", r"^release/\d+\.\d+$", True),
        ("regex_match", "my release/1.2", "release", True),
        ("regex_match", "main", "^release/", False),
    ],
)
def test_each_operator(operator: str, seen: Any, expected: Any, is_so: bool) -> None:
    assert _holds(operator, seen, expected) is is_so


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


@pytest.mark.parametrize("expected", [7, None, ["a"], "(unclosed", "(?=lookahead)", r"\1", "a{1000}{1000}"])
def test_what_is_not_a_pattern_matches_nothing(expected: Any) -> None:
    assert not _holds("regex_match", "aaaa", expected)


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|aa)+$", "(.*)*$", "^(([a-z])+.)+[A-Z]([a-z])+$", "(x+x+)+y", "(.*a){300}c", "(a?){900}b"]
)
def test_a_hostile_pattern_takes_no_time(pattern: str) -> None:
    started_at = time.process_time()
    _holds("regex_match", "a" * 19_999 + "!", pattern)

    assert time.process_time() - started_at < 2  # a backtracking engine would need more than the age of the universe


@EXAMPLES
@given(st.sampled_from(OPERATORS), st.from_type(object) | st.text(), st.from_type(object) | st.text())
def test_no_values_make_it_raise(operator: ConditionOperator, seen: Any, expected: Any) -> None:
    assert isinstance(_holds(operator, seen, expected), bool)


@pytest.mark.parametrize(
    ("operator", "expected", "problem"),
    [
        ("equals", object(), None),
        ("in", "push", "in needs a list"),
        ("not_in", ["push"], None),
        ("greater_than", 3, None),
        ("greater_than", "2026-01-07", None),
        ("greater_than", True, "greater_than needs a number, or a time in ISO 8601"),
        ("less_than", "soon", "less_than needs a number, or a time in ISO 8601"),
        ("regex_match", 7, "regex_match needs a regular expression of at most 1000 characters"),
        ("regex_match", "a" * 1_001, "regex_match needs a regular expression of at most 1000 characters"),
        ("regex_match", "(a", "is no regular expression of RE2: missing ): (a"),
        ("regex_match", r"\pL{999}", "is no regular expression of RE2: pattern too large - compile failed"),
    ],
)
def test_what_could_never_be_compared_with_is_said(operator: str, expected: Any, problem: str | None) -> None:
    assert expected_problem(ConditionOperator(operator), expected) == problem


def test_the_verdict_shows_what_was_seen() -> None:
    condition = ConditionSpec("event.text", ConditionOperator.EQUALS, "x", name="the text", group="a")

    assert judge(condition, {"event": {"text": "y" * 500}}) == ConditionVerdict(
        name="the text",
        field="event.text",
        operator=ConditionOperator.EQUALS,
        expected="x",
        seen="y" * 199 + "…",
        holds=False,
        group="a",
    )


@pytest.mark.parametrize("path", ["event.nothing", "event.type.deeper", "nothing.at.all", "", "event."])
def test_a_path_that_leads_nowhere_sees_none(path: str) -> None:
    assert look_up({"event": {"type": "push"}}, path) is None


@pytest.mark.parametrize("operator", OPERATORS)
def test_what_was_not_looked_up_holds_for_nothing(operator: ConditionOperator) -> None:
    verdict = judge(ConditionSpec("change.risk", operator, [1]), {"event": {}})

    assert (verdict.holds, verdict.looked_up, verdict.seen) == (False, False, None)


def test_values_are_judged_in_jsons_types_and_cut_where_they_are_long() -> None:
    moment = datetime(2026, 1, 7, tzinfo=UTC)

    assert bounded(("a", {"b": (1, moment)}, float("nan"), object())) == [
        "a",
        {"b": [1, moment.isoformat()]},
        None,
        None,
    ]
    assert len(bounded("x" * 30_000)) == 20_000
    assert len(bounded(["x"] * 5_000)) == 1_000
    assert len(bounded(["x" * 500] * 1_000)) < 250


def _joined(*members: tuple[str, bool, str | None]) -> bool:
    conditions = [
        ConditionSpec("field", ConditionOperator.EQUALS, is_so, logical_operator=LogicalOperator(logical), group=group)
        for logical, is_so, group in members
    ]
    fields = {"field": True}
    results = {
        found
        for order in permutations(conditions)
        for found in (holds(order, fields), all_hold([judge(one, fields) for one in order]))
    }
    assert len(results) == 1, "the order of conditions changed the verdict"
    return results.pop()


@pytest.mark.parametrize(
    ("members", "is_so"),
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
def test_how_verdicts_join(members: list[tuple[str, bool, str | None]], is_so: bool) -> None:
    assert _joined(*members) is is_so
