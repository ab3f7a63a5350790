"""The values of `codebase.*` and `change.*`: what the event's commit holds, and what it changes."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from contexten_core.codebase import store
from contexten_core.codebase.collect import commit_facts, find_facts
from contexten_core.codebase.commit import CommitFacts
from contexten_core.codebase.examine import open_mirror
from contexten_core.codebase.explore import impact_of
from contexten_core.codebase.impact import Impact
from contexten_core.codebase.keep import CommitName, examine_commit, store_commit
from contexten_core.codebase.models import CodebaseStatus
from contexten_core.errors import GitError
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.execution.git import Mirror
from contexten_core.projects.resolve import Target
from contexten_core.prompts.fields import CHANGE, CODE, FIELDS
from contexten_core.runtime import Runtime
from contexten_core.security.text import one_line

_LONGEST_NOTE = 300


@dataclass(frozen=True, slots=True)
class CodeFields:
    """Values by their name without the root; None for a root that nobody asked for. `notes` say what could not be had.

    What could not be had is None, field by field.
    """

    code: Mapping[str, Any] | None = None
    change: Mapping[str, Any] | None = None
    notes: Sequence[str] = ()


async def code_fields(
    runtime: Runtime,
    *,
    event_id: UUID | None = None,  # noqa: ARG001 - callers still name it
    event: NormalisedEvent,
    target: Target,
    wanted: Collection[str],
    insist: bool = False,
) -> CodeFields:
    """Look up what conditions or templates ask of the code; the commit's facts are stored, as step 4 would do it.

    Args:
        wanted: "codebase", "change" or both.
        insist: raise an error that may pass, instead of going on without the values.

    Raises:
        GitError: with `insist`, for an error that is transient.
    """
    if not wanted:
        return CodeFields()
    code: Mapping[str, Any] | None = _nothing(CODE) if CODE in wanted else None
    change: Mapping[str, Any] | None = _nothing(CHANGE) if CHANGE in wanted else None
    notes: list[str] = []
    try:
        mirror = open_mirror(runtime, target)
        facts = await _facts(runtime, mirror, target)
        code = code and values_of_code(facts)
        if change is not None and event.commit != target.commit:
            notes.append("the event names no commit, so that nothing is known to change")
        elif change is not None:
            change, missing = await _change(runtime, mirror, event.base_commit, facts)
            notes += missing
    except GitError as error:
        if insist and error.transient:
            raise
        notes.append(one_line(f"the code could not be looked at: {error.message}", _LONGEST_NOTE))
    return CodeFields(code, change, notes)


async def _facts(runtime: Runtime, mirror: Mirror, target: Target) -> CommitFacts:
    await asyncio.to_thread(mirror.fetch, target.commit, target.ref)
    async with runtime.database.reading() as session:
        known = await store.codebase(session, repository_url=mirror.url, commit=target.commit)
        is_known = known is not None and known.status is CodebaseStatus.COMPLETED
        facts = await commit_facts(session, known.id) if known is not None and is_known else None
    if facts is not None:
        return facts
    if is_known:
        return (await find_facts(runtime.database, mirror, target.commit)).facts
    name = CommitName(
        repository=target.repository,
        url=mirror.url,
        commit=target.commit,
        branch=(target.ref or target.default_branch).removeprefix("refs/heads/"),
        project_id=target.project_id,
    )
    examined = await examine_commit(runtime.database, mirror, name)
    async with runtime.database.transaction() as session:
        await store_commit(session, examined)
    return examined.found.facts


async def _change(
    runtime: Runtime, mirror: Mirror, base: str | None, head: CommitFacts
) -> tuple[Mapping[str, Any], list[str]]:
    base = base or await asyncio.to_thread(mirror.resolve, f"{head.commit}^")
    if base is None:
        return _nothing(CHANGE), ["the commit has none before it, so that nothing is known to change"]
    await asyncio.to_thread(mirror.fetch, base)
    base = await asyncio.to_thread(mirror.merge_base, base, head.commit) or base
    await asyncio.to_thread(mirror.fetch, base)
    before = (await find_facts(runtime.database, mirror, base)).facts
    impact = await impact_of(runtime.database, mirror, base=before, head=head)
    return _changed(impact, before, head), [f"not counted: {missing}" for missing in impact.left_out]


def values_of_code(facts: CommitFacts) -> dict[str, Any]:
    """Return the values of `codebase.*`, by their name."""
    totals = facts.totals
    return {
        "files": totals.files,
        "lines": totals.lines,
        "functions": totals.functions,
        "classes": totals.classes,
        "primary_language": totals.primary_language,
        "languages": list(totals.languages),
    }


def _changed(impact: Impact, before: CommitFacts, head: CommitFacts) -> dict[str, Any]:
    files = (head.files.get(change.path) or before.files.get(change.path) for change in impact.files)
    languages = {file.language for file in files if file is not None and file.language}
    tests = sorted({reached.path for reached in impact.tests})
    return {
        "files": len(impact.files),
        "paths": [change.path for change in impact.files],
        "languages": sorted(languages),
        "added_lines": sum(change.added for change in impact.files),
        "removed_lines": sum(change.removed for change in impact.files),
        "symbols": [f"{symbol.path}:{symbol.name}" for symbol in impact.symbols],
        "tests": tests,
        "risk": impact.risk.score,
        "has_tests": bool(tests),
    }


def _nothing(root: str) -> dict[str, Any]:
    return {path.removeprefix(f"{root}."): None for path in FIELDS if path.startswith(f"{root}.")}
