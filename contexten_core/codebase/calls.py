"""The call graph of a commit, by name: who may call whom, and how sure that is.

A call is known by what is written ("save", "self.save", "orders.save"), so what it reaches is a conclusion. The first
of these rules that has candidates decides, and its confidence is divided by how many they are:

- 1.0: behind `self`, `this`, `cls` or `super`, what the caller's own class has; behind the name of a class of the same
  or an imported file, what that class has; behind the name of an imported file, what that file has at its top; with
  nothing in front, what the caller's own file has, or else an imported file of which that name is taken;
- 0.8: what an imported file has, or a file of the same folder where folders are packages (Go, Java, C#, PHP, Ruby, C);
- 0.5: what the rest of the repository has in a language that can be called from the caller's, 20 places at most.

Names with more candidates than that ("get", "run") are taken for unknown rather than for everything.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from contexten_core.codebase.outline import METHOD, Outline
from contexten_core.codebase.outlines import Outlines

_MOST_CANDIDATES = 20
_SURE, _NEAR, _FAR = 1.0, 0.8, 0.5
_OWN = frozenset({"self", "this", "cls", "super", "super()", "Self", "static", "parent"})
_SEPARATOR = re.compile(r"::|->|\?\.|\\|\.")
_FAMILIES = (
    ("JavaScript", "TypeScript", "Vue", "Svelte"),
    ("Java", "Kotlin", "Scala", "Groovy"),
    ("C", "C++", "CUDA", "Objective-C"),
)
_FAMILY = {language: family[0] for family in _FAMILIES for language in family}
_BY_FOLDER = frozenset({"Go", "Java", "Kotlin", "Scala", "Groovy", "C#", "PHP", "Ruby", "C", "C++"})


class Symbol(NamedTuple):
    """A function, method or class; `name` is qualified, "Order.total". A class has complexity 0."""

    path: str
    name: str
    kind: str
    line: int
    end_line: int
    complexity: int = 0

    @property
    def short_name(self) -> str:
        return self.name.rpartition(".")[2]


class Call(NamedTuple):
    """One function or file that calls another by name.

    Attributes:
        path: of the caller.
        caller: its qualified name, "" for code outside of all functions.
        callee_path: of what is called.
        callee: its qualified name.
        confidence: above 0, up to 1.
    """

    path: str
    caller: str
    callee_path: str
    callee: str
    confidence: float


class _Site(NamedTuple):
    path: str
    caller: str
    written: str


class _Index(NamedTuple):
    """Symbols, and calls, by the last part of their names."""

    symbols: Mapping[str, Sequence[Symbol]]
    sites: Mapping[str, Sequence[_Site]]


@dataclass(frozen=True)
class CallGraph:
    """Answers who calls whom, from the outlines; what is asked first builds the index it needs, once.

    Attributes:
        outlines: of every file.
        languages: of every file, by path.
        imports: of every file that imports another.
    """

    outlines: Outlines
    languages: Mapping[str, str | None]
    imports: Mapping[str, tuple[str, ...]]

    def symbols(self, path: str) -> tuple[Symbol, ...]:
        """Return the functions and classes of a file by line; none for a path that is not there."""
        if path not in self._symbols:
            outline = self.outlines.get(path)
            self._symbols[path] = _symbols(path, outline) if outline else ()
        return self._symbols[path]

    def symbols_named(self, name: str) -> tuple[Symbol, ...]:
        """Return what is defined under a name, whole ("Order.total") or its last part, by path and line."""
        found = self._index.symbols.get(name.rpartition(".")[2], ())
        return tuple(symbol for symbol in found if name in {symbol.name, symbol.short_name})

    def callers_of(self, name: str, path: str | None = None) -> tuple[Call, ...]:
        """Return the calls that may reach what is defined under a name (in one file, with `path`), surest first."""
        calls = []
        for site in self._index.sites.get(name.rpartition(".")[2], ()):
            for call in self._resolved(site):
                is_meant = call.callee == name or call.callee.rpartition(".")[2] == name
                if is_meant and path in {None, call.callee_path}:
                    calls.append(call)
        return _surest_first(calls)

    def callees_of(self, path: str, name: str | None = None) -> tuple[Call, ...]:
        """Return the calls from a file, or from one of its functions ("" for code outside of them), surest first."""
        sites = [site for site in self._sites_of(path) if name in {None, site.caller}]
        return _surest_first(call for site in sites for call in self._resolved(site))

    def edges(self) -> Iterator[Call]:
        """Yield every call of the commit, file by file."""
        for path in self.outlines.paths:
            yield from self.callees_of(path)

    def search(self, text: str, limit: int) -> tuple[Symbol, ...]:
        """Find symbols by a part of their qualified name, case ignored: equal names, then beginnings, then the rest."""
        wanted = text.casefold()
        if not wanted or limit < 1:
            return ()
        ranked = []
        for symbols in self._index.symbols.values():
            for symbol in symbols:
                name, short = symbol.name.casefold(), symbol.short_name.casefold()
                if wanted in name:
                    rank = 0 if wanted in {name, short} else 1 if short.startswith(wanted) else 2
                    ranked.append((rank, len(symbol.name), symbol))
        return tuple(symbol for _, _, symbol in sorted(ranked)[:limit])

    def _resolved(self, site: _Site) -> Iterator[Call]:
        found, confidence = self._candidates(site)
        for symbol in found:
            if (symbol.path, symbol.name) != (site.path, site.caller):
                yield Call(site.path, site.caller, symbol.path, symbol.name, round(confidence / len(found), 4))

    def _candidates(self, site: _Site) -> tuple[Sequence[Symbol], float]:
        parts = [part for part in _SEPARATOR.split(site.written) if part]
        known = self._places_of(parts[-1]) if parts else {}
        if not known:
            return (), 0.0
        imported = [symbol for path in self.imports.get(site.path, ()) for symbol in known.get(path, ())]
        if found := self._sure(site, parts, known.get(site.path, []), imported):
            return found, _SURE
        family = self._family(site.path)
        near = imported or (self._beside(site.path, parts[-1]) if self.languages.get(site.path) in _BY_FOLDER else [])
        if 0 < len(near) <= _MOST_CANDIDATES:
            return near, _NEAR
        far = self._far(parts[-1], family)
        return (far, _FAR) if len(far) <= _MOST_CANDIDATES else ((), 0.0)

    def _sure(
        self, site: _Site, parts: Sequence[str], here: Sequence[Symbol], imported: Sequence[Symbol]
    ) -> list[Symbol]:
        owner = _owner(site.caller)
        if len(parts) == 1:
            top = [symbol for symbol in imported if "." not in symbol.name]
            return (
                [symbol for symbol in here if symbol.kind != METHOD]
                or [symbol for symbol in here if _owner(symbol.name) == owner]
                or (top if parts[0] in self._imported_names(site.path) else [])
            )
        if parts[0] in _OWN:
            is_own = owner and len(parts) == len(("self", "name"))
            return [symbol for symbol in here if is_own and _owner(symbol.name) == owner]
        receiver = parts[-2]
        of_class = [symbol for symbol in (*here, *imported) if _owner(symbol.name).rpartition(".")[2] == receiver]
        return of_class or [symbol for symbol in imported if _is_module(symbol, receiver)]

    def _beside(self, path: str, name: str) -> list[Symbol]:
        """Return what other files of the same folder and family define under a name."""
        folder = path.rpartition("/")[0]
        return [
            symbol
            for symbol in self._far(name, self._family(path))
            if symbol.path != path and symbol.path.rpartition("/")[0] == folder
        ]

    def _far(self, name: str, family: object) -> list[Symbol]:
        if (name, family) not in self._by_family:
            found = [symbol for symbol in self._index.symbols.get(name, ()) if self._family(symbol.path) == family]
            self._by_family[name, family] = found
        return self._by_family[name, family]

    def _places_of(self, name: str) -> Mapping[str, list[Symbol]]:
        if name not in self._by_place:
            found: defaultdict[str, list[Symbol]] = defaultdict(list)
            for symbol in self._index.symbols.get(name, ()):
                found[symbol.path].append(symbol)
            self._by_place[name] = found
        return self._by_place[name]

    def _family(self, path: str) -> object:
        language = self.languages.get(path)
        return _FAMILY.get(language or "", language)

    def _imported_names(self, path: str) -> frozenset[str]:
        if path not in self._names:
            imports = self.outlines.head(path).imports
            self._names[path] = frozenset(name for _, names in imports for name in names)
        return self._names[path]

    def _sites_of(self, path: str) -> list[_Site]:
        outline = self.outlines.get(path)
        return _sites(path, outline) if outline else []

    @cached_property
    def _index(self) -> _Index:
        symbols: defaultdict[str, list[Symbol]] = defaultdict(list)
        sites: defaultdict[str, list[_Site]] = defaultdict(list)
        for path, data in sorted(self.outlines.encoded()):
            outline = Outline.decode(data)
            self._symbols[path] = _symbols(path, outline)
            for symbol in self._symbols[path]:
                symbols[symbol.short_name].append(symbol)
            for site in _sites(path, outline):
                name = site.written if site.written.isidentifier() else _SEPARATOR.split(site.written)[-1]
                sites[name].append(site)
        return _Index(symbols, sites)

    @cached_property
    def _symbols(self) -> dict[str, tuple[Symbol, ...]]:
        return {}

    @cached_property
    def _names(self) -> dict[str, frozenset[str]]:
        return {}

    @cached_property
    def _by_family(self) -> dict[tuple[str, object], list[Symbol]]:
        return {}

    @cached_property
    def _by_place(self) -> dict[str, Mapping[str, list[Symbol]]]:
        return {}


def _symbols(path: str, outline: Outline) -> tuple[Symbol, ...]:
    found = [Symbol(path, *definition) for definition in outline.definitions]
    return tuple(sorted(found, key=lambda symbol: (symbol.line, -symbol.end_line, symbol.name)))


def _sites(path: str, outline: Outline) -> list[_Site]:
    names = [*(definition.name for definition in outline.definitions), ""]
    return [_Site(path, names[index], written) for index, calls in outline.calls for written in calls]


def _owner(name: str) -> str:
    return name.rpartition(".")[0]


def _is_module(symbol: Symbol, receiver: str) -> bool:
    """Tell whether a symbol is at the top of the file, or of the package, that a call names in front of it."""
    folder, _, name = symbol.path.rpartition("/")
    return "." not in symbol.name and receiver in {name.partition(".")[0], folder.rpartition("/")[2]}


def _surest_first(calls: Iterable[Call]) -> tuple[Call, ...]:
    """Sort calls; of those between the same two only the surest stays."""
    surest: dict[tuple[str, str, str, str], Call] = {}
    for call in calls:
        known = surest.get(call[:4])
        if known is None or known.confidence < call.confidence:
            surest[call[:4]] = call
    return tuple(sorted(surest.values(), key=lambda call: (-call.confidence, *call[:4])))
