"""Manifests of JavaScript, Go, Rust, Java, Ruby, PHP and C#, and the lock files beside them."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

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

_EXACT = re.compile(r"=?v?(\d+(?:\.\d+)*(?:[-+][0-9A-Za-z.-]+)?)$")
_GO_REQUIRE = re.compile(r"^\s*(?:require\s+)?([\w.~-]+\.[\w./~-]+)\s+(v[\w.+-]+)(\s*//\s*indirect)?", re.MULTILINE)
_GO_NOT_REQUIRE = re.compile(r"^(?:replace|exclude|retract)\s*\([^)]*\)|^(?:replace|exclude|retract).*$", re.MULTILINE)
_GEM = re.compile(r"""^\s*gem\s*\(?\s*["']([\w.-]{1,100})["']((?:\s*,\s*["'][^"'\n]{1,50}["']){0,5})""", re.MULTILINE)
_GEM_GROUP = re.compile(r"^\s*group\s+([^\n]{1,200}?)\s+do\b|^(end)\b", re.MULTILINE)
_GEM_LOCKED = re.compile(r"^ {4}([\w.-]+) \(([\w.-]+)\)$", re.MULTILINE)
_QUOTED = re.compile(r"""["']([^"']+)["']""")
_NPM_SECTIONS = {
    "dependencies": Scope.RUNTIME,
    "peerDependencies": Scope.RUNTIME,
    "optionalDependencies": Scope.OPTIONAL,
    "devDependencies": Scope.DEVELOPMENT,
}
_CARGO_SECTIONS = {
    "dependencies": Scope.RUNTIME,
    "dev-dependencies": Scope.DEVELOPMENT,
    "build-dependencies": Scope.BUILD,
}
_PROPERTY = re.compile(r"\$\{([\w.-]+)\}")


def read_package_json(path: str, data: bytes) -> Iterator[Dependency]:
    document = json_object(data)
    for section, scope in _NPM_SECTIONS.items():
        for name, asked in mapping(document.get(section)).items():
            yield _dependency(name, Ecosystem.NPM, path, scope, text(asked))


def lock_package_json(data: bytes) -> Locked:
    """Return the top-level versions of a package-lock.json, of its versions 1 to 3."""
    document = json_object(data)
    found = {}
    for place, package in mapping(document.get("packages")).items():
        name, version = place.removeprefix("node_modules/"), text(mapping(package).get("version"))
        if place.startswith("node_modules/") and "/node_modules/" not in name and version:
            found[name] = version
    for name, package in mapping(document.get("dependencies")).items():
        if version := text(mapping(package).get("version")):
            found.setdefault(name, version)
    return found


def read_go_mod(path: str, data: bytes) -> Iterator[Dependency]:
    """Yield what a go.mod requires; what others require (`// indirect`) is left out."""
    written = _GO_NOT_REQUIRE.sub("", data.decode(errors="replace"))
    for name, version, indirect in _GO_REQUIRE.findall(written):
        if not indirect:
            yield Dependency(name[:200], Ecosystem.GO, path, requirement=version[:200], version=version[:200])


def read_cargo_toml(path: str, data: bytes) -> Iterator[Dependency]:
    document = toml_table(data)
    tables = [document, mapping(document.get("workspace")), *mapping(document.get("target")).values()]
    for table in tables:
        for section, scope in _CARGO_SECTIONS.items():
            for name, given in mapping(mapping(table).get(section)).items():
                details = mapping(given)
                asked = text(given) or text(details.get("version")) or text(details.get("git"))
                is_optional = details.get("optional") is True
                called = text(details.get("package")) or name
                yield Dependency(
                    called[:200], Ecosystem.CARGO, path, Scope.OPTIONAL if is_optional else scope, requirement=asked
                )


def lock_cargo(data: bytes) -> Locked:
    packages = [mapping(package) for package in items(toml_table(data).get("package"))]
    return {
        name: version
        for package in packages
        if (name := text(package.get("name"))) and (version := text(package.get("version")))
    }


def read_pom(path: str, data: bytes) -> Iterator[Dependency]:
    """Yield a pom.xml's own dependencies, its properties put in where they are its own as well."""
    root = _xml(data)
    properties = {_tag(child): (child.text or "").strip() for child in _children(root, "properties")}
    for listed in (root, *_found(root, "dependencyManagement")):
        for dependency in _children(listed, "dependencies"):
            parts = {_tag(child): (child.text or "").strip() for child in dependency}
            version = _PROPERTY.sub(lambda found: properties.get(found[1], found[0]), parts.get("version", ""))
            scope = Scope.DEVELOPMENT if parts.get("scope") == "test" else Scope.RUNTIME
            if parts.get("groupId") and parts.get("artifactId"):
                name = f"{parts['groupId']}:{parts['artifactId']}"
                yield _dependency(name, Ecosystem.MAVEN, path, scope, text(version))


def read_gemfile(path: str, data: bytes) -> Iterator[Dependency]:
    written = data.decode(errors="replace")
    groups = [(found.start(), found[1] or "") for found in _GEM_GROUP.finditer(written)]
    for found in _GEM.finditer(written):
        group = next((name for start, name in reversed(groups) if start < found.start()), "")
        scope = Scope.DEVELOPMENT if re.search(r"test|dev", group) else Scope.RUNTIME
        asked = ", ".join(_QUOTED.findall(found[2]))
        yield _dependency(found[1], Ecosystem.GEM, path, scope, asked or None)


def lock_gemfile(data: bytes) -> Locked:
    return dict(_GEM_LOCKED.findall(data.decode(errors="replace")))


def read_composer(path: str, data: bytes) -> Iterator[Dependency]:
    document = json_object(data)
    for section, scope in (("require", Scope.RUNTIME), ("require-dev", Scope.DEVELOPMENT)):
        for name, asked in mapping(document.get(section)).items():
            if "/" in name:
                yield _dependency(name, Ecosystem.COMPOSER, path, scope, text(asked))


def lock_composer(data: bytes) -> Locked:
    document = json_object(data)
    packages = [
        mapping(package) for section in ("packages", "packages-dev") for package in items(document.get(section))
    ]
    return {
        name: version
        for package in packages
        if (name := text(package.get("name"))) and (version := text(package.get("version")))
    }


def read_csproj(path: str, data: bytes) -> Iterator[Dependency]:
    for element in _xml(data).iter():
        if _tag(element) in ("PackageReference", "PackageVersion"):
            name = text(element.get("Include")) or text(element.get("Update"))
            version = text(element.get("Version")) or next(
                (text(child.text) for child in element if _tag(child) == "Version"), None
            )
            if name:
                yield _dependency(name, Ecosystem.NUGET, path, Scope.RUNTIME, version)


def _dependency(name: str, ecosystem: Ecosystem, path: str, scope: Scope, asked: str | None) -> Dependency:
    exact = _EXACT.match(asked or "")
    return Dependency(name[:200], ecosystem, path, scope, requirement=asked, version=exact[1] if exact else None)


def _xml(data: bytes) -> ET.Element:
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise ManifestError("it declares entities")
    try:
        return ET.fromstring(data)  # noqa: S314 - no entities are declared
    except (ET.ParseError, ValueError) as error:
        raise ManifestError(str(error)) from error


def _tag(element: ET.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _found(element: ET.Element, tag: str) -> list[ET.Element]:
    return [child for child in element if _tag(child) == tag]


def _children(element: ET.Element, tag: str) -> list[ET.Element]:
    return [child for found in _found(element, tag) for child in found]
