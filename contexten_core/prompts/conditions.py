"""Whether conditions hold for what is known of an event: pure, typed, and never raising."""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import re2

from contexten_core.prompts.fields import is_later, root_of
from contexten_core.prompts.models import ConditionOperator, LogicalOperator
from contexten_core.prompts.spec import ConditionSpec
from contexten_core.security.text import shorten

LONGEST_TEXT = 20_000
"""So many characters of a text are judged; no event has more."""

_LONGEST_ITEM = 500
_MOST_ITEMS = 1_000
_MOST_IN_LIST = 100_000
_DEEPEST = 4
_LARGEST_INTEGER = 2**63
_SHOWN_TEXT = 200
_SHOWN_ITEMS = 20
_LONGEST_PATTERN = 1_000
_PATTERNS_KEPT = 1_024
# RE2 takes time by the size of its program where the states are too many to keep: this allows about 0.2 s at worst.
_PATTERN_MEMORY = 256 * 1024
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}(?:[Tt ]\d{2}:\d{2}.{0,25})?")

Holds = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class ConditionVerdict:
    """One condition, the value that it saw, and whether it held.

    Attributes:
        seen: shortened where it is long.
        looked_up: False where the value takes work to find out, and nothing depended on it: it then does not hold.
    """

    name: str
    field: str
    operator: ConditionOperator
    expected: Any
    seen: Any
    holds: bool
    logical_operator: LogicalOperator = LogicalOperator.AND
    group: str | None = None
    looked_up: bool = True


def judge(condition: ConditionSpec, fields: Mapping[str, Any]) -> ConditionVerdict:
    """Compare the value at the condition's dotted path with the expected one. A path that leads nowhere sees None.

    Values of different types are never equal, larger or smaller; `regex_match` searches in linear time (RE2).
    """
    looked_up = is_looked_up(condition.field, fields)
    return verdict(condition, bounded(look_up(fields, condition.field)), looked_up=looked_up)


def verdict(condition: ConditionSpec, seen: Any, *, looked_up: bool = True) -> ConditionVerdict:
    """Compare a value, which is `bounded`, with what a condition expects."""
    return ConditionVerdict(
        name=condition.name or condition.field,
        field=condition.field,
        operator=condition.operator,
        expected=condition.expected,
        seen=_shown(seen),
        holds=looked_up and comparison(condition.operator, condition.expected)(seen),
        logical_operator=condition.logical_operator,
        group=condition.group,
        looked_up=looked_up,
    )


def holds(conditions: Sequence[ConditionSpec], fields: Mapping[str, Any]) -> bool:
    """Tell whether conditions, taken together, hold for an event; see `join`."""
    return join((one.group, one.logical_operator, judge(one, fields).holds) for one in conditions)


def all_hold(verdicts: Iterable[ConditionVerdict]) -> bool:
    """Tell whether verdicts, taken together, hold; see `join`."""
    return join((one.group, one.logical_operator, one.holds) for one in verdicts)


def join(judged: Iterable[tuple[str | None, LogicalOperator, bool]]) -> bool:
    """Join verdicts: within a group every AND must hold and, where there are ORs, one of them; groups by AND.

    No conditions at all hold for nothing, so that an unfinished prompt does not take every event.
    """
    is_any = is_broken = False
    alternatives: dict[str | None, bool] = {}
    for group, operator, is_so in judged:
        is_any = True
        if operator is LogicalOperator.OR:
            alternatives[group] = alternatives.get(group, False) or is_so
        elif not is_so:
            is_broken = True
    return is_any and not is_broken and all(alternatives.values())


def look_up(fields: Mapping[str, Any], path: str) -> Any:
    """Return the value at a dotted path, or None."""
    value: Any = fields
    for key in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def is_looked_up(path: str, fields: Mapping[str, Any]) -> bool:
    """Tell whether a value was found out, or is there without work."""
    return not is_later(path) or root_of(path) in fields


def bounded(value: Any, *, depth: int = 0) -> Any:
    """Return a value as it is judged and kept: in JSON's types, and cut where it is very long."""
    found: Any = None
    match value:
        case bool():
            found = value
        case str():
            found = str(value)[: _LONGEST_ITEM if depth else LONGEST_TEXT]
        case int() if abs(value) < _LARGEST_INTEGER:
            found = value
        case float() if math.isfinite(value):
            found = value
        case datetime():
            found = value.isoformat()
        case list() | tuple() if depth < _DEEPEST:
            found = _bounded_list(value, depth)
        case Mapping() if depth < _DEEPEST:
            pairs = zip(range(_MOST_ITEMS), value.items(), strict=False)
            found = {str(key)[:_LONGEST_ITEM]: bounded(item, depth=depth + 1) for _, (key, item) in pairs}
    return found


def _bounded_list(value: Sequence[Any], depth: int) -> list[Any]:
    items: list[Any] = []
    size = 0
    for item in value[:_MOST_ITEMS]:
        items.append(bounded(item, depth=depth + 1))
        size += len(item) if isinstance(item, str) else 1
        if size > _MOST_IN_LIST:
            break
    return items


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return shorten(value, _SHOWN_TEXT)
    if isinstance(value, list) and len(value) > _SHOWN_ITEMS:
        return [*(_shown(item) for item in value[:_SHOWN_ITEMS]), f"… and {len(value) - _SHOWN_ITEMS} more"]
    if isinstance(value, list):
        return [_shown(item) for item in value]
    return value


