"""How each language finds what an import names: one function per family of languages.

Each returns the files of the repository that are meant, and, when there are none, the name of what comes from outside
("" for what should have been inside and is not there).
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from contexten_core.codebase.places import Places, folders_of, join, package_kind, parent

Found = tuple[Sequence[str], str]
Rule = Callable[[Places, str, str, tuple[str, ...]], Found]

EVERYTHING = "*"
_MOST_OF_A_PACKAGE = 200
_ROOT_MODULES = ("lib.rs", "main.rs", "mod.rs")
_SHELL_FOLDER = re.compile(r"^[\"']?(?:\$\(.*\)|\$\{[^}]*\}|\$\w+)[\"']?/")


def python(places: Places, path: str, module: str, names: tuple[str, ...]) -> Found:
    folder = parent(path)
    name = module.lstrip(".")
    if name != module:
        base = join(folder, "../" * (len(module) - len(name) - 1) or ".")
        start = None if base is None else f"{base}/{name.replace('.', '/')}".strip("/")
        return (() if start is None else _python_at(places, start, names)), ""
    way = name.replace(".", "/")
    # In a folder that is no package, files import their neighbours; there the folder itself is the first root.
    roots = places.python_roots(folder, way.partition("/")[0])
    for root in roots:
        if found := _python_at(places, f"{root}/{way}".removeprefix("/"), names):
            return found, ""
    while "/" in way:
        way = parent(way)
        for root in roots:
            if above := places.python_module(f"{root}/{way}".removeprefix("/")):
                return (above,), ""
    return (), name.partition(".")[0]


def _python_at(places: Places, start: str, names: tuple[str, ...]) -> list[str]:
    found = [places.python_module(f"{start}/{name}".removeprefix("/")) for name in names if name != EVERYTHING]
    modules = [path for path in found if path is not None]
    if len(modules) == len(names) > 0:
        return modules
    own = places.python_module(start)
    return modules if own is None else [*modules, own]


def ecmascript(places: Places, path: str, module: str, names: tuple[str, ...]) -> Found:  # noqa: ARG001 - a Rule
    if module.startswith("."):
        base = join(parent(path), module)
        found = None if base is None else places.script(base)
        return (() if found is None else (found,)), ""
    for base in _aliased(places, path, module):
        if found := places.script(base):
            return (found,), ""
    parts = module.split("/")
    package = "/".join(parts[: 2 if module.startswith("@") else 1])
    if package in places.node_packages:
        return _of_node_package(places, package, "/".join(parts[2 if module.startswith("@") else 1 :])), ""
    return (), package


def _aliased(places: Places, path: str, module: str) -> Iterator[str]:
    settings = places.aliases(path)
    if settings is None:
        return
    folder, values = settings
    base = join(folder, str(values.get("base", ".")))
    if base is None:
        return
    aliases: Mapping[str, Sequence[str]] = values.get("aliases", {})
    for alias, targets in sorted(aliases.items(), key=lambda row: (-len(row[0].partition("*")[0]), row[0])):
        front, star, back = alias.partition("*")
        if module == alias or (star and module.startswith(front) and module.endswith(back)):
            middle = module[len(front) : len(module) - len(back)] if star else ""
            for target in targets:
                if (place := join(base, target.replace("*", middle, 1))) is not None:
                    yield place
    if "base" in values and (place := join(base, module)) is not None:
        yield place


def _of_node_package(places: Places, package: str, rest: str) -> Sequence[str]:
    folder, values = places.node_packages[package]
    entries = [str(values[key]) for key in ("source", "module", "main") if key in values]
    tries = [rest, f"src/{rest}"] if rest else [*entries, "src", "."]
    for place in tries:
        base = join(folder, place)
        if base is not None and (found := places.script(base)):
            return (found,)
    return ()


def go(places: Places, path: str, module: str, names: tuple[str, ...]) -> Found:  # noqa: ARG001 - a Rule
    for name, folder in places.go_modules:
        if module == name or module.startswith(f"{name}/"):
            return places.go_packages.get(f"{folder}{module[len(name) :]}".strip("/"), ()), ""
    parts = module.split("/")
    return (), "/".join(parts[:3]) if "." in parts[0] else module


def rust(places: Places, path: str, module: str, names: tuple[str, ...]) -> Found:
    steps = [part.strip() for part in module.removeprefix("mod ").split("::") if part.strip()]
    if not steps:
        return (), ""
    folder = _rust_folder(path)
    first, rest = steps[0], steps[1:]
    match first:
        case "crate":
            start = next((above for above in folders_of(path) if _rust_root(places, above)), parent(path))
        case "self":
            start = folder
        case "super":
            start = parent(folder)
            while rest[:1] == ["super"]:
                start, rest = parent(start), rest[1:]
        case _:
            for near in dict.fromkeys((folder, parent(path))):
                if _rust_step(places, near, first):
                    start, rest = near, steps
                    break
            else:
                if first not in places.crates:
                    return (), first
                start = places.crates[first]
    ways = [[*rest, name] for name in names if name not in {EVERYTHING, "self"}] or [rest]
    return list(dict.fromkeys(found for way in ways if (found := _rust_walk(places, start, way)))), ""


def _rust_folder(path: str) -> str:
    folder, name = parent(path), path.rpartition("/")[2]
    return folder if name in _ROOT_MODULES else f"{folder}/{name.removesuffix('.rs')}".removeprefix("/")


def _rust_root(places: Places, folder: str) -> bool:
    return any(f"{folder}/{name}".removeprefix("/") in places.files for name in _ROOT_MODULES[:2])


def _rust_step(places: Places, folder: str, name: str) -> str | None:
    base = f"{folder}/{name}".removeprefix("/")
    return next((found for found in (f"{base}.rs", f"{base}/mod.rs") if found in places.files), None)


def _rust_walk(places: Places, folder: str, way: Sequence[str]) -> str | None:
    own = [f"{folder}/{name}".removeprefix("/") for name in _ROOT_MODULES]
    found = next((path for path in (*own, f"{folder}.rs") if path in places.files), None)
    for name in way:
        following = _rust_step(places, folder, name)
        if following is None:
            break
        found, folder = following, f"{folder}/{name}".removeprefix("/")
    return found


def packaged(places: Places, path: str, module: str, names: tuple[str, ...]) -> Found:
    """Java and its like, C# and PHP: by declared package and class."""
    if "/" in module or module.endswith(".php"):
        return included(places, path, module, names)
    dotted = module.replace("\\", ".").strip(".").removesuffix(".*")
    kind = package_kind(places.files[path].language)
    if names in {(), (EVERYTHING,)} and (kind, dotted) in places.packages:
        return places.packages[kind, dotted][:_MOST_OF_A_PACKAGE], ""
    ways = [f"{dotted}.{name}" for name in names if name != EVERYTHING] or [dotted]
    found = [target for way in ways if (target := _class(places, kind, way))]
    return list(dict.fromkeys(found)), ".".join(_package_parts(dotted)[:3])


