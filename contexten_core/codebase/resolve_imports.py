"""Imports as written to files of the repository, and which of them a change of its files can touch."""

import json
from collections.abc import Iterable, Iterator, Mapping

from contexten_core.codebase.commit import FileSummary
from contexten_core.codebase.import_rules import RULES
from contexten_core.codebase.outline import Imports
from contexten_core.codebase.places import Places, Settings, folders_of, parent, stem

_MOST_OF_A_FILE = 2_000
_PACKAGE_FILES = frozenset({"__init__", "index", "mod", "lib", "main"})
_NAMES = ("module", "crate", "name")


class Resolver:
    """Resolves the imports of one commit's files, by their paths, packages and manifests alone."""

    def __init__(self, files: Mapping[str, FileSummary], settings: Settings) -> None:
        self._files = files
        self._places = Places(files, settings)
        self._known: dict[tuple[str, str, str, tuple[str, ...]], tuple[tuple[str, ...], str]] = {}

    def has_rule(self, path: str) -> bool:
        """Tell whether imports of a file's language are understood."""
        return self._files[path].language in RULES

    def resolve(self, path: str, imports: Imports) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the files that a file imports, and the names of what it imports from outside, both sorted."""
        language = self._files[path].language or ""
        rule = RULES.get(language)
        if rule is None:
            return (), ()
        inside: set[str] = set()
        outside: set[str] = set()
        folder = parent(path)
        for module, names in imports:
            # Files of one folder mean the same by the same words, Rust's excepted.
            key = (path if language == "Rust" else folder, language, module, names)
            if key not in self._known:
                found, name = rule(self._places, path, module, names)
                self._known[key] = tuple(found), name
            targets, name = self._known[key]
            inside.update(targets)
            if not targets and name:
                outside.add(name)
        inside.discard(path)
        return tuple(sorted(inside)[:_MOST_OF_A_FILE]), tuple(sorted(outside)[:_MOST_OF_A_FILE])


class Touched:
    """Which files' imports may mean something else after files were added, were removed or changed their package.

    It says yes too often rather than too rarely: an import can only mean a file whose name, folder, package or manifest
    it names, unless it means the file of the package that the importing file is in.
    """

    def __init__(self, files: Iterable[FileSummary], settings: Settings) -> None:
        names: set[str] = set()
        folders: set[str] = set()
        for file in files:
            folder, name = parent(file.path), stem(file.path)
            names |= {name, *(file.package or "").replace("\\", ".").split(".")[-1:]}
            if name in _PACKAGE_FILES or file.language == "Go":
                names.add(folder.rpartition("/")[2])
            names.update(_names_of_manifests(file.path, settings))
            folders.add(f"{folder}/{name}/".removeprefix("/"))
            if name in _PACKAGE_FILES:
                folders.add(f"{folder}/".removeprefix("/"))
        self._words = sorted(json.dumps(name, ensure_ascii=False)[1:-1].encode() for name in names if name)
        self._folders = tuple(sorted(folders))

    def may_touch(self, path: str, head: bytes) -> bool:
        """Tell it of one file by its path and its encoded imports."""
        return path.startswith(self._folders) or any(word in head for word in self._words)


def _names_of_manifests(path: str, settings: Settings) -> Iterator[str]:
    for folder in folders_of(path):
        for name in ("go.mod", "Cargo.toml", "package.json", "tsconfig.json", "jsconfig.json"):
            values = settings.get(f"{folder}/{name}".removeprefix("/"))
            if values:
                yield from (str(values[key]).rpartition("/")[2] for key in _NAMES if key in values)
                yield from (alias.partition("*")[0] for alias in values.get("aliases", {}))
