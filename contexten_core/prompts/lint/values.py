"""Whether some value of one field satisfies several comparisons at once.

The values that there are fall into regions which the comparisons cannot tell apart: each constant that they name, the
numbers between two of these, and texts, lists and objects that are none of them. Constants and numbers are judged as
selection judges them. Of the other texts and lists only what one comparison says of another is known, and what is not
known counts as possible: "impossible" is always true, "possible" may not be.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from math import ceil, floor, isfinite
from typing import Any

from contexten_core.prompts.conditions import comparison, expected_problem, key_of
from contexten_core.prompts.models import ConditionOperator

_MOST_STEPS = 400
_MOST_INTEGERS = 16
_ANY_TEXT = frozenset({"", "^", "$", ".*", "^.*", ".*$"})
# Without the question mark, which stands for what UTF-8 lacks.
_PLAIN = re.compile(r"(?:[A-Za-z0-9 _/:@#,=%&;<>!~\"'-]|\\[./+*()\[\]{}|^$-])+")
_LONGEST_PATTERN = 1_000


class _Absent:
    """Stands where a value that takes work has not been looked up: no comparison holds for it."""


_ABSENT = _Absent()


class Kind(StrEnum):
    """What JSON knows, with whole numbers apart."""

    NULL = "null"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    NUMBER = "number"
    TEXT = "text"
    LIST = "list"
    OBJECT = "object"


@dataclass(frozen=True, slots=True)
class Domain:
    """What a field can be.

    Attributes:
        values: all the texts that it, or an item of it, can be, where they are known.
        is_later: whether it may not be looked up at all.
    """

    kinds: frozenset[Kind] = frozenset(Kind)
    values: frozenset[str] | None = None
    is_later: bool = False

    def has(self, value: Any) -> bool:
        kind = kind_of(value)
        if kind is Kind.TEXT:
            return Kind.TEXT in self.kinds and (self.values is None or value in self.values)
        if kind in (Kind.INTEGER, Kind.NUMBER):
            is_whole = kind is Kind.INTEGER or (isfinite(value) and value == floor(value))
            return Kind.NUMBER in self.kinds or (is_whole and Kind.INTEGER in self.kinds)
        return kind in self.kinds


ANYTHING = Domain()


def kind_of(value: Any) -> Kind:
    if value is None:
        return Kind.NULL
    for types, kind in _KINDS:
        if isinstance(value, types):
            return kind
    return Kind.OBJECT


_KINDS = ((bool, Kind.BOOLEAN), (int, Kind.INTEGER), (float, Kind.NUMBER), (str, Kind.TEXT), (list | tuple, Kind.LIST))
_SCALARS = frozenset({Kind.NULL, Kind.BOOLEAN, Kind.INTEGER, Kind.NUMBER, Kind.TEXT})
_POSITIVE = {
    ConditionOperator.NOT_EQUALS: ConditionOperator.EQUALS,
    ConditionOperator.NOT_CONTAINS: ConditionOperator.CONTAINS,
    ConditionOperator.NOT_IN: ConditionOperator.IN,
}


class Literal:
    """One comparison of a field, or that it does not hold. There is one object for each: they are equal by identity.

    Attributes:
        negated: whether it compares the other way round, as `not_equals` does.
        denied: whether it is the opposite of that. The two differ where a value has not been looked up.
    """

    def __init__(
        self, *, field: str, operator: ConditionOperator, expected: Any, negated: bool = False, denied: bool = False
    ) -> None:
        self.field = field
        self.operator = operator
        self.expected = expected
        self.denied = denied
        self.is_positive = negated is denied
        self._compare = comparison(operator, expected)
        self._judged: dict[Any, bool] = {}

    def holds(self, value: Any) -> bool:
        """Tell whether it holds for a plain value, as selection would."""
        if value is _ABSENT:
            return self.denied
        key = key_of(value)
        found = self._judged.get(key)
        if found is None:
            found = self._judged[key] = self._compare(value) is self.is_positive
        return found

    def is_against(self, other: "Literal") -> bool:
        """Tell whether the two say the opposite of the same comparison."""
        return (
            self.is_positive is not other.is_positive
            and self.operator is other.operator
            and is_same(self.expected, other.expected)
        )

    @cached_property
    def constants(self) -> tuple[Any, ...]:
        """The plain values that it names."""
        if self.operator is ConditionOperator.EQUALS:
            named: Sequence[Any] = [self.expected]
        elif self.operator is ConditionOperator.IN and isinstance(self.expected, list | tuple):
            named = self.expected
        else:
            return ()
        return tuple(value for value in named if kind_of(value) in _SCALARS)

    @cached_property
    def is_finite(self) -> bool:
        """Whether the plain values that it names are all that it holds for."""
        if not self.is_positive or self.operator not in (ConditionOperator.EQUALS, ConditionOperator.IN):
            return False
        named = self.expected if self.operator is ConditionOperator.IN else [self.expected]
        return not isinstance(named, list | tuple) or len(self.constants) == len(named)

    @cached_property
    def text(self) -> str | None:
        """What every text contains that its comparison holds for, as far as that can be said."""
        if not isinstance(self.expected, str):
            return None
        if self.operator is ConditionOperator.CONTAINS:
            return self.expected
        if self.operator is ConditionOperator.REGEX_MATCH:
            return _plain(self.expected.removeprefix("^").removesuffix("$"))
        return None

    def among(self, kind: Kind, domain: Domain) -> bool | None:
        """Tell whether it holds for the texts, lists or objects that no comparison names; None where it depends."""
        found = self._compares_among(kind, domain)
        return None if found is None else found is self.is_positive

    def _compares_among(self, kind: Kind, domain: Domain) -> bool | None:
        match self.operator:
            case ConditionOperator.CONTAINS:
                return self._contained_among(kind, domain)
            case ConditionOperator.REGEX_MATCH:
                if kind is not Kind.TEXT or not self._is_pattern:
                    return False
                return True if self.expected in _ANY_TEXT else None
            case ConditionOperator.GREATER_THAN | ConditionOperator.LESS_THAN:
                return None if kind_of(self.expected) is kind else False
            case ConditionOperator.IN:
                named = self.expected if isinstance(self.expected, list | tuple) else []
                return None if any(kind_of(value) is kind for value in named) and kind is not Kind.TEXT else False
            case _:
                return None if kind_of(self.expected) is kind and kind is not Kind.TEXT else False

    def _contained_among(self, kind: Kind, domain: Domain) -> bool | None:
        if kind is Kind.TEXT:
            return (None if self.expected else True) if isinstance(self.expected, str) else False
        is_item = domain.values is None or self.expected in domain.values if isinstance(self.expected, str) else True
        return None if kind is Kind.LIST and is_item else False

    @cached_property
    def _is_pattern(self) -> bool:
        if not isinstance(self.expected, str):
            return False
        return len(self.expected) > _LONGEST_PATTERN or expected_problem(self.operator, self.expected) is None


def is_same(one: Any, other: Any) -> bool:
    """Tell whether two expected values are the same in type and content."""
    return one is other or (type(one) is type(other) and bool(one == other) and repr(one) == repr(other))


def normal(operator: ConditionOperator, expected: Any) -> tuple[ConditionOperator, Any, bool]:
    """Return the comparison that says the same with the fewest operators, and whether it is negated.

    A regular expression that matches nothing but some plain texts as a whole is the list of these.
    """
    positive = _POSITIVE.get(operator, operator)
    negated = positive is not operator
    if positive is ConditionOperator.REGEX_MATCH and isinstance(expected, str) and (texts := _whole(expected)):
        return ConditionOperator.IN, texts, negated
    return positive, expected, negated


def _whole(pattern: str) -> list[str] | None:
    if not pattern.startswith("^") or not pattern.endswith("$") or len(pattern) > _LONGEST_PATTERN:
        return None
    inner = pattern[1:-1]
    for opening in ("(?:", "("):
        if inner.startswith(opening) and inner.endswith(")") and not inner.endswith("\\)"):
            texts = [_plain(part) for part in inner[len(opening) : -1].split("|")]
            return [text for text in texts if text is not None] if None not in texts else None
    text = _plain(inner)
    return None if text is None else [text]


def _plain(pattern: str) -> str | None:
    """Return the one text that a pattern without special signs matches."""
    return re.sub(r"\\(.)", r"\1", pattern) if _PLAIN.fullmatch(pattern) else None


class Clause:
    """Comparisons of which at least one has to hold. There is one object for each."""

    def __init__(self, literals: tuple[Literal, ...]) -> None:
        self.literals = literals
        fields = {literal.field for literal in literals}
        self.field = literals[0].field if len(fields) == 1 else None
        self.is_finite = all(literal.is_finite for literal in literals)
        self._first, *self._others = literals

    def holds(self, value: Any) -> bool:
        return self._first.holds(value) or any(literal.holds(value) for literal in self._others)


@dataclass(frozen=True, slots=True)
class Values:
    """The values that satisfy some clauses of a field.

    Attributes:
        points: plain ones, by the key that tells them apart.
        is_all: whether there are no others, known or not.
        is_none: whether there are none at all.
        samples: a few of them, numbers that stand for others too.
    """

    points: dict[Any, Any]
    is_all: bool
    is_none: bool
    samples: tuple[Any, ...] = ()


def values_of(clauses: Sequence[Clause], domain: Domain) -> Values:
    """Return the values that satisfy all these clauses of one field."""
    exact, between = _candidates(clauses, domain)
    points = {key_of(value): value for value in exact if _all_hold(clauses, value)}
    beside = [value for value in between if _all_hold(clauses, value)]
    others = bool(beside) or (
        not any(clause.is_finite for clause in clauses)
        and any(
            _possible_among(kind, clauses, domain)
            for kind in (Kind.TEXT, Kind.LIST, Kind.OBJECT)
            if kind in domain.kinds and (kind is not Kind.TEXT or domain.values is None)
        )
    )
    plain = list(points.values())
    samples = (*plain[:1], *plain[-1:], *beside[:1], *beside[-1:])
    return Values(points, is_all=not others, is_none=not points and not others, samples=samples)


def _all_hold(clauses: Iterable[Clause], value: Any) -> bool:
    return all(clause.holds(value) for clause in clauses)


def _candidates(clauses: Sequence[Clause], domain: Domain) -> tuple[list[Any], list[Any]]:
    """Return the constants to try, and the numbers that stand for all those between and beyond them."""
    finite = next((clause for clause in clauses if clause.is_finite), None)
    if finite is not None:
        named = [value for literal in finite.literals for value in literal.constants]
        return [value for value in named if domain.has(value)], [_ABSENT] if domain.is_later else []
    literals = [literal for clause in clauses for literal in clause.literals]
    named = [value for literal in literals for value in literal.constants]
    limits = [literal.expected for literal in literals if _is_number(literal.expected)]
    exact: list[Any] = [None, True, False, *named, *(domain.values or ())]
    between: list[Any] = []
    numbers = sorted({value for value in [*named, *limits] if _is_number(value) and isfinite(value)})
    exact += numbers
    if numbers:
        between += [ceil(numbers[0]) - 1, floor(numbers[-1]) + 1]
        for low, high in pairwise(numbers):
            _add_between(low, high, domain, exact, between)
    else:
        between.append(0)
    between = [value for value in between if domain.has(value)]
    return [value for value in exact if domain.has(value)], [*between, *([_ABSENT] if domain.is_later else [])]


def _add_between(low: float, high: float, domain: Domain, exact: list[Any], between: list[Any]) -> None:
    first, last = floor(low) + 1, ceil(high) - 1
    if Kind.NUMBER not in domain.kinds and last - first < _MOST_INTEGERS:
        exact += range(first, last + 1)
    elif first <= last:
        between += [first, last]
    elif low < (middle := (low + high) / 2) < high:
        between.append(middle)


def _is_number(value: Any) -> bool:
    return kind_of(value) in (Kind.INTEGER, Kind.NUMBER)


def _possible_among(kind: Kind, clauses: Sequence[Clause], domain: Domain) -> bool:
    open_clauses: list[list[Literal]] = []
    for clause in clauses:
        known = [literal.among(kind, domain) for literal in clause.literals]
        if True in known:
            continue
        unknown = [literal for literal, found in zip(clause.literals, known, strict=True) if found is None]
        if not unknown:
            return False
        open_clauses.append(unknown)
    open_clauses.sort(key=len)
    steps = [0]

    def can(chosen: list[Literal], rest: Sequence[list[Literal]]) -> bool:
        if not rest:
            return True
        steps[0] += 1
        if steps[0] > _MOST_STEPS:
            return True
        return any(
            can([*chosen, literal], rest[1:])
            for literal in rest[0]
            if not any(_excludes(literal, other, kind) or _excludes(other, literal, kind) for other in chosen)
        )

    return can([], open_clauses)


def _excludes(one: Literal, other: Literal, kind: Kind) -> bool:
    """Tell whether no text (list, object) that `one` holds for is one that `other` holds for."""
    if one.is_against(other):
        return True
    if not one.is_positive:
        return False
    if other.is_positive:
        is_equality = one.operator is other.operator is ConditionOperator.EQUALS
        return is_equality and bool(one.expected != other.expected)
    return (
        kind is Kind.TEXT
        and one.text is not None
        and other.operator is ConditionOperator.CONTAINS
        and isinstance(other.expected, str)
        and other.expected in one.text
    )
