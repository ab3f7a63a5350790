"""What the analysis of the next commit starts from: everything known of one, and how to bring it up to date.

A first analysis is an update of nothing, so both ways to a commit's facts are one piece of code.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from contexten_core.codebase.calls import CallGraph
from contexten_core.codebase.commit import CommitFacts, FileSummary, LeftOut
from contexten_core.codebase.entry_points import EntryPoint, entry_points_by_name
from contexten_core.codebase.graph import ModuleGraph, find_cycles
from contexten_core.codebase.import_settings import SETTINGS_NAMES
from contexten_core.codebase.outline import Head, Outline, head_bytes
from contexten_core.codebase.outlines import NO_OUTLINES, Outlines
from contexten_core.codebase.record import Record
from contexten_core.codebase.resolve_imports import Resolver, Touched
from contexten_core.codebase.summarise import Tally

_PATHS_SHOWN = 20


@dataclass(frozen=True)
class Snapshot:
    """Everything known of one commit.

    Attributes:
        facts: what others see of it.
        tally: the sums behind the totals.
        settings: what each manifest says about imports.
        skipped: entries that are not analysed by their nature, and why.
        beyond: how many files were left out by each limit; with any of them, nothing can be updated from here.
    """

    facts: CommitFacts
    tally: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    beyond: Mapping[str, int] = field(default_factory=dict)

    @property
    def outlines(self) -> Outlines:
        return self.facts.calls.outlines


@dataclass(frozen=True, slots=True)
class Changes:
    """How one commit differs from another.

    Attributes:
        removed: paths that are gone, or that are replaced by what follows.
        added: contents by path, as (blob id, record).
        skipped: entries that are not analysed, and why.
        beyond: see Snapshot.
    """

    removed: Collection[str] = ()
    added: Mapping[str, tuple[str, Record]] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    beyond: Mapping[str, int] = field(default_factory=dict)


def update(base: Snapshot | None, commit: str, changes: Changes) -> Snapshot:
    """Return everything known of a commit, from what is known of another and what differs."""
    base = base or _nothing()
    old, tally = base.facts.files, Tally(base.tally)
    removed = {path: old[path] for path in {*changes.removed, *changes.added} if path in old}
    added = {
        path: record.summary(path=path, blob_id=blob_id) for path, (blob_id, record) in sorted(changes.added.items())
    }
    for file in removed.values():
        tally.add(file, times=-1)
    for file in added.values():
        tally.add(file)
    files = {path: file for path, file in old.items() if path not in removed} | added
    files = dict(sorted(files.items()))
    encoded = {path: record.outline for path, (_, record) in changes.added.items()}
    outlines = base.outlines.updated(removed=removed.keys() - added.keys(), added=encoded, paths=tuple(files))
    settings = _settings(base.settings, removed, encoded)
    modules = _modules(base, files, outlines, settings, removed, added, encoded)
    skipped = {path: why for path, why in base.skipped.items() if path not in changes.removed and path not in added}
    skipped = dict(sorted({**skipped, **changes.skipped}.items()))
    facts = CommitFacts(
        commit=commit,
        files=files,
        totals=tally.totals(files),
        modules=modules,
        calls=call_graph(outlines, files, modules),
        entry_points=_entry_points(base.facts.entry_points, removed, encoded),
        maintainability=tally.maintainability,
        left_out=_left_out(skipped, changes.beyond),
    )
    return Snapshot(facts, tally.counts, settings, skipped, dict(changes.beyond))


def call_graph(outlines: Outlines, files: Mapping[str, FileSummary], modules: ModuleGraph) -> CallGraph:
    return CallGraph(outlines, {path: file.language for path, file in files.items()}, modules.imports)


def _nothing() -> Snapshot:
    modules = ModuleGraph({}, {}, ())
    totals = Tally().totals({})
    return Snapshot(CommitFacts("", {}, totals, modules, CallGraph(NO_OUTLINES, {}, {}), (), None))


def _settings(
    before: Mapping[str, Mapping[str, Any]], removed: Collection[str], added: Mapping[str, bytes]
) -> dict[str, Mapping[str, Any]]:
    found = {path: values for path, values in before.items() if path not in removed}
    for path, outline in added.items():
        if path.rpartition("/")[2] in SETTINGS_NAMES and (values := Head.decode(outline).settings) is not None:
            found[path] = values
    return dict(sorted(found.items()))


def _modules(
    base: Snapshot,
    files: Mapping[str, FileSummary],
    outlines: Outlines,
    settings: Mapping[str, Mapping[str, Any]],
    removed: Mapping[str, FileSummary],
    added: Mapping[str, FileSummary],
    encoded: Mapping[str, bytes],
) -> ModuleGraph:
    before = base.facts.modules
    stale = set(files) if settings != base.settings else _stale(files, outlines, settings, removed, added)
    imports = {path: targets for path, targets in before.imports.items() if path in files and path not in stale}
    external = {path: names for path, names in before.external.items() if path in files and path not in stale}
    resolver = Resolver(files, settings)
    for path in stale:
        if not resolver.has_rule(path):
            continue
        # What is new need not be taken out of its compressed group again.
        head = Head.decode(encoded[path]) if path in encoded else outlines.head(path)
        targets, names = resolver.resolve(path, head.imports)
        if targets:
            imports[path] = targets
        if names:
            external[path] = names
    imports = dict(sorted(imports.items()))
    cycles = before.cycles if imports == before.imports else find_cycles(imports)
    return ModuleGraph(imports, dict(sorted(external.items())), cycles)


def _stale(
    files: Mapping[str, FileSummary],
    outlines: Outlines,
    settings: Mapping[str, Mapping[str, Any]],
    removed: Mapping[str, FileSummary],
    added: Mapping[str, FileSummary],
) -> set[str]:
    """Return the files whose imports have to be resolved again."""
    moved = [file for path, file in removed.items() if path not in added or _place(file) != _place(added[path])]
    moved += [file for path, file in added.items() if path not in removed or _place(file) != _place(removed[path])]
    if len(added) == len(files):
        return set(files)
    if not moved:
        return set(added)
    touched = Touched(moved, settings)
    again = {path for path, data in outlines.encoded() if touched.may_touch(path, head_bytes(data))}
    return again | set(added)


def _place(file: FileSummary) -> tuple[str | None, str | None]:
    return file.language, file.package


def _entry_points(
    before: Iterable[EntryPoint], removed: Collection[str], added: Mapping[str, bytes]
) -> tuple[EntryPoint, ...]:
    found = {point for point in before if point.path not in removed}
    for path, outline in added.items():
        found.update(entry_points_by_name(path))
        if not outline.endswith(b",[]]"):
            found.update(EntryPoint(path, kind, name) for kind, name in Outline.decode(outline).entry_points)
    return tuple(sorted(found))


def _left_out(skipped: Mapping[str, str], beyond: Mapping[str, int]) -> tuple[LeftOut, ...]:
    counts = Counter(skipped.values())
    paths: defaultdict[str, list[str]] = defaultdict(list)
    for path, why in skipped.items():
        if len(paths[why]) < _PATHS_SHOWN:
            paths[why].append(path)
    found = [LeftOut(why, count, tuple(paths[why])) for why, count in counts.items()]
    return tuple(sorted([*found, *(LeftOut(why, count) for why, count in beyond.items())]))
