r"""Everything known of one commit: `CommitFacts`, what impact, context, search and the surface are written against.

Three ways to one:

- `whole.facts_of_commit(mirror, commit)` analyses a fetched commit without a database;
- `await collect.find_facts(database, mirror, commit)` uses what the database knows (its `.facts` is one), and
  `keep.examine_commit` with `keep.store_commit` stores what is new as well;
- `await collect.commit_facts(session, codebase_id)` reads what is stored, or returns None when it is not kept any more.

`whole.newest_commit(mirror)` is the commit to ask for; of an empty repository it is NO_COMMIT, which has no files.

Paths are relative with "/"; in a path that is not UTF-8 the odd bytes are written as `\xNN`. Every collection is in an
order that depends on the commit alone. An object answers from memory: it opens neither git nor the database. The whole
`FileFacts` of some files (docstrings, parameters, signatures) come from `await collect.file_facts(session, facts,
paths)`, a {path: FileFacts} that lacks what was not analysed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from contexten_core.codebase.calls import Call, CallGraph, Symbol
from contexten_core.codebase.entry_points import EntryPoint
from contexten_core.codebase.facts import CodebaseFacts
from contexten_core.codebase.graph import ModuleGraph

__all__ = ["Call", "CallGraph", "CommitFacts", "EntryPoint", "FileSummary", "LeftOut", "ModuleGraph", "Symbol"]


FactsKey = tuple[str, str]
"""Under what facts of a content are kept: its id, and the kind of file."""


class FileSummary(NamedTuple):
    """One file of a commit in figures. A tuple, since a commit has thousands and each is read for every event.

    Attributes:
        blob_id: git's id of its content.
        kind: what its name says of how to read it; with `blob_id` the key of its stored facts.
        language: as in FileFacts.
        functions: how many, methods and nested ones included.
        complexity: the sum of their cyclomatic complexities.
        most_complex: the largest of them, 0 without functions.
        cognitive: the sum of their cognitive complexities.
        todos: TODO markers.
        function_lines: lines of its functions, nested ones counted again.
        maintainability: hundredths of the maintainability score of its functions, each times its lines, summed up.
        note: what was left out, see FileFacts.
    """

    path: str
    blob_id: str
    kind: str
    language: str | None = None
    lines: int = 0
    code_lines: int = 0
    comment_lines: int = 0
    blank_lines: int = 0
    functions: int = 0
    classes: int = 0
    complexity: int = 0
    most_complex: int = 0
    cognitive: int = 0
    todos: int = 0
    function_lines: int = 0
    maintainability: int = 0
    is_generated: bool = False
    package: str | None = None
    note: str | None = None


class LeftOut(NamedTuple):
    """Entries of a commit that are not in its facts: why, how many, and the first of their paths."""

    reason: str
    count: int  # type: ignore[assignment]  # of entries; nobody counts values in this tuple
    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class CommitFacts:
    """What is known of one commit.

    Attributes:
        commit: its full id.
        files: its files by path, sorted by path.
        totals: files, lines, functions, classes and languages.
        modules: which files import which, what comes from outside, and the cycles.
        calls: the symbols and who calls whom, by name, with a confidence.
        entry_points: where its programs start.
        maintainability: 0 (worst) to 100, or None when it has no functions; see maintainability.py.
        left_out: what is not in the above, and why.
    """

    commit: str
    files: Mapping[str, FileSummary]
    totals: CodebaseFacts
    modules: ModuleGraph
    calls: CallGraph = field(repr=False)
    entry_points: tuple[EntryPoint, ...]
    maintainability: float | None
    left_out: tuple[LeftOut, ...] = ()

    def imports_of(self, path: str) -> tuple[str, ...]:
        """Return the files of the repository that a file imports."""
        return self.modules.imports.get(path, ())

    def written_imports(self, path: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Return what a file imports as it is written: modules, each with the names taken from it."""
        return self.calls.outlines.head(path).imports if path in self.files else ()

    def importers_of(self, path: str) -> tuple[str, ...]:
        """Return the files that import a file."""
        return self.modules.importers.get(path, ())

    def symbols(self, path: str) -> tuple[Symbol, ...]:
        """Return the functions and classes of a file, in its order."""
        return self.calls.symbols(path)

    def symbols_named(self, name: str) -> tuple[Symbol, ...]:
        """Return what is defined under a name, whole ("Order.total") or its last part ("total")."""
        return self.calls.symbols_named(name)

    def callers_of(self, name: str, path: str | None = None) -> tuple[Call, ...]:
        """Return the calls that may reach a function or class, surest first; with `path` only the one defined there."""
        return self.calls.callers_of(name, path)

    def callees_of(self, path: str, name: str | None = None) -> tuple[Call, ...]:
        """Return the calls from a file, or from one of its functions ("" for its code outside of all functions)."""
        return self.calls.callees_of(path, name)

    def search(self, text: str, limit: int = 20) -> tuple[Symbol, ...]:
        """Find symbols by a part of their name, case ignored: equal names first, then beginnings, then the rest."""
        return self.calls.search(text, limit)
