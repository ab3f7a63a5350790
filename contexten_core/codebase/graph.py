"""The module graph of a commit: which of its files import which, and the cycles among them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

Imports = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class ModuleGraph:
    """Imports between the files of a commit.

    Attributes:
        imports: the files that a file imports, by its path, sorted; files that import none are not in it.
        external: what a file imports from outside of the repository, by its path, sorted; likewise.
        cycles: groups of files that import each other, directly or through others of the group, each sorted.
    """

    imports: Imports
    external: Imports
    cycles: tuple[tuple[str, ...], ...]

    @cached_property
    def importers(self) -> Imports:
        """The files that import a file, by its path, sorted."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for path in sorted(self.imports):
            for imported in self.imports[path]:
                found[imported].append(path)
        return {path: tuple(paths) for path, paths in found.items()}


def find_cycles(imports: Imports) -> tuple[tuple[str, ...], ...]:
    """Return the strongly connected components of more than one file, sorted: R. Tarjan (1972), without recursion."""
    search = _Search(imports)
    for root in imports:
        if root not in search.order:
            search.visit(root)
    return tuple(sorted(search.cycles))


class _Search:
    """A depth-first search; `waiting` are files whose component is not complete yet, with their `position` there."""

    def __init__(self, imports: Imports) -> None:
        self.order: dict[str, int] = {}
        self.cycles: list[tuple[str, ...]] = []
        self._imports = imports
        self._lowest: dict[str, int] = {}
        self._waiting: list[str] = []
        self._position: dict[str, int] = {}

    def visit(self, root: str) -> None:
        way = [(root, self._enter(root))]
        while way:
            node, following = way[-1]
            unseen = self._next(node, following)
            if unseen is not None:
                way.append((unseen, self._enter(unseen)))
                continue
            way.pop()
            if way:
                above = way[-1][0]
                self._lowest[above] = min(self._lowest[above], self._lowest[node])
            if self._lowest[node] == self.order[node]:
                self._complete(node)

    def _enter(self, node: str) -> Iterator[str]:
        self.order[node] = self._lowest[node] = len(self.order)
        self._position[node] = len(self._waiting)
        self._waiting.append(node)
        return iter(self._imports[node])

    def _next(self, node: str, following: Iterator[str]) -> str | None:
        """Return the next import that was not visited, noting the files above that the others lead to."""
        for other in following:
            if other in self._position:
                self._lowest[node] = min(self._lowest[node], self.order[other])
            elif other in self._imports and other not in self.order:
                return other
        return None

    def _complete(self, node: str) -> None:
        start = self._position[node]
        component = self._waiting[start:]
        del self._waiting[start:]
        for member in component:
            del self._position[member]
        if len(component) > 1:
            self.cycles.append(tuple(sorted(component)))
