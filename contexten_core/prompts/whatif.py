"""What if prompts were changed: the newest stored events, judged by the present prompts and by the changed ones.

Nothing is fetched or looked up again: an event is judged by what its steps found out at the time. Of the code only
those values are known that its selection asked for; where another one would decide, the event counts as unknown.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.errors import InvalidInputError
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.projects.resolve import Target
from contexten_core.prompts import whatif_store
from contexten_core.prompts.catalogue import PromptCatalogue
from contexten_core.prompts.conditions import join, judge
from contexten_core.prompts.explanation import explanation_of
from contexten_core.prompts.fields import is_later, known_fields
from contexten_core.prompts.index.index import LivePrompt, PromptIndex, rank
from contexten_core.prompts.lint.findings import listed, said, shown
from contexten_core.prompts.spec import ConditionSpec, PromptSpec, content_of, digest_of
from contexten_core.prompts.whatif_store import SelectedRun
from contexten_core.security.text import one_line

MOST_EVENTS = 10_000
_PAGE = 200
_MOST_EXAMPLES = 5
_MOST_MOVES = 200
_NOBODY = UUID(int=0)
_EVENT = TypeAdapter(NormalisedEvent)
_TARGET = TypeAdapter(Target)


@dataclass(frozen=True, slots=True)
class Example:
    """One event, and what decided that another prompt answers it."""

    event_id: UUID
    title: str
    why: str


@dataclass(slots=True)
class Move:
    """Events that one prompt answers now, and another would; None stands for ignored."""

    before: str | None
    after: str | None
    count: int = 0
    examples: list[Example] = field(default_factory=list)


@dataclass(slots=True)
class WhatIf:
    """How events would be answered.

    Attributes:
        events: how many were replayed.
        same: answered by the same prompt, or ignored, as now.
        same_but_changed: those of them whose prompt says something else.
        different: answered by another prompt.
        newly_handled: ignored now.
        newly_ignored: answered now.
        unknown: cannot be told, since a value of the code would decide that nobody looked up at the time.
        added, replaced, removed, unchanged: the slugs of the prompts that were given.
        moves: the most frequent first; of very many kinds those that came first, and `other_moves` events besides.
    """

    events: int = 0
    same: int = 0
    same_but_changed: int = 0
    different: int = 0
    newly_handled: int = 0
    newly_ignored: int = 0
    unknown: int = 0
    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    other_moves: int = 0
    unknown_examples: list[Example] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return it in JSON's types."""
        found: dict[str, Any] = TypeAdapter(WhatIf).dump_python(self, mode="json")
        return found


