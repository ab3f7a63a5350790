"""Prompts that another one keeps from ever being selected, and prompts between which only their names decide.

No pair is compared that cannot be related: prompts are filed by the values and texts that they ask for. The number of
comparisons is bounded all the same, and when that is reached a finding says so.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from contexten_core.prompts.lint.findings import Finding, Severity, Subject, listed
from contexten_core.prompts.lint.implication import Reasoner, Rule
from contexten_core.prompts.lint.values import Literal
from contexten_core.prompts.models import ConditionOperator

_MOST_COMPARED = 500_000
_MOST_FILED = 64
_MOST_KEYED = 4
_MOST_TOGETHER = 12
_LONGEST_SPLIT = 48
_MOST_NEAR = 32
_MOST_CONFLICTS = 100
_MOST_RIVALS = 4

_Values = Mapping[Any, Any]


def check_pairs(subjects: Sequence[Subject], reasoner: Reasoner) -> Iterator[Finding]:
    """Yield the prompts that others shadow, and those of one priority that can apply to the same event."""
    taking_part = sorted(
        (one for one in subjects if one.selects and one.rule.is_possible), key=lambda subject: subject.rank
    )
    budget = Budget(_MOST_COMPARED)
    shadows = _Shadows(taking_part, reasoner, budget)
    clear: list[Subject] = []
    for number, subject in enumerate(taking_part):
        found = shadows.over(number)
        if found:
            yield _shadowed(subject, found)
        else:
            clear.append(subject)
    if budget.is_spent:
        yield _stopped("shadowed by others")
    yield from _conflicts(clear, reasoner)


class Budget:
    """How many comparisons may still be made."""

    def __init__(self, most: int) -> None:
        self._left = most

    @property
    def is_spent(self) -> bool:
        return self._left <= 0

    def take(self) -> bool:
        self._left -= 1
        return self._left > 0


def _shadowed(subject: Subject, others: Sequence[Subject]) -> Finding:
    slugs = [other.spec.slug for other in others]
    first = others[0]
    same = first.spec.priority == subject.spec.priority
    comes = "comes first by name" if same else f"has priority {first.spec.priority} over {subject.spec.priority}"
    if len(others) == 1:
        is_same = set(first.rule.clauses) == set(subject.rule.clauses)
        applies = "has the same conditions" if is_same else "applies to everything that this prompt applies to"
        message = f"it is never selected: {slugs[0]} {applies}, and {comes}"
    else:
        message = (
            f"it is never selected: whatever it applies to, one of {listed(slugs, most=_MOST_TOGETHER)} does too, "
            "and comes first"
        )
    message += "; give it a higher priority, or narrow the conditions of the other"
    return Finding(
        "shadowed", Severity.WARNING, subject.spec.slug, message, "priority", ("priority",), related=tuple(slugs)
    )


def _stopped(what: str) -> Finding:
    message = f"there are too many prompts that hardly differ to compare each with each: more may be {what}"
    return Finding("not-compared", Severity.INFO, None, message)


class _Shadows:
    """Finds, for each prompt, one of higher rank that applies to all that it applies to.

    Such a one can only be among those whose own values the prompt has, and whose texts occur where its own do. Each is
    filed under its values of a few fields, and under a text.
    """

    def __init__(self, subjects: Sequence[Subject], reasoner: Reasoner, budget: Budget) -> None:
        self._subjects = subjects
        self._reasoner = reasoner
        self._budget = budget
        self._texts: dict[str, set[Literal]] = defaultdict(set)
        self._contained: dict[tuple[str, str], Literal] = {}
        self._filed: dict[tuple[tuple[str, ...], str | None], dict[Any, list[int]]] = {}
        self._known: dict[Any, frozenset[Literal]] = {}
        shared = Counter(
            (field, key) for one in subjects for field, values in one.rule.values.items() for key in values
        )
        for number, subject in enumerate(subjects):
            self._file(number, subject.rule, shared)

    def over(self, number: int) -> list[Subject]:
        """Return what shadows a prompt: one other, or several together."""
        rule = self._subjects[number].rule
        for other in sorted(self._candidates(number, rule)):
            if not self._budget.take():
                break
            found = self._subjects[other].rule
            if _may_include(found.values, rule.values) and self._reasoner.implies(rule, found):
                return [self._subjects[other]]
        if any(len(values) > 1 for values in rule.values.values()):
            return self._together(rule, self._overlapping(number, rule))
        return []

    def _candidates(self, number: int, rule: Rule) -> set[int]:
        found: set[int] = set()
        for (fields, text_field), filed in self._filed.items():
            if any(field not in rule.values for field in fields):
                continue
            key = tuple(next(iter(rule.values[field])) for field in fields)
            texts: Sequence[Literal | None] = [None]
            if text_field is not None:
                texts = list(self._implied_texts(text_field, rule))
            for text in texts:
                numbers = filed.get((key, text), ())
                found.update(numbers[: bisect_left(numbers, number)])
        return found

    def _file(self, number: int, rule: Rule, shared: Counter[tuple[str, Any]]) -> None:
        fields = sorted(rule.values, key=lambda field: (sum(shared[field, key] for key in rule.values[field]), field))
        chosen: list[str] = []
        size = 1
        for field in fields:
            size *= max(1, len(rule.values[field]))
            if size > _MOST_FILED or len(chosen) == _MOST_KEYED:
                break
            chosen.append(field)
        if fields and not chosen:
            chosen = fields[:1]
        text = _text_of(rule)
        if text is not None:
            self._texts[text.field].add(text)
            if text.operator is ConditionOperator.CONTAINS:
                self._contained[text.field, text.expected] = text
        filed = self._filed.setdefault((tuple(sorted(chosen)), text.field if text else None), {})
        for key in product(*(rule.values[field] for field in sorted(chosen))):
            filed.setdefault((key, text), []).append(number)

    def _implied_texts(self, field: str, rule: Rule) -> frozenset[Literal]:
        """Return the filed texts of a field that surely occur where the rule holds."""
        values = rule.values.get(field)
        about = frozenset(rule.fields.get(field, ()))
        key = (field, about)
        found = self._known.get(key)
        if found is None:
            own = [clause.literals[0] for clause in about if len(clause.literals) == 1]
            positive = [literal for literal in own if literal.is_positive and not literal.denied]
            literals = {literal for literal in positive if literal in self._texts[field]}
            for literal in positive:
                if literal.text is not None:
                    literals |= self._within(field, literal.text)
            if values:
                value = next(iter(values.values()))
                patterns = (one for one in self._texts[field] if one.operator is ConditionOperator.REGEX_MATCH)
                literals |= {one for one in patterns if one.holds(value)}
                literals |= self._within(field, value) if isinstance(value, str) else set()
            found = self._known[key] = frozenset(literals)
        return found

    def _within(self, field: str, text: str) -> set[Literal]:
        """Return the filed texts that are part of one."""
        if len(text) <= _LONGEST_SPLIT:
            parts = {text[start:end] for start in range(len(text)) for end in range(start + 1, len(text) + 1)}
            return {found for part in parts if (found := self._contained.get((field, part)))}
        contained = (one for one in self._texts[field] if one.operator is ConditionOperator.CONTAINS)
        return {one for one in contained if one.expected in text}

    def _overlapping(self, number: int, rule: Rule) -> list[int]:
        """Return a few prompts of higher rank that may share events with one that is for several values."""
        found: set[int] = set()
        for (fields, text_field), filed in self._filed.items():
            if text_field is not None or any(field not in rule.values for field in fields):
                continue
            choices = 1
            for field in fields:
                choices *= len(rule.values[field])
            if choices > _MOST_FILED:
                continue
            for key in product(*(rule.values[field] for field in fields)):
                numbers = filed.get((key, None), ())
                found.update(numbers[: min(_MOST_TOGETHER, bisect_left(numbers, number))])
        return sorted(found)[:_MOST_NEAR]

    def _together(self, rule: Rule, numbers: Sequence[int]) -> list[Subject]:
        """Return several prompts that share out the values of one field, whatever else there is."""
        by_field: dict[str, list[Subject]] = defaultdict(list)
        for number in numbers:
            if not self._budget.take():
                return []
            other = self._subjects[number]
            field = _but_for_one(other.rule.values, rule.values)
            if field is not None and not any(
                clause.field != field and self._reasoner.may_fail(rule, clause) for clause in other.rule.clauses
            ):
                by_field[field].append(other)
        for field, others in sorted(by_field.items()):
            chosen: list[Subject] = []
            left = set(rule.values[field])
            for other in others:
                if not left.isdisjoint(other.rule.values[field]):
                    left -= other.rule.values[field].keys()
                    chosen.append(other)
            if not left and self._reasoner.implies_any(rule, [other.rule for other in chosen]):
                return chosen
        return []


def _text_of(rule: Rule) -> Literal | None:
    """Return a text, the longest, that has to occur for a rule to hold."""
    own = [
        clause.literals[0]
        for clause in rule.clauses
        if len(clause.literals) == 1 and _is_text(clause.literals[0]) and clause.literals[0].field not in rule.values
    ]
    return max(own, key=lambda literal: (len(literal.expected), literal.field, literal.expected), default=None)


def _is_text(literal: Literal) -> bool:
    return (
        literal.is_positive
        and isinstance(literal.expected, str)
        and bool(literal.expected)
        and literal.operator in (ConditionOperator.CONTAINS, ConditionOperator.REGEX_MATCH)
    )


def _may_include(wide: Mapping[str, _Values], narrow: Mapping[str, _Values]) -> bool:
    return all(field in narrow and narrow[field].keys() <= values.keys() for field, values in wide.items())


def _but_for_one(wide: Mapping[str, _Values], narrow: Mapping[str, _Values]) -> str | None:
    """Return the only field of which the one has not all values of the other, if that is how they differ."""
    found = None
    for field, values in wide.items():
        if field not in narrow:
            return None
        if not narrow[field].keys() <= values.keys():
            if found is not None:
                return None
            found = field
    return found


def _conflicts(subjects: Sequence[Subject], reasoner: Reasoner) -> Iterator[Finding]:
    """Yield the prompts that come after others of the same priority by their name alone, of very many the first."""
    groups: dict[int, list[Subject]] = defaultdict(list)
    for subject in subjects:
        groups[subject.spec.priority].append(subject)
    budget = Budget(_MOST_COMPARED)
    found = 0
    for priority in sorted(groups, reverse=True):
        for subject, rivals in _rivals(groups[priority], reasoner, budget):
            if found == _MOST_CONFLICTS:
                message = (
                    f"more than {_MOST_CONFLICTS} prompts come after others by their name alone; no more are shown"
                )
                yield Finding("conflict", Severity.WARNING, None, message)
                return
            found += 1
            yield _conflict(subject, rivals)
    if budget.is_spent:
        yield _stopped("in conflict")


def _conflict(subject: Subject, rivals: Sequence[Subject]) -> Finding:
    slugs = [rival.spec.slug for rival in rivals[:_MOST_RIVALS]]
    others = " and others" if len(rivals) > _MOST_RIVALS else ""
    message = (
        f"it can apply to the same event as {listed(slugs)}{others}, with the same priority {subject.spec.priority}: "
        "which of them is selected is decided by their names; give one a higher priority, or conditions that exclude "
        "the other"
    )
    return Finding(
        "conflict", Severity.WARNING, subject.spec.slug, message, "priority", ("priority",), related=tuple(slugs)
    )


def _rivals(
    group: Sequence[Subject], reasoner: Reasoner, budget: Budget
) -> Iterator[tuple[Subject, Sequence[Subject]]]:
    """Yield each prompt of one priority with those before it, by name, that may apply to the same event."""
    filed, free = _filed(group)
    for number, subject in enumerate(group):
        rivals: list[Subject] = []
        for other in _nearest(number, subject.rule, filed, free):
            if not budget.take():
                return
            found = group[other].rule
            if not _are_apart(found.values, subject.rule.values) and not reasoner.are_disjoint(subject.rule, found):
                rivals.append(group[other])
                if len(rivals) > _MOST_RIVALS:
                    break
        if rivals:
            yield subject, rivals


def _filed(group: Sequence[Subject]) -> tuple[dict[tuple[str, Any], list[int]], dict[str, list[int]]]:
    """Return the places of prompts by the values that they are for, and by the fields that they leave open."""
    filed: dict[tuple[str, Any], list[int]] = defaultdict(list)
    free: dict[str, list[int]] = defaultdict(list)
    fields = sorted({field for subject in group for field in subject.rule.values})
    for number, subject in enumerate(group):
        for field in fields:
            values = subject.rule.values.get(field)
            if values is None:
                free[field].append(number)
            for key in values or ():
                filed[field, key].append(number)
    return filed, free


def _nearest(
    number: int, rule: Rule, filed: Mapping[tuple[str, Any], list[int]], free: Mapping[str, list[int]]
) -> Sequence[int]:
    """Return the places, before this one, of those that share a value of one field or leave it open."""
    best: Sequence[int] = range(number)
    for field, values in rule.values.items():
        lists = [filed[field, key] for key in values] + [free.get(field, [])]
        ends = [bisect_left(numbers, number) for numbers in lists]
        if sum(ends) < len(best):
            best = sorted({other for numbers, end in zip(lists, ends, strict=True) for other in numbers[:end]})
    return best


def _are_apart(one: Mapping[str, _Values], other: Mapping[str, _Values]) -> bool:
    return any(field in other and other[field].keys().isdisjoint(values) for field, values in one.items())
