"""Conditions of one prompt: those that can never hold, and what they ask about that does not exist."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import cache

from contexten_core.events.models import EventProvider
from contexten_core.prompts.conditions import expected_problem
from contexten_core.prompts.fields import EVENT_TYPES, FIELDS, FieldType, actions_of
from contexten_core.prompts.lint.findings import Finding, Severity, Subject, listed, place_of, said, shown
from contexten_core.prompts.lint.implication import Reasoner, Rule
from contexten_core.prompts.lint.values import Kind, kind_of
from contexten_core.prompts.models import ConditionOperator, LogicalOperator
from contexten_core.prompts.spec import ConditionSpec

_LONGEST_NAME = 100
_MOST_SHRUNK = 60
_FITTING = {
    FieldType.TEXT: frozenset({Kind.TEXT}),
    FieldType.BOOLEAN: frozenset({Kind.BOOLEAN}),
    FieldType.NUMBER: frozenset({Kind.INTEGER, Kind.NUMBER}),
    FieldType.LIST: frozenset({Kind.LIST}),
}


def check_conditions(subject: Subject, reasoner: Reasoner) -> Iterator[Finding]:
    """Yield what is wrong with a prompt's conditions by themselves."""
    conditions = subject.spec.conditions
    if not conditions and subject.selects:
        yield Finding(
            "no-conditions",
            Severity.WARNING,
            subject.spec.slug,
            "it has no conditions, and so applies to nothing; say under `when` which events it is for",
            part=("when",),
        )
    told: set[int] = set()
    for place, condition in enumerate(conditions):
        finding = _own_problem(subject.spec.slug, condition)
        if finding is not None:
            told.add(place)
            yield finding
    if not subject.rule.is_possible:
        yield from _never(subject, reasoner, told)
    else:
        yield from _dead_alternatives(subject, reasoner, told)
        yield from _unknown_events(subject)


def _own_problem(slug: str, condition: ConditionSpec) -> Finding | None:
    where, part = place_of(condition)
    if condition.field not in FIELDS:
        near = _near_field(condition.field)
        meant = f"; did you mean {near}?" if near else "; `contexten prompts fields` lists them"
        message = f"there is no field {shown(condition.field)}, so the condition always sees nothing{meant}"
        return Finding("unknown-field", Severity.ERROR, slug, message, where, part)
    problem = expected_problem(condition.operator, condition.expected)
    if problem is not None:
        is_regex = condition.operator is ConditionOperator.REGEX_MATCH
        code = "bad-regex" if is_regex else "bad-expected"
        return Finding(code, Severity.ERROR, slug, f"`{said(condition)}`: {problem}", where, part)
    return None


@cache
def _near_field(field: str) -> str | None:
    near = get_close_matches(field, FIELDS, n=1, cutoff=0.7) if len(field) <= _LONGEST_NAME else []
    if not near:
        # A path without its first part, or with another one: `type` for `event.type`.
        last = field.rpartition(".")[2]
        near = [path for path in FIELDS if path.rpartition(".")[2] == last]
    return near[0] if near else None


def _never(subject: Subject, reasoner: Reasoner, told: set[int]) -> Iterator[Finding]:
    """Explain by the fewest conditions that cannot hold together why a prompt never applies."""
    rule, conditions = subject.rule, subject.spec.conditions
    if not rule.clauses:
        return
    alone = [number for number, clause in enumerate(rule.clauses) if not reasoner.is_possible([clause])]
    for number in alone:
        if not told.issuperset(rule.members[number]):
            yield _cannot_hold(subject, [conditions[place] for place in rule.members[number]])
    if alone:
        return
    core = _fewest(rule, reasoner)
    places = [place for number in core for place in rule.members[number]]
    if not told.intersection(places):
        yield _cannot_hold(subject, [conditions[place] for place in places])


def _fewest(rule: Rule, reasoner: Reasoner) -> list[int]:
    """Return clauses that cannot hold together, none of which could be left out."""
    core = list(range(len(rule.clauses)))
    for field, about in rule.fields.items():
        if reasoner.values(field, about).is_none:
            core = [number for number in core if rule.clauses[number].field == field]
            break
    if len(core) <= _MOST_SHRUNK:
        for number in list(core):
            fewer = [other for other in core if other != number]
            if fewer and not reasoner.is_possible([rule.clauses[other] for other in fewer]):
                core = fewer
    return core


def _cannot_hold(subject: Subject, conditions: Sequence[ConditionSpec]) -> Finding:
    first = conditions[0]
    where, part = place_of(first)
    quoted = [f"`{said(condition)}`" for condition in conditions]
    if len(conditions) == 1:
        message = f"{quoted[0]} can never hold: {_why(first)}"
    elif all(condition.logical_operator is LogicalOperator.OR for condition in conditions):
        whys = sorted({_why(condition) for condition in conditions})
        message = f"none of the alternatives {listed(quoted)} can ever hold: {listed(whys, most=2)}"
    else:
        message = (
            f"{listed(quoted[:-1])} and {quoted[-1]} can never hold together, so the prompt applies to nothing; "
            "drop one of them, or make them alternatives of one group with OR"
        )
    return Finding("never-holds", Severity.ERROR, subject.spec.slug, message, where, part)


