"""Events that no prompt can ever apply to, of those that are known to be sent."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from contexten_core.events.models import EventProvider
from contexten_core.prompts.fields import EVENT_TYPES, actions_of
from contexten_core.prompts.lint.findings import Finding, Severity, Subject
from contexten_core.prompts.lint.implication import Reasoner
from contexten_core.prompts.lint.values import Clause
from contexten_core.prompts.models import ConditionOperator
from contexten_core.prompts.spec import ConditionSpec
from contexten_core.security.text import one_line

_MOST_SEEN = 100
_MOST_NAMED = 100
_SHOWN = 80
_TYPE = "event.type"

Kind = tuple[str, str, str | None]
"""An event's provider, type and action."""


class Coverage:
    """Tells whether any prompt can apply to a kind of event."""

    def __init__(self, subjects: Sequence[Subject], reasoner: Reasoner) -> None:
        self._reasoner = reasoner
        self._known: dict[Kind, bool] = {}
        self._by_type: dict[str, list[Subject]] = {}
        self._of_any: list[Subject] = []
        for subject in subjects:
            if not subject.selects or not subject.rule.is_possible:
                continue
            values = subject.rule.values.get(_TYPE)
            if values is None:
                self._of_any.append(subject)
            for value in values or ():
                self._by_type.setdefault(value, []).append(subject)

    def has(self, kind: Kind) -> bool:
        found = self._known.get(kind)
        if found is None:
            found = self._known[kind] = self._may_have(kind)
        return found

    def _may_have(self, kind: Kind) -> bool:
        fields = ("event.provider", _TYPE, "event.action")
        clauses = [self._is(field, value) for field, value in zip(fields, kind, strict=True)]
        tried: set[tuple[Clause, ...]] = set()
        for subject in (*self._of_any, *self._by_type.get(kind[1], ())):
            # Whatever else it asks for is left aside where it asks about one field at a time.
            about = tuple(clause for field in fields for clause in subject.rule.fields.get(field, ()))
            whole = about if not subject.rule.several else subject.rule.clauses
            if whole not in tried and self._reasoner.is_possible([*whole, *clauses]):
                return True
            tried.add(whole)
        return False

    def _is(self, field: str, value: str | None) -> Clause:
        return self._reasoner.clause([self._reasoner.literal(ConditionSpec(field, ConditionOperator.EQUALS, value))])


def check_events(subjects: Sequence[Subject], reasoner: Reasoner, seen: Mapping[Kind, int] | None) -> Iterator[Finding]:
    """Yield the kinds of events that nothing covers: of those that were seen, or else of all that are known.

    Args:
        seen: how many events of each kind there have been.
    """
    coverage = Coverage(subjects, reasoner)
    if seen:
        yield from _unhandled(coverage, seen)
        return
    for provider, types in sorted(EVENT_TYPES.items()):
        missing = []
        for name in sorted(types):
            actions: list[str | None] = [*sorted(actions_of(provider, name) or ())] or [None]
            left_out = [action for action in actions if not coverage.has((provider.value, name, action))]
            if len(left_out) == len(actions):
                missing.append(name)
            elif left_out:
                missing.append(f"{name} ({', '.join(action for action in left_out if action)})")
        if missing:
            yield _uncovered(provider, len(types), missing)


def _uncovered(provider: EventProvider, known: int, missing: Sequence[str]) -> Finding:
    names = ", ".join(missing[:_MOST_NAMED])
    message = (
        f"no prompt can apply to these events of {provider.value}, with the actions in brackets "
        f"({len(missing)} of the {known} types that it has): {names}"
    )
    return Finding("uncovered", Severity.INFO, None, message, where=provider.value)


def _unhandled(coverage: Coverage, seen: Mapping[Kind, int]) -> Iterator[Finding]:
    missing = Counter({kind: count for kind, count in seen.items() if not coverage.has(kind)})
    ranked = sorted(missing.items(), key=lambda one: (-one[1], one[0][0], one[0][1], one[0][2] or ""))
    for (provider, name, action), count in ranked[:_MOST_SEEN]:
        kind = one_line(f"{name} {action or ''}", _SHOWN)
        message = f"no prompt can apply to {kind} of {provider}, of which {count} event(s) came lately"
        yield Finding("uncovered", Severity.INFO, None, message, where=f"{provider} {kind}")
    if len(ranked) > _MOST_SEEN:
        message = f"no prompt can apply to {len(ranked) - _MOST_SEEN} more kinds of events that came lately"
        yield Finding("uncovered", Severity.INFO, None, message)
