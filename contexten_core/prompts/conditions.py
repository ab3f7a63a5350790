"""Whether one condition holds for what is known of an event: pure, typed, and never raising."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import re2

from contexten_core.prompts.models import ConditionOperator, LogicalOperator
from contexten_core.security.text import shorten

_REGEX_INPUT_LIMIT = 20_000
_SHOWN_LIMIT = 200


class Condition(Protocol):
    """The parts of a stored condition that decide."""

    condition_name: str
    field_name: str
    operator: ConditionOperator
    expected_value: Any
    logical_operator: LogicalOperator
    group_id: str | None


@dataclass(frozen=True, slots=True)
class ConditionVerdict:
    """One condition, the value that it saw, and whether it held."""

    name: str
    field: str
    operator: ConditionOperator
    expected: Any
    seen: Any
    holds: bool


def judge(condition: Condition, fields: Mapping[str, Any]) -> ConditionVerdict:
    """Compare the value at the condition's dotted path with the expected one. A path that leads nowhere sees None.

    Values of different types are never equal, larger or smaller; `regex_match` searches in linear time (RE2).
    """
    seen = look_up(fields, condition.field_name)
    return ConditionVerdict(
        name=condition.condition_name,
        field=condition.field_name,
        operator=condition.operator,
        expected=condition.expected_value,
        seen=shorten(seen, _SHOWN_LIMIT) if isinstance(seen, str) else seen,
        holds=_COMPARE[condition.operator](seen, condition.expected_value),
    )


def all_hold(conditions: Sequence[Condition], verdicts: Sequence[ConditionVerdict]) -> bool:
    """Join verdicts: within a group every AND must hold and, where there are ORs, one of them; groups by AND.

    No conditions at all hold for nothing, so that an unfinished prompt does not take every event.
    """
    groups: dict[str | None, list[tuple[LogicalOperator, bool]]] = {}
    for condition, verdict in zip(conditions, verdicts, strict=True):
        groups.setdefault(condition.group_id, []).append((condition.logical_operator, verdict.holds))
    return bool(groups) and all(_group_holds(members) for members in groups.values())


def _group_holds(members: list[tuple[LogicalOperator, bool]]) -> bool:
    required = [holds for operator, holds in members if operator is LogicalOperator.AND]
    alternatives = [holds for operator, holds in members if operator is LogicalOperator.OR]
    return all(required) and (not alternatives or any(alternatives))


def look_up(fields: Mapping[str, Any], path: str) -> Any:
    value: Any = fields
    for key in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def _equal(seen: Any, expected: Any) -> bool:
    if isinstance(seen, bool) != isinstance(expected, bool):
        return False
    return bool(seen == expected)


def _contains(seen: Any, expected: Any) -> bool:
    if isinstance(seen, str):
        return isinstance(expected, str) and expected in seen
    return isinstance(seen, list | tuple) and any(_equal(item, expected) for item in seen)


def _among(seen: Any, expected: Any) -> bool:
    return isinstance(expected, list | tuple) and any(_equal(seen, item) for item in expected)


def _ordered(seen: Any, expected: Any, compare: Callable[[Any, Any], bool]) -> bool:
    for kinds in ((int, float), (str,)):
        if isinstance(seen, kinds) and isinstance(expected, kinds):
            return not isinstance(seen, bool) and not isinstance(expected, bool) and compare(seen, expected)
    return False


def _matches(seen: Any, expected: Any) -> bool:
    if not isinstance(seen, str) or not isinstance(expected, str):
        return False
    try:
        return re2.search(expected, seen[:_REGEX_INPUT_LIMIT]) is not None
    except re2.error:
        return False


_COMPARE: dict[ConditionOperator, Callable[[Any, Any], bool]] = {
    ConditionOperator.EQUALS: _equal,
    ConditionOperator.NOT_EQUALS: lambda seen, expected: not _equal(seen, expected),
    ConditionOperator.CONTAINS: _contains,
    ConditionOperator.NOT_CONTAINS: lambda seen, expected: not _contains(seen, expected),
    ConditionOperator.GREATER_THAN: lambda seen, expected: _ordered(seen, expected, lambda a, b: a > b),
    ConditionOperator.LESS_THAN: lambda seen, expected: _ordered(seen, expected, lambda a, b: a < b),
    ConditionOperator.IN: _among,
    ConditionOperator.NOT_IN: lambda seen, expected: not _among(seen, expected),
    ConditionOperator.REGEX_MATCH: _matches,
}
