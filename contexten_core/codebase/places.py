"""Where things are in a repository: files by name, by package and by folder, as the rules of imports ask for them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property
from posixpath import normpath
from typing import Any

from contexten_core.codebase.commit import FileSummary

_MOST_NAMESAKES = 50
_PYTHON_MANIFESTS = ("pyproject.toml", "setup.py", "setup.cfg")
_PYTHON_FOLDERS = ("src", "lib", "python")
_PYTHON_SUFFIXES = (".py", "/__init__.py", ".pyi", "/__init__.pyi")
_SCRIPT_SUFFIXES = (".ts", ".tsx", ".d.ts", ".js", ".jsx", ".mjs", ".cjs", ".mts", ".cts", ".vue", ".svelte", ".json")
_COMPILED = {".js": (".ts", ".tsx"), ".jsx": (".tsx",), ".mjs": (".mts",), ".cjs": (".cts",)}
_PACKAGES = {"Java": "JVM", "Kotlin": "JVM", "Scala": "JVM", "Groovy": "JVM", "C#": "C#", "PHP": "PHP"}

Settings = Mapping[str, Mapping[str, Any]]


def parent(path: str) -> str:
    """Return the folder of a path, "" for the top."""
    return path.rpartition("/")[0]


def stem(path: str) -> str:
    return path.rpartition("/")[2].partition(".")[0]


def join(folder: str, path: str) -> str | None:
    """Put a path behind a folder and resolve its dots; None when it leads out of the repository."""
    joined = normpath(f"{folder}/{path}" if folder else path)
    if joined.startswith(("/", "..")):
        return None
    return "" if joined == "." else joined


def package_kind(language: str | None) -> str:
    """Return which languages share their packages with one; "" for a language whose packages are not declared."""
    return _PACKAGES.get(language or "", "")


def folders_of(path: str) -> Iterator[str]:
    """Yield the folders that a file is in, the nearest first, the top ("") last."""
    while path:
        path = parent(path)
        yield path


class Places:
    """The files of a commit, and what its manifests say."""

    def __init__(self, files: Mapping[str, FileSummary], settings: Settings) -> None:
        self.files = files
        self.settings = settings
        self._python_packages: dict[str, str] = {}

    def python_module(self, base: str) -> str | None:
        for suffix in _PYTHON_SUFFIXES:
            if (found := (base + suffix).removeprefix("/")) in self.files:
                return found
        return None

    def script(self, base: str) -> str | None:
        """Return the file that an ECMAScript import of a place means."""
        if base in self.files:
            return base
        for compiled, sources in _COMPILED.items():
            if base.endswith(compiled):
                for source in sources:
                    if (found := base.removesuffix(compiled) + source) in self.files:
                        return found
        index = f"{base}/index".removeprefix("/")
        for start in (base, index):
            for suffix in _SCRIPT_SUFFIXES:
                if start + suffix in self.files:
                    return start + suffix
        return None

    def python_roots(self, folder: str, top: str) -> list[str]:
        """Return where absolute imports of `top` may start for a folder's files, in the order they are looked at."""
        own = self._python_package(folder)

        def is_far(root: str) -> bool:
            return bool(root) and root != own and not own.startswith(f"{root}/")

        declared = sorted(self._python_tops.get(top, ()), key=lambda root: (is_far(root), -len(root), root))
        return [own, *(root for root in declared if root != own)]

    def namesake(self, tail: str, *, near: str) -> str | None:
        """Return the file whose path ends in `tail`: of several the one that shares most folders with `near`."""
        candidates = self._by_name.get(tail.rpartition("/")[2], ())
        if len(candidates) > _MOST_NAMESAKES:
            return None
        found = [path for path in candidates if path == tail or path.endswith(f"/{tail}")]
        ranked = sorted(found, key=lambda path: (-_shared(path, near), path))
        if len(ranked) > 1 and _shared(ranked[0], near) == _shared(ranked[1], near):
            return None
        return ranked[0] if ranked else None

    @cached_property
    def packages(self) -> Mapping[tuple[str, str], tuple[str, ...]]:
        """Files of languages with declared packages, by kind of package and its name with dots."""
        found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for path, file in self.files.items():
            if file.package and (kind := package_kind(file.language)):
                found[kind, file.package.replace("\\", ".").strip(".")].append(path)
        return {package: tuple(paths) for package, paths in found.items()}

    @cached_property
    def classes(self) -> Mapping[tuple[str, str], str]:
        """The same by package and name of the file, as its main class is called."""
        return {
            (kind, f"{package}.{stem(path)}"): path
            for (kind, package), paths in self.packages.items()
            for path in reversed(paths)
        }

    @cached_property
    def go_modules(self) -> tuple[tuple[str, str], ...]:
        """Go's modules and their folders, the longest name first."""
        found = [(values["module"], parent(path)) for path, values in self.settings.items() if "module" in values]
        return tuple(sorted(((str(name), folder) for name, folder in found), key=lambda row: (-len(row[0]), row)))

    @cached_property
    def go_packages(self) -> Mapping[str, tuple[str, ...]]:
        """Go's files, tests left out, by folder."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for path in self.files:
            if path.endswith(".go") and not path.endswith("_test.go"):
                found[parent(path)].append(path)
        return {folder: tuple(paths) for folder, paths in found.items()}

    @cached_property
    def crates(self) -> Mapping[str, str]:
        """Folders with the root module of a Rust crate, by its name."""
        return {
            values["crate"]: f"{parent(path)}/src".removeprefix("/")
            for path, values in sorted(self.settings.items())
            if "crate" in values
        }

    @cached_property
    def node_packages(self) -> Mapping[str, tuple[str, Mapping[str, Any]]]:
        """Folder and settings of the package.json with a name, by that name."""
        return {
            values["name"]: (parent(path), values)
            for path, values in sorted(self.settings.items())
            if "name" in values and path.endswith("package.json")
        }

    def aliases(self, path: str) -> tuple[str, Mapping[str, Any]] | None:
        """Return folder and settings of the nearest tsconfig.json or jsconfig.json that has any."""
        if self._with_aliases:
            for folder in folders_of(path):
                if folder in self._with_aliases:
                    return folder, self._with_aliases[folder]
        return None

    @cached_property
    def _with_aliases(self) -> Mapping[str, Mapping[str, Any]]:
        return {
            parent(path): values
            for path, values in sorted(self.settings.items())
            if "aliases" in values or "base" in values
        }

    @cached_property
    def _python_tops(self) -> Mapping[str, set[str]]:
        """The roots that have a module or package of a name, by that name."""
        folders = {parent(path) for path in self.settings if path.endswith(_PYTHON_MANIFESTS)} | {""}
        roots = folders | {f"{folder}/{name}".strip("/") for folder in folders for name in _PYTHON_FOLDERS}
        found: defaultdict[str, set[str]] = defaultdict(set)
        for folder in {parent(path) for path, file in self.files.items() if file.language == "Python"}:
            for root, top in zip((*folders_of(folder), ""), (folder, *folders_of(folder)), strict=False):
                if top and root in roots:
                    found[top.rpartition("/")[2]].add(root)
        for path, file in self.files.items():
            if file.language == "Python" and parent(path) in roots:
                found[stem(path)].add(parent(path))
        return found

    @cached_property
    def _by_name(self) -> Mapping[str, list[str]]:
        found: defaultdict[str, list[str]] = defaultdict(list)
        for path in self.files:
            found[path.rpartition("/")[2]].append(path)
        return found

    def _python_package(self, folder: str) -> str:
        """Return the nearest folder that is no package: where the names of a folder's modules start."""
        if folder not in self._python_packages:
            is_package = folder and f"{folder}/__init__.py" in self.files
            self._python_packages[folder] = self._python_package(parent(folder)) if is_package else folder
        return self._python_packages[folder]


def _shared(path: str, other: str) -> int:
    count = 0
    for one, two in zip(path.split("/")[:-1], other.split("/")[:-1], strict=False):
        if one != two:
            break
        count += 1
    return count
