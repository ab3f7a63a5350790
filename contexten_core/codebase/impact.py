"""What a change reaches: the symbols it changes, who calls or imports them, the tests that reach them, and its risk."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from contexten_core.codebase.commit import Call, CommitFacts, Symbol
from contexten_core.codebase.diff import ChangeKind, Diff, FileChange, Lines
from contexten_core.codebase.history import LoggedCommit
from contexten_core.codebase.owners import CodeOwners, owners_of
from contexten_core.codebase.risk import Risk, RiskSigns, risk_of

MOST_DEPTH = 3
_LEAST_CONFIDENCE = 0.2
_MOST_REACHED = 2_000
_BY_IMPORT = 0.5

_Place = tuple[str, str]
_Dependents = Mapping[_Place, set[_Place]]


class SymbolChange(StrEnum):
    ADDED = "added"
    MODIFIED = "modified"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class ChangedSymbol:
    """A function or class that a change adds, modifies or removes; its lines are those afterwards, or before."""

    path: str
    name: str
    kind: str
    change: SymbolChange
    line: int
    end_line: int
    complexity: int


@dataclass(frozen=True, slots=True)
class Reached:
    """Code that depends on what was changed.

    Attributes:
        name: the function, or "" for a file as a whole.
        depth: 1 for what calls or imports a changed symbol itself, 2 for what does so to that, and so on.
        confidence: the product of the confidences of the calls between; an import without a call counts half.
        through: what it calls or imports, as `path:name`.
    """

    path: str
    name: str
    depth: int
    confidence: float
    through: str


@dataclass(frozen=True, slots=True)
class Impact:
    """What a change from one commit to another means.

    Attributes:
        symbols: what it changes, by path and line.
        reached: what depends on that, the nearest and surest first; tests are not among them.
        tests: tests that reach what was changed, likewise; a changed test has depth 0.
        untested: names of changed functions that no test reaches, as `path:name`.
        owners: who answers for the changed files.
        authors: who changed them most, for files that have no owners.
        past_failures: earlier commits that touched these files and whose runs failed, newest first.
        left_out: what is missing from the above, and why.
    """

    base: str
    head: str
    files: tuple[FileChange, ...]
    symbols: tuple[ChangedSymbol, ...]
    reached: tuple[Reached, ...]
    tests: tuple[Reached, ...]
    untested: tuple[str, ...]
    owners: Mapping[str, tuple[str, ...]]
    authors: tuple[str, ...]
    past_failures: tuple[str, ...]
    risk: Risk
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Past:
    """What the history says: its commits, newest first, and those whose runs failed or succeeded."""

    log: Sequence[LoggedCommit] = ()
    failed: Collection[str] = field(default_factory=frozenset)
    succeeded: Collection[str] = field(default_factory=frozenset)


def assess(
    *,
    base: CommitFacts,
    head: CommitFacts,
    changes: Diff,
    owners: CodeOwners,
    past: Past,
    is_test: Callable[[str], bool],
) -> Impact:
    """Tell what a change means, from what is known of both commits. Reads and writes nothing; time is bounded."""
    files = changes.files
    symbols = _changed_symbols(base, head, files)
    found, dependents, is_whole = _reach(base, head, files, symbols)
    tests = [one for one in found if is_test(one.path)]
    tests += [Reached(change.path, "", 0, 1.0, "") for change in files if is_test(change.path) and _remains(change)]
    reached = [one for one in found if not is_test(one.path)]
    tested = _tested(dependents, is_test)
    paths = {name for change in files for name in (change.path, change.old_path) if name}
    before = [commit for commit in past.log if commit.commit != head.commit and paths.intersection(commit.paths)]
    failures = tuple(commit.commit for commit in before if commit.commit in past.failed)
    known = len(failures) + sum(commit.commit in past.succeeded for commit in before)
    code = [one for one in symbols if one.kind != "class" and not is_test(one.path)]
    untested = tuple(
        f"{one.path}:{one.name}"
        for one in code
        if one.change is not SymbolChange.REMOVED and (one.path, one.name) not in tested
    )
    standing = sum(one.change is not SymbolChange.REMOVED for one in code)
    signs = RiskSigns(
        lines=sum(change.added + change.removed for change in files if not is_test(change.path)),
        folders=len({change.path.rpartition("/")[0] for change in files}),
        reached_files=len({one.path for one in reached}),
        most_complex=max((one.complexity for one in code), default=0),
        untested_share=len(untested) / standing if standing else 0.0,
        changes_before=len(before),
        failures_before=len(failures),
        known_before=known,
    )
    return Impact(
        base=base.commit,
        head=head.commit,
        files=files,
        symbols=tuple(symbols),
        reached=tuple(sorted(reached, key=_nearest)),
        tests=tuple(sorted(tests, key=_nearest)),
        untested=untested,
        owners=owners_of(sorted(paths), owners),
        authors=_authors(before),
        past_failures=failures[:20],
        risk=risk_of(signs),
        left_out=tuple(_left_out(changes, is_whole=is_whole)),
    )


def _left_out(changes: Diff, *, is_whole: bool) -> Iterator[str]:
    if changes.left_out:
        first = len(changes.files)
        yield f"{changes.left_out:,} changed files after the first {first:,}, with all that depends on them"
    if not is_whole:
        yield f"what depends on the change beyond the first {_MOST_REACHED} places"


def _changed_symbols(base: CommitFacts, head: CommitFacts, changes: Iterable[FileChange]) -> list[ChangedSymbol]:
    found = []
    for change in changes:
        before = {one.name: one for one in base.symbols(change.old_path)} if change.old_path else {}
        after = {one.name: one for one in head.symbols(change.path)} if _remains(change) else {}
        for name, symbol in after.items():
            if name not in before:
                found.append(_as(symbol, SymbolChange.ADDED))
            elif _touches(change.lines, symbol) or _touches(change.old_lines, before[name]):
                found.append(_as(symbol, SymbolChange.MODIFIED))
        found += [_as(before[name], SymbolChange.REMOVED) for name in before.keys() - after.keys()]
    return sorted(found, key=lambda one: (one.path, one.line, one.name))


def _as(symbol: Symbol, change: SymbolChange) -> ChangedSymbol:
    return ChangedSymbol(symbol.path, symbol.name, symbol.kind, change, symbol.line, symbol.end_line, symbol.complexity)


def _touches(lines: Lines, symbol: Symbol) -> bool:
    return any(first <= symbol.end_line and symbol.line <= last for first, last in lines)


def _remains(change: FileChange) -> bool:
    return change.kind is not ChangeKind.REMOVED


def _reach(
    base: CommitFacts, head: CommitFacts, changes: Sequence[FileChange], symbols: Sequence[ChangedSymbol]
) -> tuple[list[Reached], _Dependents, bool]:
    """Follow calls and imports backwards, breadth first; what is sure is followed before what is not."""
    every: defaultdict[_Place, set[_Place]] = defaultdict(set)
    own = {(one.path, one.name) for one in symbols}
    best: dict[tuple[str, str], Reached] = {}
    before, after = _Callers(base), _Callers(head)
    level = [(one.path, one.name, 1.0, before if one.change is SymbolChange.REMOVED else after) for one in symbols]
    # Code outside of all symbols is reached by whoever imports the file.
    level += [(change.path, "", 1.0, after if _remains(change) else before) for change in changes]
    for depth in range(1, MOST_DEPTH + 1):
        following: dict[tuple[str, str], Reached] = {}
        for path, name, confidence, callers in level:
            for other, caller, certain in callers.of(path, name):
                total = round(confidence * certain, 4)
                key = (other, caller)
                if total < _LEAST_CONFIDENCE:
                    continue
                every[path, name].add(key)
                is_new = key not in own and key not in best
                if is_new and (key not in following or following[key].confidence < total):
                    following[key] = Reached(other, caller, depth, total, f"{path}:{name}")
        for key in sorted(following, key=lambda key: (-following[key].confidence, key)):
            if len(best) >= _MOST_REACHED:
                return list(best.values()), every, False
            best[key] = following[key]
        level = [(one.path, one.name, one.confidence, after) for one in best.values() if one.depth == depth]
    return list(best.values()), every, True


class _Callers:
    """Who depends on what of a commit; calls are looked up once for all that share the last part of their names."""

    def __init__(self, facts: CommitFacts) -> None:
        self._facts = facts
        self._known: dict[str, dict[_Place, list[Call]]] = {}

    def of(self, path: str, name: str) -> Iterator[tuple[str, str, float]]:
        """Yield the places that call a symbol, or import a file, and how sure that is."""
        if not name:
            yield from ((importer, "", _BY_IMPORT) for importer in self._facts.importers_of(path))
            return
        for call in self._by_place(name.rpartition(".")[2]).get((path, name), ()):
            yield call.path, call.caller, call.confidence

    def _by_place(self, name: str) -> dict[_Place, list[Call]]:
        if name not in self._known:
            found: dict[_Place, list[Call]] = {}
            for call in self._facts.callers_of(name):
                found.setdefault((call.callee_path, call.callee), []).append(call)
            self._known[name] = found
        return self._known[name]


def _tested(dependents: _Dependents, is_test: Callable[[str], bool]) -> set[_Place]:
    """Return what tests reach, directly or through what lies between."""
    dependencies: defaultdict[_Place, set[_Place]] = defaultdict(set)
    for place, others in dependents.items():
        for other in others:
            dependencies[other].add(place)
    waiting = [place for place in dependencies if is_test(place[0])]
    reached: set[_Place] = set()
    while waiting:
        new = dependencies.get(waiting.pop(), set()) - reached
        reached |= new
        waiting += new
    return reached


def _authors(commits: Iterable[LoggedCommit]) -> tuple[str, ...]:
    counts: dict[str, int] = {}
    for commit in commits:
        counts[commit.author] = counts.get(commit.author, 0) + 1
    return tuple(sorted(counts, key=lambda author: (-counts[author], author))[:5])


def _nearest(one: Reached) -> tuple[int, float, str, str]:
    return (one.depth, -one.confidence, one.path, one.name)
