"""Python's manifests: pyproject.toml, setup.cfg, requirements files, Pipfile, and the lock files beside them.

PEP 508 (requirements), 621 (project), 735 (dependency groups), 751 (pylock.toml); Poetry's and uv's own tables.
"""

import configparser
import re
from collections.abc import Iterable, Iterator
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from contexten_core.codebase.manifests.dependency import (
    Dependency,
    Ecosystem,
    Locked,
    ManifestError,
    Scope,
    items,
    json_object,
    mapping,
    text,
    toml_table,
)

_DEVELOPMENT = re.compile(r"(^|[-_.])(dev|develop|development|test|tests|testing|lint|docs?|ci|typing|bench)($|[-_.])")
_PINNED = re.compile(r"={2,3}\s*([^\s*,;]+)$")
_LONGEST_LINE = 1000
_COMMENT = re.compile(r"(^|\s)#.*$")


def read_pyproject(path: str, data: bytes) -> Iterator[Dependency]:
    """Yield the dependencies of a pyproject.toml, whichever tool reads it."""
    document = toml_table(data)
    project = mapping(document.get("project"))
    yield from _requirements(path, project.get("dependencies"), Scope.RUNTIME)
    for extra, listed in mapping(project.get("optional-dependencies")).items():
        yield from _requirements(path, listed, _scope_of(extra, Scope.OPTIONAL))
    for listed in mapping(document.get("dependency-groups")).values():
        yield from _requirements(path, listed, Scope.DEVELOPMENT)
    yield from _requirements(path, mapping(document.get("build-system")).get("requires"), Scope.BUILD)
    poetry = mapping(mapping(document.get("tool")).get("poetry"))
    yield from _poetry(path, poetry.get("dependencies"), Scope.RUNTIME)
    yield from _poetry(path, poetry.get("dev-dependencies"), Scope.DEVELOPMENT)
    for group, table in mapping(poetry.get("group")).items():
        scope = Scope.RUNTIME if group == "main" else Scope.DEVELOPMENT
        yield from _poetry(path, mapping(table).get("dependencies"), scope)


def read_requirements(path: str, data: bytes) -> Iterator[Dependency]:
    """Yield the dependencies of a requirements file; options and included files are left out."""
    scope = _scope_of(path.rpartition("/")[2].removesuffix(".txt").removesuffix(".in"), Scope.RUNTIME)
    lines = data.decode(errors="replace").replace("\\\n", " ").splitlines()
    plain = (_COMMENT.sub("", line).split(" --")[0].strip() for line in lines)
    yield from _requirements(path, [line for line in plain if line and not line.startswith("-")], scope)


def read_setup_cfg(path: str, data: bytes) -> Iterator[Dependency]:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(data.decode(errors="replace"))
    except configparser.Error as error:
        raise ManifestError(str(error)) from error
    options = dict(parser.items("options")) if parser.has_section("options") else {}
    yield from _requirements(path, options.get("install_requires", "").splitlines(), Scope.RUNTIME)
    yield from _requirements(path, options.get("setup_requires", "").splitlines(), Scope.BUILD)
    if parser.has_section("options.extras_require"):
        for extra, listed in parser.items("options.extras_require"):
            yield from _requirements(path, listed.splitlines(), _scope_of(extra, Scope.OPTIONAL))


def read_pipfile(path: str, data: bytes) -> Iterator[Dependency]:
    document = toml_table(data)
    yield from _poetry(path, document.get("packages"), Scope.RUNTIME)
    yield from _poetry(path, document.get("dev-packages"), Scope.DEVELOPMENT)


def lock_packages(data: bytes) -> Locked:
    """Return the versions of poetry.lock, uv.lock, pdm.lock (`[[package]]`) and pylock.toml (`[[packages]]`)."""
    document = toml_table(data)
    found = {}
    for package in [*items(document.get("package")), *items(document.get("packages"))]:
        name, version = text(mapping(package).get("name")), text(mapping(package).get("version"))
        if name and version:
            found[normalise(name)] = version
    return found


def lock_constraints(data: bytes) -> Locked:
    """Return the versions that pip's constraints file pins."""
    lines = (line.partition("#")[0].partition(";")[0] for line in data.decode(errors="replace").splitlines())
    pairs = (line.split("==") for line in lines if line.count("==") == 1)
    return {normalise(name.strip()): version.strip() for name, version in pairs if name.strip() and version.strip()}


def lock_pipfile(data: bytes) -> Locked:
    document = json_object(data)
    return {
        normalise(name): version.removeprefix("==")
        for section in ("develop", "default")
        for name, package in mapping(document.get(section)).items()
        if (version := text(mapping(package).get("version")))
    }


def normalise(name: str) -> str:
    return canonicalize_name(name)


def _requirements(path: str, lines: Any, scope: Scope) -> Iterator[Dependency]:
    for line in _texts(lines):
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        specifier = str(requirement.specifier) or requirement.url
        pinned = _PINNED.match(str(requirement.specifier))
        yield Dependency(
            name=requirement.name,
            ecosystem=Ecosystem.PYPI,
            path=path,
            scope=scope,
            requirement=text(specifier),
            version=pinned[1] if pinned else None,
        )


def _texts(lines: Any) -> Iterable[str]:
    listed = lines if isinstance(lines, list) else []
    return (line.strip() for line in listed if isinstance(line, str) and line.strip() and len(line) <= _LONGEST_LINE)


def _poetry(path: str, table: Any, scope: Scope) -> Iterator[Dependency]:
    for name, given in mapping(table).items():
        if name.lower() == "python":
            continue
        details = mapping(given)
        asked = text(given) or text(details.get("version")) or text(details.get("git")) or text(details.get("path"))
        pinned = _PINNED.match(asked or "")
        is_optional = details.get("optional") is True and scope is Scope.RUNTIME
        yield Dependency(
            name=name[:200],
            ecosystem=Ecosystem.PYPI,
            path=path,
            scope=Scope.OPTIONAL if is_optional else scope,
            requirement=asked,
            version=pinned[1] if pinned else None,
        )


def _scope_of(name: str, otherwise: Scope) -> Scope:
    return Scope.DEVELOPMENT if _DEVELOPMENT.search(name.lower()) else otherwise
