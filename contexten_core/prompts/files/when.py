"""The conditions of a prompt as people write them in a file, read and written.

    when:
      event.type: [push, pull_request]           # one of these
      event.branch: {not_equals: gh-pages}
      any:                                       # one of these has to hold
        - change.languages: {contains: python}
        - event.title: {matches: "(?i)fix"}
      groups:                                    # more of the same, each under a name; every group has to hold
        small: {any: [change.files: {less_than: 5}, change.risk: low]}

Conditions in another order than this can keep are a list of `{field: ..., OPERATOR: ..., join: OR, group: ...}`.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contexten_core.inputs import LONGEST_NAME
from contexten_core.prompts.conditions import expected_problem
from contexten_core.prompts.files.problems import Path, kind_of, near, nearest
from contexten_core.prompts.models import ConditionOperator, LogicalOperator
from contexten_core.prompts.spec import ConditionSpec
from contexten_core.security.text import one_line

FIELD_PATTERN = r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){0,9}$"
MOST_CONDITIONS = 1_000
_FIELD = re.compile(FIELD_PATTERN)
_LONGEST_FIELD = 200
_HIGHEST = 1_000_000
_OPERATORS = {operator.value: operator for operator in ConditionOperator} | {"matches": ConditionOperator.REGEX_MATCH}
_KNOWN = ", ".join(_OPERATORS)
_WRITTEN = {operator: name for name, operator in _OPERATORS.items()}
_OF_A_CONDITION = ("name", "priority")
_JOINS = {join.value: join for join in LogicalOperator}
_JOINED = frozenset({"any", "all", "groups"})
_LISTED = "field", "group", "join"
_SHORT_TYPES = "string", "number", "boolean", "null"
_SHORT = str | int | float | bool | None


@dataclass(slots=True)
class Reader:
    """Reads what stands under `when`, and tells every problem to `complain(path, message, at_key=...)`.

    Attributes:
        fields: those that are known, to say which one was meant.
        blank: the paths at which nothing is written.
    """

    complain: Callable[..., None]
    fields: Collection[str] = ()
    blank: set[Path] = field(default_factory=set)
    _looked_up: int = 0

    def read(self, value: Any, path: Path) -> tuple[ConditionSpec, ...]:
        if value is None:
            return ()
        if isinstance(value, list):
            found = [condition for number, item in enumerate(value) for condition in self._item(item, (*path, number))]
        elif isinstance(value, dict):
            found = self._group(value, path, None)
        else:
            self.complain(path, f"must be a mapping of fields, not {kind_of(value)}")
            return ()
        if len(found) > MOST_CONDITIONS:
            self.complain(path, f"there are {len(found)} conditions, more than {MOST_CONDITIONS}")
        return tuple(found)

    def _group(self, value: Mapping[str, Any], path: Path, group: str | None) -> list[ConditionSpec]:
        found: list[ConditionSpec] = []
        for key, part in value.items():
            here = (*path, key)
            match key:
                case "any":
                    found += self._several(part, here, group, LogicalOperator.OR)
                case "all":
                    found += self._several(part, here, group, LogicalOperator.AND)
                case "groups" if group is None:
                    found += self._groups(part, here)
                case "groups":
                    self.complain(here, "groups stand beside each other, not inside of one another", at_key=True)
                case _:
                    found += self._field(key, part, here, group, LogicalOperator.AND)
        return found

    def _groups(self, value: Any, path: Path) -> list[ConditionSpec]:
        if not isinstance(value, dict):
            self.complain(path, f"must be a mapping of names of groups, not {kind_of(value)}")
            return []
        found: list[ConditionSpec] = []
        for name, part in value.items():
            if isinstance(part, dict):
                found += self._group(part, (*path, name), name)
            else:
                self.complain((*path, name), f"must be a mapping of fields, not {kind_of(part)}")
        return found

    def _several(self, value: Any, path: Path, group: str | None, join: LogicalOperator) -> list[ConditionSpec]:
        if not isinstance(value, list) or not value:
            self.complain(path, f"must be a list of conditions such as `- event.type: push`, not {kind_of(value)}")
            return []
        found: list[ConditionSpec] = []
        for number, item in enumerate(value):
            here = (*path, number)
            if not isinstance(item, dict) or not item:
                self.complain(here, f"must be a condition such as `event.type: push`, not {kind_of(item)}")
                continue
            conditions = [
                condition
                for key, part in item.items()
                for condition in self._field(key, part, (*here, key), group, join)
            ]
            if join is LogicalOperator.OR and (len(item) > 1 or len(conditions) > 1):
                self.complain(here, "each item of `any` is one condition; an AND inside of an OR cannot be said")
            found += conditions
        return found

    def _field(
        self, name: str, value: Any, path: Path, group: str | None, join: LogicalOperator
    ) -> list[ConditionSpec]:
        self._check_field(name, path)
        if not isinstance(value, dict):
            if path in self.blank:
                self.complain(path, "nothing is written here; write null to compare with nothing", at_key=True)
            operator = ConditionOperator.IN if isinstance(value, list) else ConditionOperator.EQUALS
            return [ConditionSpec(name, operator, value, logical_operator=join, group=group)]
        return self._tests(name, value, path, group, join, allowed=_OF_A_CONDITION)

    def _item(self, value: Any, path: Path) -> list[ConditionSpec]:
        """Read one condition of the list that says everything about each."""
        if not isinstance(value, dict) or not isinstance(value.get("field"), str):
            self.complain(path, "must be a condition such as `{field: event.type, equals: push}`")
            return []
        self._check_field(value["field"], (*path, "field"))
        join, group = value.get("join", LogicalOperator.AND.value), value.get("group")
        if join not in _JOINS:
            self.complain((*path, "join"), "must be AND or OR")
            join = LogicalOperator.AND.value
        if not isinstance(group, str | None):
            self.complain((*path, "group"), f"must be text, not {kind_of(group)}")
            group = None
        allowed = (*_OF_A_CONDITION, *_LISTED)
        found = self._tests(value["field"], value, path, group, _JOINS[join], allowed=allowed)
        if len(found) > 1:
            self.complain(path, "each item is one condition, with one operator")
        return found

    def _tests(
        self,
        name: str,
        value: Mapping[str, Any],
        path: Path,
        group: str | None,
        join: LogicalOperator,
        *,
        allowed: tuple[str, ...],
    ) -> list[ConditionSpec]:
        called, priority = self._details(value, path)
        found: list[ConditionSpec] = []
        for key, expected in value.items():
            here = (*path, key)
            if key in allowed:
                continue
            if key not in _OPERATORS:
                meant = near(key, (*_OPERATORS, *allowed)) or f"; known are {_KNOWN}"
                self.complain(here, f"{one_line(key, 80)!r} is no operator{meant}", at_key=True)
                continue
            if here in self.blank:
                self.complain(here, "nothing is written here; write null to compare with nothing", at_key=True)
            if problem := expected_problem(_OPERATORS[key], expected):
                self.complain(here, problem)
            found.append(
                ConditionSpec(
                    name, _OPERATORS[key], expected, called, logical_operator=join, group=group, priority=priority
                )
            )
        if not found and not any(key not in allowed for key in value):
            self.complain(path, f"needs an operator: {_KNOWN}")
        if len(found) > 1 and any(key in value for key in _OF_A_CONDITION):
            self.complain(path, "what has a name or a priority is one condition, with one operator")
        return found

    def _details(self, value: Mapping[str, Any], path: Path) -> tuple[str | None, int]:
        called, priority = value.get("name"), value.get("priority", 0)
        if "name" in value and not (isinstance(called, str) and 0 < len(called) <= LONGEST_NAME):
            self.complain((*path, "name"), f"must be text of at most {LONGEST_NAME} characters, not {kind_of(called)}")
            called = None
        if not isinstance(priority, int) or isinstance(priority, bool) or abs(priority) > _HIGHEST:
            self.complain((*path, "priority"), f"must be a whole number up to {_HIGHEST}, not {kind_of(priority)}")
            priority = 0
        return called, priority

    def _check_field(self, name: str, path: Path) -> None:
        if not _FIELD.fullmatch(name) or len(name) > _LONGEST_FIELD:
            self.complain(path, f"{one_line(name, 80)!r} is no path of a field such as event.type", at_key=True)
            return
        if name in self.fields or self._looked_up >= MOST_CONDITIONS:
            return
        self._looked_up += 1
        if meant := _meant(name, self.fields):
            self.complain(path, f"there is no field {name}; did you mean {meant}?", at_key=True)


def _meant(name: str, fields: Collection[str]) -> str | None:
    """Return the known field that one is most like: of the same first part, or the same but for that."""
    root, _, rest = name.partition(".")
    roots = {field.partition(".")[0] for field in fields}
    if root not in roots:
        root = nearest(root, roots) or root
    found = nearest(rest, [field.partition(".")[2] for field in fields if field.startswith(f"{root}.")])
    return f"{root}.{found}" if found else None


def write_when(conditions: Sequence[ConditionSpec]) -> Any:
    """Return conditions as they stand in a file: readable where that can keep their order, else one after the other."""
    if any(condition.field in _JOINED for condition in conditions):
        return [_in_full(condition) for condition in conditions]
    groups: dict[str | None, dict[str, Any]] = {}
    for condition in conditions:
        _place(groups.setdefault(condition.group, {}), condition)
    when = groups.pop(None, {})
    if groups:
        when["groups"] = groups
    return when if _reads_as(when, conditions) else [_in_full(condition) for condition in conditions]


def _place(group: dict[str, Any], condition: ConditionSpec) -> None:
    test = {condition.field: _test(condition)}
    if condition.logical_operator is LogicalOperator.OR:
        group.setdefault("any", []).append(test)
    elif condition.field in group:
        group.setdefault("all", []).append(test)
    else:
        group.update(test)


def _reads_as(when: dict[str, Any], conditions: Sequence[ConditionSpec]) -> bool:
    problems: list[Any] = []
    reader = Reader(complain=lambda *told, **_: problems.append(told))
    return reader.read(when, ()) == tuple(conditions) and not problems


def _test(condition: ConditionSpec) -> Any:
    detailed = condition.name is not None or condition.priority != 0
    if not detailed and condition.operator is ConditionOperator.IN and isinstance(condition.expected, list):
        return condition.expected
    if not detailed and condition.operator is ConditionOperator.EQUALS and isinstance(condition.expected, _SHORT):
        return condition.expected
    return _operation(condition)


def _operation(condition: ConditionSpec) -> dict[str, Any]:
    details = {"name": condition.name, "priority": condition.priority or None}
    said = {key: value for key, value in details.items() if value is not None}
    return {_WRITTEN[condition.operator]: condition.expected, **said}


def _in_full(condition: ConditionSpec) -> dict[str, Any]:
    joined = {"join": condition.logical_operator.value} if condition.logical_operator is LogicalOperator.OR else {}
    grouped = {"group": condition.group} if condition.group is not None else {}
    return {"field": condition.field, **_operation(condition), **joined, **grouped}


def when_schemas(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the JSON schemas of what stands under `when`, which is that named `When`, to be put under `$defs`.

    Args:
        fields: what each known field means, by its path.
    """
    details: dict[str, Any] = {"name": {"type": "string", "minLength": 1}, "priority": {"type": "integer"}}
    types = {
        ConditionOperator.IN: {"type": "array"},
        ConditionOperator.NOT_IN: {"type": "array"},
        ConditionOperator.GREATER_THAN: {"type": "number"},
        ConditionOperator.LESS_THAN: {"type": "number"},
        ConditionOperator.REGEX_MATCH: {"type": "string", "description": "A regular expression of RE2."},
    }
    operators: dict[str, Any] = {name: types.get(operator, True) for name, operator in _OPERATORS.items()}
    tests = {"type": "object", "properties": {**operators, **details}, "minProperties": 1}
    closed = {"additionalProperties": False}
    test = {"$ref": "#/$defs/Test"}
    known: dict[str, Any] = {path: {**test, "description": meaning} for path, meaning in fields.items()}
    one = {"type": "object", "properties": known, "patternProperties": {FIELD_PATTERN: test}, **closed}
    several: dict[str, Any] = {
        "any": {"type": "array", "items": {**one, "maxProperties": 1}, "minItems": 1},
        "all": {"type": "array", "items": one, "minItems": 1},
    }
    paths = {"^(?!(any|all|groups)$)" + FIELD_PATTERN.removeprefix("^"): test}
    group = {"type": "object", "properties": {**known, **several}, "patternProperties": paths, **closed}
    groups = {"type": "object", "additionalProperties": {"$ref": "#/$defs/Group"}}
    joined = {
        "field": {"type": "string", "pattern": FIELD_PATTERN},
        "group": {"type": "string"},
        "join": {"enum": list(_JOINS)},
    }
    listed = {**tests, "properties": {**operators, **details, **joined}, "required": ["field"], **closed}
    whole = {**group, "properties": {**known, **several, "groups": groups}}
    return {
        "Test": {"anyOf": [{"type": [*_SHORT_TYPES, "array"]}, {**tests, **closed}]},
        "Group": group,
        "When": {"anyOf": [whole, {"type": "array", "items": listed}, {"type": "null"}]},
    }
