"""Find the manifests among a repository's files, and join what they ask for with what lock files settle on."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase, translate
from posixpath import basename, dirname
from typing import TypeVar

from contexten_core.codebase.manifests import others, python
from contexten_core.codebase.manifests.dependency import Dependency, Ecosystem, Locked, ManifestError

MOST_MANIFEST_BYTES = 4 * 1024**2
_MOST_DEPENDENCIES = 20_000

_T = TypeVar("_T")
_READERS: Mapping[str, Callable[[str, bytes], Iterator[Dependency]]] = {
    "pyproject.toml": python.read_pyproject,
    "setup.cfg": python.read_setup_cfg,
    "requirements*.txt": python.read_requirements,
    "requirements*.in": python.read_requirements,
    "*requirements.txt": python.read_requirements,
    "pipfile": python.read_pipfile,
    "package.json": others.read_package_json,
    "go.mod": others.read_go_mod,
    "cargo.toml": others.read_cargo_toml,
    "pom.xml": others.read_pom,
    "gemfile": others.read_gemfile,
    "composer.json": others.read_composer,
    "*.csproj": others.read_csproj,
    "directory.packages.props": others.read_csproj,
}
_ANY_NAME = re.compile("|".join(map(translate, _READERS)))
_LOCKS: Mapping[str, tuple[Ecosystem, Callable[[bytes], Locked]]] = {
    "poetry.lock": (Ecosystem.PYPI, python.lock_packages),
    "uv.lock": (Ecosystem.PYPI, python.lock_packages),
    "pdm.lock": (Ecosystem.PYPI, python.lock_packages),
    "constraints.txt": (Ecosystem.PYPI, python.lock_constraints),
    "pylock.toml": (Ecosystem.PYPI, python.lock_packages),
    "pipfile.lock": (Ecosystem.PYPI, python.lock_pipfile),
    "package-lock.json": (Ecosystem.NPM, others.lock_package_json),
    "npm-shrinkwrap.json": (Ecosystem.NPM, others.lock_package_json),
    "cargo.lock": (Ecosystem.CARGO, others.lock_cargo),
    "gemfile.lock": (Ecosystem.GEM, others.lock_gemfile),
    "composer.lock": (Ecosystem.COMPOSER, others.lock_composer),
}


@dataclass(frozen=True, slots=True)
class Manifests:
    """What the manifests of a commit say.

    Attributes:
        dependencies: by manifest and name.
        unread: manifests that are not what their names say, or too large, with the reason.
    """

    dependencies: tuple[Dependency, ...]
    unread: Mapping[str, str]


def is_manifest(path: str) -> bool:
    """Tell whether a file is a manifest or a lock file by its name."""
    return _reader(path) is not None or basename(path).lower() in _LOCKS


def read_manifests(files: Mapping[str, bytes]) -> Manifests:
    """Return what manifests ask for, and the versions that the lock file nearest above each settles on.

    Never raises for what a file holds. Files of other names are left out.
    """
    unread: dict[str, str] = {}
    locks: dict[tuple[str, Ecosystem], Locked] = {}
    for path, data in sorted(files.items()):
        if lock := _LOCKS.get(basename(path).lower()):
            ecosystem, read = lock
            for found in _tried(path, data, _ignoring_path(read), unread):
                locks.setdefault((dirname(path), ecosystem), {}).update(found)
    dependencies = [
        _settled(dependency, locks)
        for path, data in sorted(files.items())
        if (reader := _reader(path)) is not None
        for dependency in _tried(path, data, reader, unread)
    ]
    if len(dependencies) > _MOST_DEPENDENCIES:
        unread["…"] = f"{len(dependencies) - _MOST_DEPENDENCIES} more dependencies were left out"
    unique = {(found.path, found.ecosystem, found.name, found.scope): found for found in dependencies}
    return Manifests(tuple(list(unique.values())[:_MOST_DEPENDENCIES]), unread)


def _reader(path: str) -> Callable[[str, bytes], Iterator[Dependency]] | None:
    name = basename(path).lower()
    if _ANY_NAME.match(name) is None:
        return None
    return next((reader for pattern, reader in _READERS.items() if fnmatchcase(name, pattern)), None)


def _tried(path: str, data: bytes, read: Callable[[str, bytes], Iterable[_T]], unread: dict[str, str]) -> list[_T]:
    if len(data) > MOST_MANIFEST_BYTES:
        unread[path] = "too large to read"
        return []
    try:
        return list(read(path, data))
    except ManifestError as error:
        unread[path] = f"not understood: {str(error)[:200]}"
        return []


def _ignoring_path(read: Callable[[bytes], Locked]) -> Callable[[str, bytes], Iterable[Locked]]:
    return lambda _, data: [read(data)]


def _settled(dependency: Dependency, locks: Mapping[tuple[str, Ecosystem], Locked]) -> Dependency:
    name = dependency.name
    if dependency.ecosystem is Ecosystem.PYPI:
        name = python.normalise(name)
    folder = dirname(dependency.path)
    while True:
        if version := locks.get((folder, dependency.ecosystem), {}).get(name):
            return replace(dependency, version=version)
        if not folder:
            return dependency
        folder = dirname(folder)
