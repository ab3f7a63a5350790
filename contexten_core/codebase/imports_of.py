"""What a file takes from elsewhere: one reader per form of import, from the text of the import."""

import re
from collections.abc import Callable, Iterator, Mapping

from contexten_core.codebase.facts import ImportFact

MOST_IMPORTS = 5_000
MOST_IMPORT_CHARACTERS = 20_000

_MOST_CHARACTERS = 300
_MOST_NAMES = 200
_QUOTED = re.compile(r"""(["'`])((?:(?!\1)[^\\\n]|\\.)*)\1""")
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_ARGUMENT = re.compile(rb"""\s*\(?\s*["'`]([^"'`\n]{1,300})["'`]""")
_AUTOLOAD = re.compile(rb"""\s*\(?\s*:\w+\s*,\s*["']([^"'\n]{1,300})["']""")
_SHELL_WORD = re.compile(rb"""\s+("[^"\n]{1,300}"|'[^'\n]{1,300}'|[^\s;&|]{1,300})""")
_FROM = re.compile(r"(?:import|export)\b(.*?)\bfrom\s*[\"']", re.DOTALL)
_BRACED = re.compile(r"\{(.*?)\}", re.DOTALL)
_INCLUDE = re.compile(r"#\s*\w+\s*([<\"]?)([^>\"\n]+)")

Found = Iterator[tuple[str, tuple[str, ...]]]


def ecmascript(source: str) -> Found:
    """Read `import a, {b} from "x"`, `import * as d from "x"`, `export {e} from "x"`, `import f = require("x")`."""
    taken = _FROM.match(source)
    quoted = _QUOTED.search(source, taken.end() - 1 if taken else 0)
    if quoted is None or (source.startswith("export") and taken is None):
        return
    names: list[str] = []
    clause = _COMMENT.sub("", taken[1]).strip() if taken else ""
    clause = clause.removeprefix("type ").strip()
    if braced := _BRACED.search(clause):
        names = [name.removeprefix("type ").split(" as ")[0].strip(" \"'") for name in braced[1].split(",")]
        clause = clause[: braced.start()]
    before = clause.split(",")[0].strip()
    if before and not before.startswith("*"):
        names.insert(0, "default")
    elif source.startswith("export") and before == "*":
        names = ["*"]
    yield quoted[2], tuple(" ".join(name.split()) for name in names if name.strip())


def go(source: str) -> Found:
    """One line of an `import`: `"fmt"`, `x "a/b"`, `. "c"`."""
    if quoted := _QUOTED.search(source):
        yield quoted[2], ("*",) if source.startswith(".") else ()


def c(source: str) -> Found:
    """`#include <stdio.h>`, `#include "a.h"`."""
    if included := _INCLUDE.match(source):
        yield included[2].strip(), ()


def java(source: str) -> Found:
    """`import a.b.C;`, `import a.b.*;`, `import static a.B.c;`."""
    path = re.sub(r"\s+", "", re.sub(r"^import\s+(?:static\s+)?", "", _COMMENT.sub("", source))).rstrip(";")
    package, dot, name = path.rpartition(".")
    yield (package, (name,)) if dot else (name, ())


def c_sharp(source: str) -> Found:
    """`using A.B;`, `using static A.B;`, `using X = A.B;`."""
    name = re.sub(r"^(?:global\s+)?using\s+(?:static\s+|unsafe\s+)?", "", source).rstrip("; \n")
    yield "".join(name.rpartition("=")[2].split()), ()


def php(source: str) -> Found:
    r"""`use A\B;`, `use A\B as C, D\E;`, `use function a\b;`, `use A\{B, C as D};`."""
    clause = re.sub(r"^use\s+(?:function\s+|const\s+)?", "", _COMMENT.sub("", source)).rstrip("; \n")
    prefix, brace, group = clause.partition("{")
    for one in (group if brace else clause).rstrip("} \n").split(","):
        path = re.sub(r"^(?:function|const)\s+", "", one.strip())
        path = (prefix.strip() if brace else "") + re.split(r"\s+as\s+", path, flags=re.IGNORECASE)[0]
        package, slash, name = path.strip().strip("\\").rpartition("\\")
        if name:
            yield (package, (name,)) if slash else (name, ())


