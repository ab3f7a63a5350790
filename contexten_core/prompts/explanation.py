"""Why a prompt was selected, or none: of bounded size, and enough to decide the same again without the catalogue."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import nsmallest
from typing import Any

from pydantic import TypeAdapter

from contexten_core.events.models import EventProvider
from contexten_core.events.normalise_known import unknown
from contexten_core.prompts.conditions import (
    ConditionVerdict,
    all_hold,
    bounded,
    is_looked_up,
    look_up,
    verdict,
)
from contexten_core.prompts.index.index import Judged, LivePrompt, PromptIndex, rank
from contexten_core.prompts.spec import ConditionSpec

__all__ = ["Candidate", "ConditionVerdict", "Explanation", "Others", "explain", "explanation_of", "replay"]

MOST_TOLD = 50
_MOST_CHARACTERS = 300_000
_CONDITION_CHARACTERS = 200
_ALWAYS_KEPT = ("event.type", "event.action", "event.provider", "project.slug")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One prompt that was looked at, each of its conditions, and whether it applies."""

    slug: str
    version: int
    priority: int
    applies: bool
    conditions: list[ConditionVerdict] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Others:
    """Prompts that are not told of one by one: how many, and why they were not selected."""

    count: int
    reason: str
    applies: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a prompt was selected, or none.

    Attributes:
        candidates: those that apply, then those that came nearest to it; at most 50.
        version: of the winner, as it was carried out.
        others: all other prompts, by the reason.
        fields: the values that conditions of the candidates saw, by path; what was not looked up is not in it.
        notes: what else had a say, such as values that could not be had.
        revision: of the catalogue.
    """

    winner: str | None
    reason: str
    candidates: list[Candidate]
    version: int | None = None
    others: list[Others] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    revision: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it in JSON's types; `explanation_of` reads that."""
        found: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return found


_ADAPTER = TypeAdapter(Explanation)


def explanation_of(stored: Mapping[str, Any]) -> Explanation:
    """Return a stored explanation.

    Raises:
        pydantic.ValidationError: it is none.
    """
    return _ADAPTER.validate_python(stored)


def explain(index: PromptIndex, judged: Judged, fields: Mapping[str, Any], *, notes: Sequence[str] = ()) -> Explanation:
    """Tell why the first of those that apply was selected, or why none was."""
    values = {path: bounded(look_up(fields, path)) for path in _ALWAYS_KEPT}
    told = list(_within_size(_told(index, judged)))
    applying = {live.spec.slug for live in judged.applying}
    candidates = []
    for live in told:
        for one in live.spec.conditions:
            if one.field not in values and is_looked_up(one.field, fields):
                values[one.field] = bounded(look_up(fields, one.field))
        verdicts = [_judge(one, values) for one in _shown(live.spec.conditions)]
        slug = live.spec.slug
        candidates.append(Candidate(slug, live.version, live.spec.priority, slug in applying, verdicts))
    candidates.sort(key=_nearest)
    winner = judged.applying[0] if judged.applying else None
    found = Explanation(
        winner=winner.spec.slug if winner else None,
        reason="",
        candidates=candidates,
        version=winner.version if winner else None,
        others=_others(index, judged, told),
        fields=values,
        notes=list(notes),
        revision=index.revision,
    )
    return replace(found, reason=_reason(found))


def replay(explanation: Explanation) -> Explanation:
    """Judge again by the values that an explanation keeps; it is the same when nothing was changed about it."""
    candidates = []
    for candidate in explanation.candidates:
        verdicts = [_judge(_condition(one), explanation.fields) for one in candidate.conditions]
        candidates.append(replace(candidate, applies=all_hold(verdicts), conditions=verdicts))
    candidates.sort(key=_nearest)
    applying = [one for one in candidates if one.applies]
    winner = min(applying, key=lambda one: (-one.priority, one.slug), default=None)
    slug, version = (winner.slug, winner.version) if winner else (None, None)
    again = replace(
        explanation,
        winner=slug,
        candidates=candidates,
        # An experiment may have picked another version of the same prompt.
        version=explanation.version if slug == explanation.winner else version,
    )
    return replace(again, reason=_reason(again))


def _judge(condition: ConditionSpec, values: Mapping[str, Any]) -> ConditionVerdict:
    return verdict(condition, values.get(condition.field), looked_up=condition.field in values)


def _condition(judged: ConditionVerdict) -> ConditionSpec:
    return ConditionSpec(
        field=judged.field,
        operator=judged.operator,
        expected=judged.expected,
        name=judged.name,
        logical_operator=judged.logical_operator,
        group=judged.group,
    )


def _shown(conditions: Iterable[ConditionSpec]) -> list[ConditionSpec]:
    return sorted(conditions, key=lambda one: -one.priority)


def _told(index: PromptIndex, judged: Judged) -> list[LivePrompt]:
    if len(index) <= MOST_TOLD:
        applying = {live.spec.slug for live in judged.applying}
        return judged.applying + [live for live in index.prompts if live.spec.slug not in applying]
    applies = judged.applying[:MOST_TOLD]
    nearest = nsmallest(
        MOST_TOLD - len(applies),
        judged.missing,
        key=lambda one: (len(one[1].spec.conditions) - one[0], *rank(one[1])),
    )
    return applies + [live for _, live in nearest]


def _within_size(prompts: Iterable[LivePrompt]) -> Iterator[LivePrompt]:
    size = 0
    for live in prompts:
        yield live
        size += sum(len(repr(one.expected)) + _CONDITION_CHARACTERS for one in live.spec.conditions)
        if size > _MOST_CHARACTERS:
            return


def _others(index: PromptIndex, judged: Judged, told: Sequence[LivePrompt]) -> list[Others]:
    slugs = {live.spec.slug for live in told}
    applying = sum(live.spec.slug not in slugs for live in judged.applying)
    found = [Others(applying, "apply as well, and come after those", applies=True)]
    if len(index) <= MOST_TOLD:
        found.append(Others(len(index) - len(told) - applying, "do not apply, and have very long conditions"))
    else:
        missing = sum(live.spec.slug not in slugs for _, live in judged.missing)
        found.append(Others(missing, "have a condition that does not hold"))
        found += [Others(count, f"are for other events: {path}") for path, count in judged.elsewhere.items()]
        found.append(Others(judged.unfinished, "have no conditions, and so apply to nothing"))
    return [one for one in found if one.count]


def _nearest(candidate: Candidate) -> tuple[bool, int, int, str]:
    failing = 0 if candidate.applies else sum(not one.holds for one in candidate.conditions)
    return (not candidate.applies, failing, -candidate.priority, candidate.slug)


def _reason(explanation: Explanation) -> str:
    applying = sum(one.applies for one in explanation.candidates)
    applying += sum(one.count for one in explanation.others if one.applies)
    if explanation.winner is not None:
        others = applying - 1
        after = f" and comes before {others} other(s) by priority and name" if others else ""
        return f"{explanation.winner} applies{after}"
    total = len(explanation.candidates) + sum(one.count for one in explanation.others)
    return _no_match(total, explanation.fields) if total else "there is no active prompt"


def _no_match(total: int, fields: Mapping[str, Any]) -> str:
    kind, action = fields.get("event.type"), fields.get("event.action")
    what = " ".join(str(part) for part in (kind, action) if part)
    reason = f"none of {total} active prompts applies to {what or 'this'} of {fields.get('project.slug')}"
    provider = fields.get("event.provider")
    if not isinstance(kind, str) or provider not in set(EventProvider):
        return reason
    new = unknown(EventProvider(provider), kind, action if isinstance(action, str) else None)
    return f"{reason}; {new}" if new else reason
