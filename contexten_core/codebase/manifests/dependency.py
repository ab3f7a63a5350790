"""One dependency, as a manifest states it, and how manifests are read whatever they hold."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Ecosystem(StrEnum):
    """Where a package comes from, by the names that package URLs use (https://github.com/package-url/purl-spec)."""

    PYPI = "pypi"
    NPM = "npm"
    GO = "golang"
    CARGO = "cargo"
    MAVEN = "maven"
    GEM = "gem"
    COMPOSER = "composer"
    NUGET = "nuget"


class Scope(StrEnum):
    RUNTIME = "runtime"
    DEVELOPMENT = "development"
    OPTIONAL = "optional"
    BUILD = "build"


@dataclass(frozen=True, slots=True)
class Dependency:
    """A package that a manifest asks for.

    Attributes:
        name: as the manifest writes it; Maven's is `group:artifact`.
        path: the manifest.
        requirement: which versions will do, as written; None when it does not say.
        version: the one that a lock file settles on, or that the manifest pins; None when neither does.
    """

    name: str
    ecosystem: Ecosystem
    path: str
    scope: Scope = Scope.RUNTIME
    requirement: str | None = None
    version: str | None = None


Locked = dict[str, str]
"""Versions that a lock file settles on, by the package's normalised name."""


class ManifestError(ValueError):
    """A manifest that is not what its name says. Never leaves this package."""


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping, or an empty one for what is none."""
    return value if isinstance(value, Mapping) else {}


def items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def text(value: Any) -> str | None:
    return value.strip()[:200] or None if isinstance(value, str) else None


def json_object(data: bytes) -> Mapping[str, Any]:
    """Return what a JSON manifest holds. Raises ManifestError when it is not JSON."""
    try:
        return mapping(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise ManifestError(str(error)) from error


def toml_table(data: bytes) -> Mapping[str, Any]:
    """Return what a TOML manifest holds. Raises ManifestError when it is not TOML."""
    try:
        return tomllib.loads(data.decode(errors="replace"))
    except (ValueError, RecursionError) as error:
        raise ManifestError(str(error)) from error