def php_file(source: str) -> Found:
    """`require_once __DIR__ . "/a.php"`: the string in it."""
    if quoted := _QUOTED.search(source):
        yield quoted[2].lstrip("/") if "__DIR__" in source or "dirname" in source else quoted[2], ()


def rust(source: str) -> Found:
    """`use a::b;`, `use a::{self, b as c, d::*};`: one for each path in front of names."""
    tree = re.sub(r"^(?:pub\s*(?:\([^)]*\)\s*)?)?use\s+", "", _COMMENT.sub("", source)).strip().rstrip(";")
    names: dict[str, list[str]] = {}
    pending = [("", tree)]
    for _ in range(_MOST_NAMES):
        if not pending:
            break
        prefix, part = pending.pop(0)
        path, brace, group = part.partition("{")
        if brace:
            inner = group[: group.rfind("}")] if "}" in group else group
            pending.extend((_joined(prefix, path), one) for one in _split(inner))
            continue
        path = _joined(prefix, part.split(" as ")[0])
        module, colons, name = path.rpartition("::")
        names.setdefault(module if colons else name, []).extend([name] if colons else [])
    for module, taken in names.items():
        yield module, tuple(taken)


def _joined(prefix: str, path: str) -> str:
    path = "".join(path.split()).removeprefix("::").removesuffix("::")
    return f"{prefix}::{path}" if prefix and path else prefix or path


def _split(group: str) -> Iterator[str]:
    depth, start = 0, 0
    for place, character in enumerate(group):
        depth += (character == "{") - (character == "}")
        if character == "," and depth == 0:
            yield from filter(None, (group[start:place].strip(),))
            start = place + 1
    yield from filter(None, (group[start:].strip(),))


def rust_crate(source: str) -> Found:
    """`extern crate a as b;`."""
    if found := re.search(r"\bcrate\s+(\w+)", source):
        yield found[1], ()


def rust_module(source: str) -> Found:
    """`mod a;`, which makes another file part of the crate; `mod a { … }` does not."""
    if found := re.fullmatch(r"(?:pub\s*(?:\([^)]*\)\s*)?)?mod\s+(?:r#)?(\w+)\s*;", source.strip()):
        yield f"mod {found[1]}", ()


_READERS: Mapping[str, Callable[[str], Found]] = {
    reader.__name__: reader
    for reader in (ecmascript, go, c, java, c_sharp, php, php_file, rust, rust_crate, rust_module)
}


def imports_in(source: bytes, *, reader: str, line: int) -> Iterator[ImportFact]:
    """Yield what one import takes."""
    text = source[:MOST_IMPORT_CHARACTERS].decode(errors="replace")
    for module, names in _READERS[reader](text):
        if module:
            yield ImportFact(
                module=module[:_MOST_CHARACTERS],
                line=line,
                names=tuple(name[:_MOST_CHARACTERS] for name in names[:_MOST_NAMES]),
            )


def imported_by_call(name: str, *, text: bytes, after: int, line: int) -> ImportFact | None:
    """Return what a call of `require`, `import`, `source` and the like imports, when that is written there."""
    if name in {"source", "."}:
        found = _SHELL_WORD.match(text, after)
    elif name == "autoload":
        found = _AUTOLOAD.match(text, after)
    else:
        found = _ARGUMENT.match(text, after)
    if found is None:
        return None
    module = found[1].decode(errors="replace").strip("\"'")
    if name == "require_relative" and not module.startswith("."):
        module = f"./{module}"
    return ImportFact(module=module, line=line) if module else None
