"""A prompt as an index prepares it: what must hold for it to apply, and what it can be filed under."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from contexten_core.prompts.conditions import Holds, bounded, canonical, comparison, is_looked_up, key_of, look_up
from contexten_core.prompts.fields import LATER, is_later, root_of
from contexten_core.prompts.models import ConditionOperator, LogicalOperator, PromptStatus
from contexten_core.prompts.spec import ConditionSpec, PromptSpec

_COSTS = {ConditionOperator.REGEX_MATCH: 3, ConditionOperator.CONTAINS: 2, ConditionOperator.NOT_CONTAINS: 2}

Text = tuple[str, bool]
"""What must occur in a text: a literal, or (True) a regular expression."""


@dataclass(frozen=True, slots=True)
class LivePrompt:
    """A prompt by the version that events are answered with.

    Attributes:
        experiment_id: the experiment that may answer with another version.
    """

    prompt_id: UUID
    version: int
    spec: PromptSpec
    status: PromptStatus = PromptStatus.ACTIVE
    experiment_id: UUID | None = None


def rank(live: LivePrompt) -> tuple[int, str]:
    """Return by what prompts that apply are ordered: the winner has the least."""
    return (-live.spec.priority, live.spec.slug)


class Predicate:
    """One comparison, shared by all conditions that are the same, and prepared when it is first needed."""

    __slots__ = ("_compare", "cost", "expected", "field", "is_later", "is_shared", "operator")

    def __init__(self, condition: ConditionSpec) -> None:
        self.field = condition.field
        self.operator = condition.operator
        self.expected = condition.expected
        self.is_later = is_later(condition.field)
        self.is_shared = False
        self.cost = _COSTS.get(condition.operator, 1)
        self._compare: Holds | None = None

    @property
    def compare(self) -> Holds:
        if self._compare is None:
            self._compare = comparison(self.operator, self.expected)
        return self._compare


class Entry:
    """A prompt, prepared.

    Attributes:
        order: as of `rank`.
        required: what must hold.
        alternatives: groups of which one must hold.
        denied: values that must not be there.
        whole: of how many parts it is, what is denied being one.
        asks_later: which of `codebase` and `change` it asks about.
        equal: what it can be filed under, as fields and the values of which one must be there.
        texts: likewise, as texts of which one must occur.
    """

    __slots__ = ("alternatives", "asks_later", "denied", "equal", "live", "order", "required", "texts", "whole")

    def __init__(self, live: LivePrompt, predicates: dict[Any, Predicate], *, is_filed: bool = True) -> None:
        self.live = live
        self.order = rank(live)
        conditions = live.spec.conditions
        must: list[list[ConditionSpec]] = []
        required: list[ConditionSpec] = []
        groups: dict[str | None, list[ConditionSpec]] = {}
        denied: list[tuple[str, Any]] | None = None
        for one in conditions:
            if one.logical_operator is LogicalOperator.OR:
                groups.setdefault(one.group, []).append(one)
            elif not is_filed or (keys := _denied(one)) is None:
                required.append(one)
                must.append([one])
            else:
                denied = [*(denied or ()), *((one.field, key) for key in keys)]
        must += groups.values()
        self.required = _in_order(required, predicates)
        self.alternatives = tuple(_in_order(group, predicates) for group in groups.values())
        self.denied = tuple(denied or ())
        self.whole = len(self.required) + len(self.alternatives) + (denied is not None)
        self.asks_later = frozenset(root for one in conditions if (root := root_of(one.field)) in LATER)
        self.equal = tuple(found for group in must if (found := _keys(group)) is not None)
        self.texts = tuple(found for group in must if (found := _texts(group)) is not None)

    def progress(self, seen: "Seen", refuted: "Container[Entry]") -> int:
        """Return how many of its parts hold before the first that does not; `whole` when it applies."""
        held = 0
        for one in self.required:
            if not seen.holds(one):
                return held
            held += 1
        for group in self.alternatives:
            if not any(seen.holds(one) for one in group):
                return held
            held += 1
        return held if self in refuted else self.whole


def _in_order(conditions: Iterable[ConditionSpec], predicates: dict[Any, Predicate]) -> tuple[Predicate, ...]:
    """Return comparisons in the order of their priority, the cheap ones before those that search texts."""
    found = []
    for one in conditions:
        key = (one.field, one.operator, canonical(one.expected))
        predicate = predicates.get(key)
        if predicate is None:
            predicate = predicates[key] = Predicate(one)
        else:
            predicate.is_shared = True
        found.append((-one.priority, predicate.cost, predicate))
    return tuple(predicate for _, _, predicate in sorted(found, key=lambda one: one[:2]))


def _keys(group: Sequence[ConditionSpec]) -> tuple[str, tuple[Any, ...]] | None:
    """Return the field and the values of which one must be there for any of these to hold, if that is what they ask."""
    path = group[0].field
    keys: dict[Any, None] = {}
    for one in group:
        is_list = one.operator is ConditionOperator.IN
        if one.field != path or is_later(path) or not (is_list or one.operator is ConditionOperator.EQUALS):
            return None
        expected = one.expected if is_list else [one.expected]
        try:
            keys |= dict.fromkeys(key_of(value) for value in expected) if isinstance(expected, list | tuple) else {}
        except TypeError:
            return None
    return path, tuple(keys)


def _denied(condition: ConditionSpec) -> list[Any] | None:
    """Return the values that a condition rules out, if that is all that it does."""
    if is_later(condition.field):
        return None
    if condition.operator is ConditionOperator.NOT_EQUALS:
        expected = [condition.expected]
    elif condition.operator is ConditionOperator.NOT_IN and isinstance(condition.expected, list | tuple):
        expected = list(condition.expected)
    else:
        return None
    try:
        return [key_of(value) for value in expected]
    except TypeError:
        return None


def _texts(group: Sequence[ConditionSpec]) -> tuple[str, tuple[Text, ...]] | None:
    """Return the field and the texts of which one must occur in it for any of these to hold, likewise."""
    path = group[0].field
    texts: dict[Text, None] = {}
    for one in group:
        is_pattern = one.operator is ConditionOperator.REGEX_MATCH
        if one.field != path or is_later(path) or not (is_pattern or one.operator is ConditionOperator.CONTAINS):
            return None
        if not isinstance(one.expected, str):
            return None
        texts[one.expected, is_pattern] = None
    return path, tuple(texts)


class Seen:
    """The values of one event, each looked up once, and what is already known to hold for it."""

    __slots__ = ("_assumed", "_fields", "_known", "_values")

    def __init__(self, fields: Mapping[str, Any], *, assumed: bool = False) -> None:
        self._fields = fields
        self._assumed = assumed
        self._values: dict[str, Any] = {}
        self._known: dict[Predicate, bool] = {}

    def value(self, path: str) -> Any:
        if path not in self._values:
            self._values[path] = bounded(look_up(self._fields, path))
        return self._values[path]

    def key(self, path: str) -> Any:
        value = self.value(path)
        return _NO_KEY if isinstance(value, list | dict) else key_of(value)

    def holds(self, predicate: Predicate) -> bool:
        if not predicate.is_shared:
            return self._judge(predicate)
        found = self._known.get(predicate)
        if found is None:
            found = self._known[predicate] = self._judge(predicate)
        return found

    def _judge(self, predicate: Predicate) -> bool:
        path = predicate.field
        if predicate.is_later and not is_looked_up(path, self._fields):
            return self._assumed
        return predicate.compare(self._values[path] if path in self._values else self.value(path))


_NO_KEY = object()
