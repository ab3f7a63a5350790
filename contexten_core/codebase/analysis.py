"""Everything there is to say about one commit, as one value and as JSON."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from contexten_core.codebase.commit import CommitFacts, FileSummary
from contexten_core.codebase.facts import FileFacts
from contexten_core.codebase.history import History, HotSpot
from contexten_core.codebase.manifests import Manifests
from contexten_core.codebase.owners import CodeOwners
from contexten_core.codebase.roles import is_generated, is_test, is_vendored
from contexten_core.codebase.testing import TestLayout

MOST_SHOWN = 1_000
_MOST_CO_CHANGES = 200


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a commit's manifests, its CODEOWNERS and its history say.

    Attributes:
        hot_spots: of the project's own code: not of tests, nor of what is generated or vendored.
        notes: what could not be read of it, with the reason.
    """

    manifests: Manifests
    tests: TestLayout
    owners: CodeOwners
    history: History
    hot_spots: tuple[HotSpot, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Analysis:
    """What is known of one commit.

    Attributes:
        name: of the repository, as it was asked for.
        files: what each file holds, by path; empty when only the summaries in `facts` are wanted.
        duration_seconds: how long it took to find out, fetching included.
    """

    name: str
    facts: CommitFacts
    files: Sequence[FileFacts]
    surroundings: Surroundings
    duration_seconds: float

    @property
    def commit(self) -> str:
        return self.facts.commit

    def as_dict(self) -> dict[str, Any]:
        """Return everything in JSON's types, in an order that depends on the commit alone."""
        return self._all(files=[_file(file) for file in self.files], most=None)

    def as_summary(self) -> dict[str, Any]:
        """Return the same of bounded size: files as figures, and of each list the first MOST_SHOWN."""
        files = list(self.facts.files.values())
        return self._all(files=[_figures(file) for file in files[:MOST_SHOWN]], most=MOST_SHOWN)

    def _all(self, *, files: list[dict[str, Any]], most: int | None) -> dict[str, Any]:
        facts, around = self.facts, self.surroundings
        lengths = {
            "files": len(facts.files),
            "dependencies": len(around.manifests.dependencies),
            "modules": len(_modules(facts, None)),
            "cycles": len(facts.modules.cycles),
            "entry_points": len(facts.entry_points),
            "owners": len(facts.files),
        }
        cut = [] if most is None else [name for name, length in lengths.items() if length > most]
        return {
            "repository": self.name,
            "commit": facts.commit,
            "languages": {name: asdict(totals) for name, totals in facts.totals.languages.items()},
            "primary_language": facts.totals.primary_language,
            "totals": {
                "files": facts.totals.files,
                "lines": facts.totals.lines,
                "functions": facts.totals.functions,
                "classes": facts.totals.classes,
            },
            "files": files,
            "modules": _modules(facts, most),
            "cycles": [list(cycle) for cycle in facts.modules.cycles[:most]],
            "dependencies": [asdict(dependency) for dependency in around.manifests.dependencies[:most]],
            "entry_points": [point._asdict() for point in facts.entry_points[:most]],
            "tests": asdict(around.tests),
            "owners": _owners(list(facts.files)[:most], around),
            "history": {
                "commits": around.history.commits,
                "is_whole": around.history.is_whole,
                "since": around.history.since.isoformat() if around.history.since else None,
            },
            "hot_spots": [asdict(spot) for spot in around.hot_spots],
            "co_changes": [asdict(pair) for pair in around.history.co_changes[:_MOST_CO_CHANGES]],
            "maintainability": facts.maintainability,
            "left_out": [entry._asdict() for entry in facts.left_out],
            "notes": [*around.notes, *(f"{name}: only the first {most} are listed" for name in cut)],
            "duration_seconds": round(self.duration_seconds, 3),
        }


def _file(file: FileFacts) -> dict[str, Any]:
    functions = [
        {"name": one.name, "line": one.line, "end_line": one.end_line, "complexity": one.complexity}
        for one in file.functions
    ]
    return {
        "path": file.path,
        "language": file.language,
        "lines": file.lines,
        "functions": functions,
        "classes": [{"name": one.name, "line": one.line, "end_line": one.end_line} for one in file.classes],
        "imports": [{"module": one.module, "line": one.line, "names": list(one.names)} for one in file.imports],
        "roles": roles_of(file.path, says_generated=file.is_generated),
        "note": file.note,
    }


def _figures(file: FileSummary) -> dict[str, Any]:
    return {
        "path": file.path,
        "language": file.language,
        "lines": file.lines,
        "function_count": file.functions,
        "class_count": file.classes,
        "complexity": file.complexity,
        "most_complex": file.most_complex,
        "roles": roles_of(file.path, says_generated=file.is_generated),
        "note": file.note,
    }


def roles_of(path: str, *, says_generated: bool) -> list[str]:
    """Return which of "test", "vendored" and "generated" a file is."""
    roles = {
        "test": is_test(path),
        "vendored": is_vendored(path),
        "generated": says_generated or is_generated(path),
    }
    return [role for role, applies in roles.items() if applies]


def _modules(facts: CommitFacts, most: int | None) -> dict[str, dict[str, list[str]]]:
    graph = facts.modules
    paths = sorted({*graph.imports, *graph.external, *graph.importers})
    return {
        path: {
            "imports": list(graph.imports.get(path, ())),
            "external": list(graph.external.get(path, ())),
            "imported_by": list(graph.importers.get(path, ())),
        }
        for path in paths[:most]
    }


def _owners(paths: Iterable[str], around: Surroundings) -> Mapping[str, dict[str, Any]]:
    found = {}
    for path in paths:
        owners, history = around.owners.of(path), around.history.files.get(path)
        if owners or history:
            authors = history.authors if history else ()
            found[path] = {
                "owners": list(owners),
                "authors": [{"name": name, "commits": commits} for name, commits in authors],
            }
    return found