@dataclass(frozen=True, slots=True)
class _Case:
    """What is known of an event: its fields, and which paths of the code are among them."""

    fields: Mapping[str, Any]
    known: Collection[str]

    def is_known(self, condition: ConditionSpec) -> bool:
        return not is_later(condition.field) or condition.field in self.known


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Which prompt answers an event; `doubt` is the condition that could change that."""

    winner: LivePrompt | None
    doubt: ConditionSpec | None = None

    @property
    def slug(self) -> str | None:
        return self.winner.spec.slug if self.winner else None


async def whatif(
    session: AsyncSession,
    changed: Sequence[PromptSpec],
    *,
    last: int = 1_000,
    removed: Collection[str] = (),
    catalogue: PromptCatalogue | None = None,
) -> WhatIf:
    """Replay the newest events that reached selection, each by its newest run. Nothing is written.

    Args:
        changed: prompts as they would be: new ones, and others in place of those of the same slug.
        last: how many events, at most 10,000.
        removed: slugs of prompts that would be gone.
        catalogue: the process's own, so that the present prompts are not read again.

    Raises:
        InvalidInputError: a prompt to be removed is not there or also among the changed, or `last` is out of bounds.
    """
    if not 1 <= last <= MOST_EVENTS:
        raise InvalidInputError(f"last: must be 1 to {MOST_EVENTS}", fields={"last": f"must be 1 to {MOST_EVENTS}"})
    present = await (catalogue or PromptCatalogue()).current(session)
    result = WhatIf()
    future = await asyncio.to_thread(_future, present, changed, removed, result)
    seen: set[UUID] = set()
    moves: dict[tuple[str | None, str | None], Move] = {}
    run: SelectedRun | None = None
    while len(seen) < last:
        runs = await whatif_store.newest_selected(session, before=run, limit=_PAGE)
        if not runs:
            break
        run = runs[-1]
        newest = []
        for found in runs:
            if found.event_id not in seen and len(seen) < last:
                seen.add(found.event_id)
                newest.append(found)
        await asyncio.to_thread(_replay, newest, present, future, result, moves)
    result.moves = sorted(moves.values(), key=lambda move: (-move.count, move.before or "", move.after or ""))
    return result


def _future(
    present: PromptIndex, changed: Sequence[PromptSpec], removed: Collection[str], result: WhatIf
) -> PromptIndex:
    prompts = {live.spec.slug: live for live in present.prompts}
    for slug in sorted(set(removed)):
        if slug not in prompts or any(spec.slug == slug for spec in changed):
            problem = f"there is no active prompt {shown(slug)} to be removed, besides those that are changed"
            raise InvalidInputError(f"remove: {problem}", fields={"remove": problem})
        del prompts[slug]
        result.removed.append(slug)
    for spec in sorted(changed, key=lambda one: one.slug):
        old = prompts.get(spec.slug)
        if old is not None and digest_of(content_of(old.spec)) == digest_of(content_of(spec)):
            result.unchanged.append(spec.slug)
            continue
        (result.added if old is None else result.replaced).append(spec.slug)
        prompts[spec.slug] = LivePrompt(old.prompt_id if old else _NOBODY, old.version + 1 if old else 1, spec)
    return PromptIndex.build(prompts.values(), previous=present)


def _replay(
    runs: Sequence[SelectedRun],
    present: PromptIndex,
    future: PromptIndex,
    result: WhatIf,
    moves: dict[tuple[str | None, str | None], Move],
) -> None:
    for run in runs:
        case = _case(run)
        if case is None:
            continue
        result.events += 1
        before, after = _decide(present, case), _decide(future, case)
        doubt = before.doubt or after.doubt
        if doubt is not None:
            result.unknown += 1
            if len(result.unknown_examples) < _MOST_EXAMPLES:
                result.unknown_examples.append(_example(run, f"{doubt.field} was not looked up: {said(doubt)}"))
        elif before.slug == after.slug:
            result.same += 1
            result.same_but_changed += before.slug is not None and before.slug in result.replaced
        else:
            _count(run, case, before, after, future, result, moves)


def _count(
    run: SelectedRun,
    case: _Case,
    before: _Verdict,
    after: _Verdict,
    future: PromptIndex,
    result: WhatIf,
    moves: dict[tuple[str | None, str | None], Move],
) -> None:
    result.newly_handled += before.winner is None
    result.newly_ignored += after.winner is None
    result.different += before.winner is not None and after.winner is not None
    key = before.slug, after.slug
    if key not in moves and len(moves) >= _MOST_MOVES:
        result.other_moves += 1
        return
    move = moves.setdefault(key, Move(*key))
    move.count += 1
    if len(move.examples) < _MOST_EXAMPLES:
        move.examples.append(_example(run, _why(case, before, after, future)))


def _example(run: SelectedRun, why: str) -> Example:
    return Example(run.event_id, one_line(run.title, 200), why)


def _case(run: SelectedRun) -> _Case | None:
    """Return what is known of a run's event; None where nothing can be made of what its steps stored."""
    try:
        event, target = _EVENT.validate_python(run.event), _TARGET.validate_python(run.target)
    except ValidationError:
        return None
    try:
        found = explanation_of(run.explanation).fields if run.explanation else {}
    except ValidationError:
        found = {}
    later: dict[str, dict[str, Any]] = {}
    for path, value in found.items():
        root, _, name = path.partition(".")
        if is_later(path) and name and "." not in name:
            later.setdefault(root, {})[name] = value
    fields = known_fields(event, target, code=later.get("codebase"), change=later.get("change"))
    return _Case(fields, {f"{root}.{name}" for root, values in later.items() for name in values})


def _decide(index: PromptIndex, case: _Case) -> _Verdict:
    """Return the winner: the first by rank that surely applies, unless one before it might."""
    for live in sorted(index.candidates(case.fields), key=rank):
        conditions = live.spec.conditions
        unknown = [condition for condition in conditions if not case.is_known(condition)]
        if _applies(conditions, case, otherwise=False):
            return _Verdict(live)
        if unknown and _applies(conditions, case, otherwise=True):
            return _Verdict(None, unknown[0])
    return _Verdict(None)


def _applies(conditions: Sequence[ConditionSpec], case: _Case, *, otherwise: bool) -> bool:
    return join(
        (one.group, one.logical_operator, judge(one, case.fields).holds if case.is_known(one) else otherwise)
        for one in conditions
    )


def _why(case: _Case, before: _Verdict, after: _Verdict, future: PromptIndex) -> str:
    """Say what decided: a condition that does not hold any more, or that the other one comes first."""
    old = future.get(before.winner.spec.slug) if before.winner else None
    if before.winner is not None and old is None:
        return f"{before.slug} is removed"
    if old is not None and not _applies(old.spec.conditions, case, otherwise=False):
        failing = [one for one in old.spec.conditions if not judge(one, case.fields).holds]
        seen = [f"`{said(one)}`, saw {shown(judge(one, case.fields).seen)}" for one in failing]
        return (
            f"{old.spec.slug} does not apply: {listed(seen, most=2)}" if seen else f"{old.spec.slug} has no conditions"
        )
    if after.winner is None:
        return "nothing applies"
    holding = [f"`{said(one)}`" for one in after.winner.spec.conditions if judge(one, case.fields).holds]
    first = f", and comes before {old.spec.slug} by priority and name" if old is not None else ""
    return f"{after.slug} applies: {listed(holding, most=3)}{first}"
