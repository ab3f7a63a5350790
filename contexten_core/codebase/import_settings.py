"""What manifests say about how imports are resolved: module paths, package names, path aliases."""

import json
import re
import tomllib
from typing import Any

SETTINGS_NAMES = frozenset(
    {
        *("pyproject.toml", "setup.cfg", "setup.py", "package.json", "tsconfig.json", "jsconfig.json"),
        *("go.mod", "Cargo.toml", "Procfile", "Makefile", "makefile", "GNUmakefile"),
    }
)
"""Files whose records depend on their very name."""

_MOST_BYTES = 1024 * 1024
_MOST_ALIASES = 200
_GO_MODULE = re.compile(r"^module[ \t]+\"?([^\s\"]+)", re.MULTILINE)
# What is not closed reaches to the end, or finding that out would take quadratic time.
_JSON_NOISE = re.compile(r'("(?:\\.|[^"\\])*(?:"|\Z))|//[^\n]*|/\*.*?(?:\*/|\Z)', re.DOTALL)
_JSON_COMMA = re.compile(r'("(?:\\.|[^"\\])*(?:"|\Z))|,(?=\s*[}\]])')


def import_settings(path: str, data: bytes) -> dict[str, Any] | None:
    """Return what a manifest says: `{"roots": [...]}`, `{"module": ...}`, `{"name": ...}`, `{"aliases": ...}`, ...

    None for any other file; an empty dict for a manifest that says nothing or cannot be read.
    """
    name = path.rpartition("/")[2]
    read = _READERS.get(name)
    if read is None:
        return None
    if len(data) > _MOST_BYTES:
        return {}
    return read(data.decode("utf-8", "replace"))


def toml_table(text: str) -> dict[str, Any]:
    """Parse TOML, an empty table when it is none."""
    try:
        return tomllib.loads(text)
    # Deeply nested arrays exhaust the stack of the parser.
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def json_object(text: str) -> dict[str, Any]:
    """Parse a JSON object, comments and trailing commas allowed; an empty one when it is none."""
    for strict in (True, False):
        try:
            value = json.loads(text if strict else _JSON_COMMA.sub(r"\1", _JSON_NOISE.sub(r"\1", text)))
        except (ValueError, RecursionError):
            continue
        return value if isinstance(value, dict) else {}
    return {}


def table(value: Any, *keys: str) -> dict[str, Any]:
    """Follow keys through nested objects; an empty one where the way ends."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _go_mod(text: str) -> dict[str, Any]:
    found = _GO_MODULE.search(text)
    return {"module": found[1]} if found else {}


def _cargo(text: str) -> dict[str, Any]:
    values = toml_table(text)
    name = table(values, "lib").get("name") or table(values, "package").get("name")
    return {"crate": name.replace("-", "_")} if isinstance(name, str) else {}


def _package_json(text: str) -> dict[str, Any]:
    values = json_object(text)
    kept = {key: values[key] for key in ("name", "main", "module") if isinstance(values.get(key), str)}
    return {"source": values["source"], **kept} if isinstance(values.get("source"), str) else kept


def _tsconfig(text: str) -> dict[str, Any]:
    options = table(json_object(text), "compilerOptions")
    found: dict[str, Any] = {}
    if isinstance(options.get("baseUrl"), str):
        found["base"] = options["baseUrl"]
    aliases = {
        alias: [target for target in targets if isinstance(target, str)]
        for alias, targets in list(table(options, "paths").items())[:_MOST_ALIASES]
        if isinstance(targets, list)
    }
    return found | ({"aliases": aliases} if aliases else {})


def _python_project(_: str) -> dict[str, Any]:
    return {}


_READERS = {
    "go.mod": _go_mod,
    "Cargo.toml": _cargo,
    "package.json": _package_json,
    "tsconfig.json": _tsconfig,
    "jsconfig.json": _tsconfig,
    "pyproject.toml": _python_project,
    "setup.py": _python_project,
    "setup.cfg": _python_project,
}
