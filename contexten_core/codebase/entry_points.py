"""Where the programs of a repository start: main functions and guards, installed commands, containers, workflows."""

import configparser
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from contexten_core.codebase.facts import FileFacts
from contexten_core.codebase.import_settings import json_object, table, toml_table

MAIN, SCRIPT, CONTAINER, TASK, WORKFLOW, PROCESS = "main", "script", "container", "task", "workflow", "process"

_MOST_OF_A_FILE = 50
_MOST_CHARACTERS = 200
_MOST_BYTES = 1024 * 1024
_GUARDS = {
    "Python": re.compile(rb"^if[ \t(]{1,9}__name__ {0,9}== {0,9}[\"']__main__[\"']", re.MULTILINE),
    "Ruby": re.compile(rb"^if {1,9}(?:__FILE__ ?== ?\$(?:0|PROGRAM_NAME)|\$0 ?== ?__FILE__)", re.MULTILINE),
    "JavaScript": re.compile(rb"require\.main ?===? ?module"),
}
_GUARD_WORDS = (b"__main__", b"__FILE__", b"require.main")
_MAINS = {"Go": "main", "Rust": "main", "C": "main", "C++": "main", "Java": "main", "C#": "Main"}
_WORKFLOW = re.compile(r"(?:^|/)\.github/workflows/([^/]+)\.ya?ml")
_CONTAINER = re.compile(r"^[ \t]*(?:CMD|ENTRYPOINT)[ \t]+(.+)$", re.MULTILINE | re.IGNORECASE)
_TARGET = re.compile(r"^([A-Za-z0-9_][\w./-]*)[ \t]*:(?![:=])", re.MULTILINE)
_PROCESS = re.compile(r"^([A-Za-z0-9_-]+):[ \t]*\S", re.MULTILINE)
_CONSOLE_SCRIPTS = re.compile(r"console_scripts[\"']?\s{0,9}[:=]\s{0,9}\[([^\]]{0,5000})\]")
_COMMAND = re.compile(r"([\w.-]{1,100}) {0,9}= {0,9}[\w.]{1,200} {0,9}:")


class EntryPoint(NamedTuple):
    """A place where a program starts.

    Attributes:
        path: the file that says so.
        kind: "main" (a main function or guard), "script" (a command that installing makes), "container" (what an image
            runs), "task" (a Makefile's first target), "workflow" (of GitHub) or "process" (a Procfile's line, or the
            `start` of a package.json).
        name: of the function, command, target or process.
    """

    path: str
    kind: str
    name: str


def entry_points_by_name(path: str) -> tuple[EntryPoint, ...]:
    """Return the entry points that the place of a file alone tells of."""
    if workflow := _WORKFLOW.search(path):
        return (EntryPoint(path, WORKFLOW, workflow[1]),)
    if path.rpartition("/")[2] == "__main__.py":
        return (EntryPoint(path, MAIN, "__main__"),)
    return ()


def entry_points_in(*, path: str, data: bytes, facts: FileFacts) -> tuple[tuple[str, str], ...]:
    """Return kind and name of the entry points that a file's content tells of; of its path only the kind matters."""
    if len(data) > _MOST_BYTES:
        return ()
    name = path.rpartition("/")[2]
    read = _MANIFESTS.get(name) or _BY_LANGUAGE.get(facts.language or "")
    found = list(read(data.decode("utf-8", "replace"))) if read else list(_mains(data, facts))
    return tuple(dict.fromkeys((kind, found_name[:_MOST_CHARACTERS]) for kind, found_name in found[:_MOST_OF_A_FILE]))


def _mains(data: bytes, facts: FileFacts) -> Iterator[tuple[str, str]]:
    language = facts.language or ""
    guard = _GUARDS.get(language)
    if guard is not None and any(word in data for word in _GUARD_WORDS) and guard.search(data):
        yield MAIN, "__main__" if language == "Python" else "main"
    main = _MAINS.get(language)
    if main is None or (language == "Go" and facts.package != "main"):
        return
    for function in facts.functions:
        is_in_class = language in {"Java", "C#"}
        if function.name == main and bool(function.owner) == is_in_class:
            yield MAIN, function.qualified_name


def _pyproject(text: str) -> Iterator[tuple[str, str]]:
    values = toml_table(text)
    for keys in (("project", "scripts"), ("project", "gui-scripts"), ("tool", "poetry", "scripts")):
        yield from _scripts(table(values, *keys))


def _setup_cfg(text: str) -> Iterator[tuple[str, str]]:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return
    lines = parser.get("options.entry_points", "console_scripts", fallback="").splitlines()
    yield from _scripts(line.partition("=")[0].strip() for line in lines if "=" in line)


def _setup_py(text: str) -> Iterator[tuple[str, str]]:
    for scripts in _CONSOLE_SCRIPTS.finditer(text):
        yield from _scripts(command[1] for command in _COMMAND.finditer(scripts[1]))


def _package_json(text: str) -> Iterator[tuple[str, str]]:
    values = json_object(text)
    commands = values.get("bin")
    if isinstance(commands, str) and isinstance(values.get("name"), str):
        yield SCRIPT, values["name"].rpartition("/")[2]
    yield from _scripts(table(values, "bin"))
    if "start" in table(values, "scripts"):
        yield PROCESS, "start"


def _cargo(text: str) -> Iterator[tuple[str, str]]:
    binaries: Any = toml_table(text).get("bin")
    rows = binaries if isinstance(binaries, list) else []
    yield from _scripts(row["name"] for row in rows if isinstance(row, dict) and isinstance(row.get("name"), str))


def _scripts(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    return ((SCRIPT, name) for name in names)


def _dockerfile(text: str) -> Iterator[tuple[str, str]]:
    return ((CONTAINER, found[1].strip()) for found in _CONTAINER.finditer(text))


def _makefile(text: str) -> Iterator[tuple[str, str]]:
    first = next((found[1] for found in _TARGET.finditer(text) if not found[1].startswith(".")), None)
    return iter(() if first is None else ((TASK, first),))


def _procfile(text: str) -> Iterator[tuple[str, str]]:
    return ((PROCESS, found[1]) for found in _PROCESS.finditer(text))


_Reader = Callable[[str], Iterable[tuple[str, str]]]
_MANIFESTS: dict[str, _Reader] = {
    "pyproject.toml": _pyproject,
    "setup.cfg": _setup_cfg,
    "package.json": _package_json,
    "Cargo.toml": _cargo,
    "setup.py": _setup_py,
    "Procfile": _procfile,
    "Makefile": _makefile,
    "makefile": _makefile,
    "GNUmakefile": _makefile,
}
_BY_LANGUAGE: dict[str, _Reader] = {"Dockerfile": _dockerfile}