def _class(places: Places, kind: str, dotted: str) -> str | None:
    while "." in dotted:
        if (kind, dotted) in places.classes:
            return places.classes[kind, dotted]
        dotted = dotted.rpartition(".")[0]
    return None


def _package_parts(dotted: str) -> list[str]:
    parts = dotted.split(".")
    lower = [part for part in parts if part[:1].islower()]
    return lower if parts[0][:1].islower() else parts


def ruby(places: Places, path: str, module: str, names: tuple[str, ...]) -> Found:  # noqa: ARG001 - a Rule
    wanted = module if module.endswith(".rb") else f"{module}.rb"
    for folder in (parent(path), *(f"{above}/lib" for above in folders_of(path)), ""):
        place = join(folder.removeprefix("/"), wanted)
        if place is not None and place in places.files:
            return (place,), ""
    return (), "" if module.startswith(".") else module.partition("/")[0]


def included(places: Places, path: str, module: str, names: tuple[str, ...]) -> Found:  # noqa: ARG001 - a Rule
    """C's `#include` and the like: next to the file, from the top, or wherever such a path ends."""
    wanted = _SHELL_FOLDER.sub("", module).strip("<>\"' ")
    for folder in (parent(path), "", "include", "src"):
        place = join(folder, wanted.removeprefix("/"))
        if place and place in places.files:
            return (place,), ""
    tail = join("", wanted.lstrip("./")) if wanted else None
    found = places.namesake(tail, near=path) if tail else None
    return (() if found is None else (found,)), wanted


RULES: Mapping[str, Rule] = {
    "Python": python,
    "JavaScript": ecmascript,
    "TypeScript": ecmascript,
    "Vue": ecmascript,
    "Svelte": ecmascript,
    "Go": go,
    "Rust": rust,
    "Java": packaged,
    "Kotlin": packaged,
    "Scala": packaged,
    "Groovy": packaged,
    "C#": packaged,
    "PHP": packaged,
    "Ruby": ruby,
    "C": included,
    "C++": included,
    "CUDA": included,
    "Objective-C": included,
    "Shell": included,
}