def _why(condition: ConditionSpec) -> str:  # noqa: PLR0911 - one answer for each way in which it cannot hold
    field = FIELDS.get(condition.field)
    problem = expected_problem(condition.operator, condition.expected)
    if problem is not None:
        return problem
    if condition.operator is ConditionOperator.IN and not condition.expected:
        return "the list is empty; name at least one value"
    if field is None:
        return "nothing is like that"
    expected = condition.expected if condition.operator is ConditionOperator.IN else [condition.expected]
    values = [value for value in expected if isinstance(value, str)]
    if field.values is not None and values and condition.operator is not ConditionOperator.REGEX_MATCH:
        known = sorted(field.values)
        return f"{field.path} is never that{_meant(values[0], known)}; it is one of {listed(known, most=8)}"
    if not any(kind_of(value) in _FITTING[field.type] for value in expected) or field.type is FieldType.BOOLEAN:
        quotes = "; leave out the quotes" if values and field.type in (FieldType.NUMBER, FieldType.BOOLEAN) else ""
        contains = "; to ask for one item use contains" if field.type is FieldType.LIST else ""
        return f"{field.path} is a {field.type.value}, with which it cannot be compared like that{quotes}{contains}"
    if condition.operator is ConditionOperator.REGEX_MATCH and field.type is FieldType.LIST:
        return f"{field.path} is a list, and regular expressions are for text; use contains"
    return f"{field.path} is a {field.type.value} that is never like that"


def _meant(value: str, known: Sequence[str]) -> str:
    near = get_close_matches(value, known, n=1, cutoff=0.6) if len(value) <= _LONGEST_NAME else []
    return f"; did you mean {near[0]}?" if near else ""


def _dead_alternatives(subject: Subject, reasoner: Reasoner, told: set[int]) -> Iterator[Finding]:
    rule = subject.rule
    for number, clause in enumerate(rule.clauses):
        if len(rule.members[number]) == 1:
            continue
        others = [other for other in rule.clauses if other is not clause]
        for place in rule.members[number]:
            condition = subject.spec.conditions[place]
            unit = reasoner.clause([reasoner.literal(condition)])
            if place not in told and not reasoner.is_possible([*others, unit]):
                where, part = place_of(condition)
                alone = not reasoner.is_possible([unit])
                why = _why(condition) if alone else "another condition of the prompt excludes it"
                message = f"the alternative `{said(condition)}` can never hold: {why}; drop it, or correct it"
                yield Finding("dead-alternative", Severity.WARNING, subject.spec.slug, message, where, part)


def _unknown_events(subject: Subject) -> Iterator[Finding]:
    """Warn of event types and actions that no sender is known to have: they may be new, or misspelled."""
    types = _named(subject, "event.type")
    actions = _named(subject, "event.action")
    providers = _providers(subject)
    for condition, value in types:
        if not any(value in EVENT_TYPES.get(provider, ()) for provider in providers):
            is_closed = providers <= EVENT_TYPES.keys()
            meant = _meant(value, sorted({name for provider in providers for name in EVENT_TYPES.get(provider, ())}))
            if is_closed or meant:
                yield _unknown(subject, condition, f"no event type {shown(value)} is known{meant}")
    known_actions = _actions(providers, [value for _, value in types])
    for condition, value in actions:
        if known_actions is not None and value not in known_actions:
            of = listed(sorted({name for _, name in types}))
            message = f"no action {shown(value)} of {of} is known{_meant(value, sorted(known_actions))}"
            yield _unknown(subject, condition, message)


def _unknown(subject: Subject, condition: ConditionSpec, message: str) -> Finding:
    where, part = place_of(condition)
    return Finding("unknown-event", Severity.WARNING, subject.spec.slug, message, where, part)


def _named(subject: Subject, field: str) -> list[tuple[ConditionSpec, str]]:
    """Return the texts that conditions of a field ask for by name, each with the condition."""
    found = []
    for condition in subject.spec.conditions:
        if condition.field == field and condition.operator in (ConditionOperator.EQUALS, ConditionOperator.IN):
            is_list = condition.operator is ConditionOperator.IN
            expected = condition.expected if is_list else [condition.expected]
            named = expected if isinstance(expected, list | tuple) else []
            found += [(condition, value) for value in named if isinstance(value, str)]
    return found


def _providers(subject: Subject) -> set[EventProvider]:
    """Return who may send what a prompt is for; of events of our own there is no selection."""
    named = subject.rule.values.get("event.provider")
    providers = {provider for provider in EventProvider if named is None or provider.value in named}
    return providers - {EventProvider.SYSTEM}


def _actions(providers: set[EventProvider], types: Sequence[str]) -> set[str] | None:
    """Return every action that events of these types have, or None where that is not known."""
    found: set[str] = set()
    for name in types:
        owners = [provider for provider in EVENT_TYPES if name in EVENT_TYPES[provider] and provider in providers]
        if not owners:
            return None
        for owner in owners:
            known = actions_of(owner, name)
            if known is None:
                return None
            found |= known
    return found if types else None
