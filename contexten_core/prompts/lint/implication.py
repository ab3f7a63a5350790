"""What follows from conditions: whether they can hold at all, two sets of them together, or one only with the other.

Conditions are a conjunction of clauses, and each clause a disjunction of comparisons; so is "these hold, and that one
does not", by which everything here is asked. The answers "never", "implied" and "disjoint" are always true; where
something is not known, or would take too long to find out, the answer is that it is possible.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contexten_core.prompts.conditions import canonical
from contexten_core.prompts.lint.values import ANYTHING, Clause, Domain, Literal, Values, normal, values_of
from contexten_core.prompts.models import ConditionOperator, LogicalOperator
from contexten_core.prompts.spec import ConditionSpec

_MOST_BRANCHES = 300
_MOST_KEPT = 200_000


@dataclass(frozen=True, slots=True)
class Rule:
    """The conditions of one prompt as clauses.

    Attributes:
        clauses: all of them, in the order of the conditions that they begin with.
        members: of each clause, the places of its conditions.
        fields: those about one field alone, by field.
        several: those about more than one field.
        tied: the fields of the latter.
        values: of the fields that can have no others, the values with which the rule may hold, by their keys.
        samples: of each field that it is about, a few values with which it holds if other fields allow it.
        is_possible: whether it may hold for anything.
    """

    clauses: tuple[Clause, ...]
    members: tuple[tuple[int, ...], ...]
    fields: Mapping[str, tuple[Clause, ...]]
    several: tuple[Clause, ...]
    tied: frozenset[str]
    values: Mapping[str, Mapping[Any, Any]]
    samples: Mapping[str, tuple[Any, ...]]
    is_possible: bool


class Reasoner:
    """Answers questions about rules, and remembers what it has found out of each field.

    Args:
        domain_of: what a field can be.
    """

    def __init__(self, domain_of: Callable[[str], Domain] = lambda _: ANYTHING) -> None:
        self._domain_of = domain_of
        self._domains: dict[str, Domain] = {}
        self._literals: dict[Any, Literal] = {}
        self._clauses: dict[tuple[Literal, ...], Clause] = {}
        self._found: dict[frozenset[Clause], Values] = {}

    def rule(self, conditions: Sequence[ConditionSpec]) -> Rule:
        """Return conditions as a rule. None at all hold for nothing, as in selection."""
        members: list[tuple[int, ...]] = []
        alternatives: dict[str | None, list[int]] = {}
        for place, condition in enumerate(conditions):
            if condition.logical_operator is LogicalOperator.OR:
                alternatives.setdefault(condition.group, []).append(place)
            else:
                members.append((place,))
        members = sorted([*members, *(tuple(places) for places in alternatives.values())])
        clauses = [self.clause([self.literal(conditions[place]) for place in places]) for places in members]
        return self._made(clauses, members)

    def literal(self, condition: ConditionSpec) -> Literal:
        operator, expected, negated = normal(condition.operator, condition.expected)
        return self._literal(condition.field, operator, expected, negated=negated, denied=False)

    def clause(self, literals: Sequence[Literal]) -> Clause:
        key = tuple(dict.fromkeys(literals))
        found = self._clauses.get(key)
        if found is None:
            found = self._clauses[key] = Clause(key)
        return found

    def denial(self, clause: Clause) -> list[Clause]:
        """Return the clauses that say that a clause does not hold."""
        return [self.clause([self._denied(literal)]) for literal in clause.literals]

    def values(self, field: str, clauses: Sequence[Clause]) -> Values:
        """Return the values of a field that satisfy clauses about it."""
        key = frozenset(clauses)
        found = self._found.get(key)
        if found is None:
            if len(self._found) >= _MOST_KEPT:
                self._found.clear()
            found = self._found[key] = values_of(tuple(clauses), self.domain(field))
        return found

    def domain(self, field: str) -> Domain:
        if field not in self._domains:
            self._domains[field] = self._domain_of(field)
        return self._domains[field]

    def is_possible(self, clauses: Sequence[Clause]) -> bool:
        """Tell whether clauses may hold together; False is certain."""
        return self._made(clauses, ()).is_possible

    def implies(self, rule: Rule, other: Rule) -> bool:
        """Tell whether the one never holds without the other; True is certain. The one has to be possible."""
        missing = [clause for clause in other.clauses if clause not in rule.clauses]
        if not other.clauses or any(self.may_fail(rule, clause) for clause in missing):
            return False
        return not any(self._may_be(rule, self.denial(clause)) for clause in missing)

    def are_disjoint(self, rule: Rule, other: Rule) -> bool:
        """Tell whether two rules, each possible, never hold together; True is certain."""
        if not rule.several and not other.several and self._meet(rule, other):
            return False
        return not self._may_be(rule, other.clauses)

    def may_fail(self, rule: Rule, clause: Clause) -> bool:
        """Tell whether a value is at hand with which a rule holds and a clause does not; False says nothing."""
        if clause.field is None or clause.field in rule.tied:
            return False
        samples = rule.samples.get(clause.field)
        if samples is None:
            samples = self.values(clause.field, ()).samples
        if not all(map(clause.holds, samples)):
            return True
        if clause.literals[0].is_positive:
            return False
        about, domain = rule.fields.get(clause.field, ()), self.domain(clause.field)
        return any(
            not clause.holds(value) and domain.has(value) and all(own.holds(value) for own in about)
            for value in clause.literals[0].constants
        )

    def _meet(self, rule: Rule, other: Rule) -> bool:
        """Tell whether values are at hand with which both hold."""
        return all(
            any(all(clause.holds(value) for clause in about) for value in other.samples[field])
            for field, about in rule.fields.items()
            if field in other.fields
        )

    def implies_any(self, rule: Rule, others: Sequence[Rule]) -> bool:
        """Tell whether whenever the one holds one of the others does; True is certain. The one has to be possible."""
        extra: list[Clause] = []
        for other in others:
            if not other.clauses or any(len(clause.literals) > 1 for clause in other.clauses):
                continue
            extra.append(self.clause([self._denied(clause.literals[0]) for clause in other.clauses]))
        return bool(extra) and not self._may_be(rule, extra)

    def _literal(
        self, field: str, operator: ConditionOperator, expected: Any, *, negated: bool, denied: bool
    ) -> Literal:
        if denied and not self.domain(field).is_later:
            negated, denied = not negated, False
        key = (field, operator, canonical(expected), negated, denied)
        found = self._literals.get(key)
        if found is None:
            found = Literal(field=field, operator=operator, expected=expected, negated=negated, denied=denied)
            self._literals[key] = found
        return found

    def _denied(self, literal: Literal) -> Literal:
        negated = literal.is_positive is literal.denied
        return self._literal(
            literal.field, literal.operator, literal.expected, negated=negated, denied=not literal.denied
        )

    def _made(self, clauses: Sequence[Clause], members: Sequence[tuple[int, ...]]) -> Rule:
        fields: dict[str, tuple[Clause, ...]] = {}
        several: list[Clause] = []
        for clause in clauses:
            if clause.field is None:
                several.append(clause)
            else:
                fields[clause.field] = (*fields.get(clause.field, ()), clause)
        found = {field: self.values(field, about) for field, about in fields.items()}
        is_possible = bool(clauses) and not any(values.is_none for values in found.values())
        return Rule(
            clauses=tuple(clauses),
            members=tuple(members),
            fields=fields,
            several=tuple(several),
            tied=frozenset(literal.field for clause in several for literal in clause.literals),
            values={field: values.points for field, values in found.items() if values.is_all},
            samples={field: values.samples for field, values in found.items()},
            is_possible=is_possible and (not several or self._branch(fields, several)),
        )

    def _may_be(self, rule: Rule, extra: Sequence[Clause]) -> bool:
        """Tell whether a rule that is possible may hold together with more clauses."""
        several = list(rule.several)
        added: dict[str, tuple[Clause, ...]] = {}
        for clause in extra:
            if clause.field is None:
                several.append(clause)
            else:
                about = added.get(clause.field) or rule.fields.get(clause.field, ())
                added[clause.field] = (*about, clause)
        if any(self.values(field, about).is_none for field, about in added.items()):
            return False
        return not several or self._branch({**rule.fields, **added}, several)

    def _branch(self, fields: Mapping[str, tuple[Clause, ...]], several: Sequence[Clause]) -> bool:
        """Try the comparisons of the clauses about several fields, one of each, until all fit."""
        branches = [0]

        def fits(fields: Mapping[str, tuple[Clause, ...]], rest: Sequence[Clause]) -> bool:
            if not rest:
                return True
            for literal in rest[0].literals:
                branches[0] += 1
                if branches[0] > _MOST_BRANCHES:
                    return True
                about = (*fields.get(literal.field, ()), self.clause([literal]))
                fit = not self.values(literal.field, about).is_none
                if fit and fits({**fields, literal.field: about}, rest[1:]):
                    return True
            return False

        return fits(fields, sorted(several, key=lambda clause: len(clause.literals)))