def expected_problem(operator: ConditionOperator, expected: Any) -> str | None:
    """Return why `expected` is nothing that `operator` could ever compare with, or None."""
    match operator:
        case ConditionOperator.IN | ConditionOperator.NOT_IN:
            return None if isinstance(expected, list) else f"{operator.value} needs a list"
        case ConditionOperator.GREATER_THAN | ConditionOperator.LESS_THAN:
            is_fit = _is_number(expected) or _moment(expected) is not None
            return None if is_fit else f"{operator.value} needs a number, or a time in ISO 8601"
        case ConditionOperator.REGEX_MATCH:
            return _pattern_problem(expected)
        case _:
            return None


def _pattern_problem(pattern: Any) -> str | None:
    if not isinstance(pattern, str) or len(pattern) > _LONGEST_PATTERN:
        return f"regex_match needs a regular expression of at most {_LONGEST_PATTERN} characters"
    found = _compiled(pattern)
    return f"is no regular expression of RE2: {found}" if isinstance(found, str) else None


@lru_cache(maxsize=_PATTERNS_KEPT)
def _compiled(pattern: str) -> Any:
    """Return a compiled pattern, or what is wrong with it."""
    try:
        return re2.compile(encoded(pattern), pattern_options(_PATTERN_MEMORY))
    except re2.error as error:
        said = error.args[0]
        return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


def pattern_options(memory: int) -> re2.Options:
    """Return how every pattern is read. `memory` is in bytes, its program and all that it remembers of a search."""
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = memory
    return options


def encoded(text: str) -> bytes:
    """Return a text as RE2 reads it; what UTF-8 lacks becomes a question mark."""
    return text.encode(errors="replace")


def comparison(operator: ConditionOperator, expected: Any) -> Holds:
    """Return what tells whether a value that is `bounded` compares with `expected`, which may be anything."""
    return _COMPARISONS[operator](expected)


def key_of(value: Any) -> Any:
    """Return a key that two values share exactly when they are equal, or raise TypeError for lists and objects."""
    match value:
        case bool():
            return (value,)
        case None | str() | int() | float():
            return value
        case _:
            raise TypeError(f"{type(value).__name__} has no key")


def canonical(value: Any) -> Any:
    """Return a key of an expected value by which conditions that do the same are found, where there is one."""
    try:
        return type(value), key_of(value)
    except TypeError:
        pass
    try:
        return json.dumps(value, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        return object()


def is_equal(seen: Any, expected: Any) -> bool:
    """Compare two values by type and content: no number is a boolean, at whatever depth."""
    match seen:
        case bool():
            return isinstance(expected, bool) and seen is expected
        case int() | float():
            return _is_number(expected) and bool(seen == expected)
        case str() | None:
            return bool(seen == expected)
        case list():
            return (
                isinstance(expected, list | tuple)
                and len(seen) == len(expected)
                and all(is_equal(one, other) for one, other in zip(seen, expected, strict=True))
            )
        case Mapping():
            return (
                isinstance(expected, Mapping)
                and seen.keys() == expected.keys()
                and all(is_equal(item, expected[key]) for key, item in seen.items())
            )
        case _:
            return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _moment(value: Any) -> datetime | None:
    """Return the time that a text in ISO 8601 means; without a zone it is UTC."""
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _equals(expected: Any) -> Holds:
    # Most are of these; the rest is slower, and does the same.
    match expected:
        case None | bool():
            return lambda seen: seen is expected
        case str():
            return lambda seen: bool(seen == expected)
        case int() | float():
            return lambda seen: bool(seen == expected) and not isinstance(seen, bool)
        case _:
            return lambda seen: is_equal(seen, expected)


def _differs(expected: Any) -> Holds:
    if isinstance(expected, str):
        return lambda seen: bool(seen != expected)
    return _not(_equals(expected))


def _contains(expected: Any) -> Holds:
    def compare(seen: Any) -> bool:
        if isinstance(seen, str):
            return isinstance(expected, str) and expected in seen
        return isinstance(seen, list) and any(is_equal(item, expected) for item in seen)

    return compare


def _among(expected: Any) -> Holds:
    if not isinstance(expected, list | tuple):
        return _never
    try:
        keys = {key_of(item) for item in expected}
    except TypeError:
        return lambda seen: any(is_equal(seen, item) for item in expected)
    return lambda seen: not isinstance(seen, list | Mapping) and key_of(seen) in keys


def _ordered(expected: Any, compare: Callable[[Any, Any], bool]) -> Holds:
    if _is_number(expected):
        return lambda seen: _is_number(seen) and compare(seen, expected)
    limit = _moment(expected)
    if limit is None:
        return _never
    return lambda seen: (moment := _moment(seen)) is not None and compare(moment, limit)


def _matches(expected: Any) -> Holds:
    if not isinstance(expected, str):
        return _never

    def compare(seen: Any) -> bool:
        pattern = _compiled(expected) if isinstance(seen, str) else None
        return pattern is not None and not isinstance(pattern, str) and pattern.search(encoded(seen)) is not None

    return compare


def _never(seen: Any) -> bool:  # noqa: ARG001 - the shape of a comparison
    return False


def _not(compare: Holds) -> Holds:
    return lambda seen: not compare(seen)


_COMPARISONS: dict[ConditionOperator, Callable[[Any], Holds]] = {
    ConditionOperator.EQUALS: _equals,
    ConditionOperator.NOT_EQUALS: _differs,
    ConditionOperator.CONTAINS: _contains,
    ConditionOperator.NOT_CONTAINS: lambda expected: _not(_contains(expected)),
    ConditionOperator.GREATER_THAN: lambda expected: _ordered(expected, lambda one, other: one > other),
    ConditionOperator.LESS_THAN: lambda expected: _ordered(expected, lambda one, other: one < other),
    ConditionOperator.IN: _among,
    ConditionOperator.NOT_IN: lambda expected: _not(_among(expected)),
    ConditionOperator.REGEX_MATCH: _matches,
}
