"""Python as Python itself, radon and we see it: 1,000 files in a soak, two dozen otherwise.

The files are the standard library's and those of the installed packages, taken at equal distances, so nobody chose
them. What differs, and why, is in docs/reference/codebase.md.
"""

import ast
import io
import os
import sysconfig
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path

from radon.raw import analyze
from radon.visitors import Class, ComplexityVisitor, Function

from contexten_core.codebase.analyse import analyse_file
from contexten_core.codebase.facts import FileFacts

FILES, MOST_BYTES = (1_000, 100_000) if os.environ.get("CONTEXTEN_SOAK_SECONDS") else (24, 20_000)
LAYOUT = {tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER}

Rows = set[tuple[object, ...]]


def test_python_is_what_ast_and_radon_say() -> None:
    compared = [differences(path) for path in files()]

    assert len(compared) == FILES
    assert [difference for found in compared for difference in found] == []


def files() -> Iterator[Path]:
    """Yield files that Python can parse and that have no line breaks of which only Python's strings know."""
    roots = (Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("purelib")))
    every = sorted({path for root in roots for path in root.rglob("*.py")})
    left = FILES
    for path in every[:: max(1, len(every) // (2 * FILES))]:
        data = path.read_bytes()
        if left and len(data) <= MOST_BYTES and is_python(data):
            left -= 1
            yield path


def is_python(data: bytes) -> bool:
    try:
        text = data.decode()
        ComplexityVisitor.from_ast(parsed(data))
    except (SyntaxError, ValueError, RecursionError):
        return False
    return text.count("\n") + (not text.endswith("\n") and text != "") == len(text.splitlines())


def parsed(data: bytes) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(data)


def differences(path: Path) -> list[tuple[object, ...]]:
    data = path.read_bytes()
    facts, tree = analyse_file(path=path.name, data=data), parsed(data)
    functions, complexities = complexities_of(tree), {(one.line, one.name, one.complexity) for one in facts.functions}
    pairs: list[tuple[Rows, Rows]] = [
        (
            places(tree, ast.FunctionDef, ast.AsyncFunctionDef),
            {(one.line, one.end_line, one.name) for one in facts.functions},
        ),
        (places(tree, ast.ClassDef), {(one.line, one.end_line, one.name) for one in facts.classes}),
        # radon does not look into classes that stand in functions; what it knows of has to be equal.
        (functions, functions & complexities),
        (lines_of(data.decode()), lines_found(facts)),
    ]
    return [
        (path, sorted(expected - actual), sorted(actual - expected)) for expected, actual in pairs if expected != actual
    ]


def places(tree: ast.AST, *kinds: type[ast.AST]) -> Rows:
    return {
        (node.lineno, node.end_lineno, node.name)  # type: ignore[attr-defined]
        for node in ast.walk(tree)
        if isinstance(node, kinds)
    }


def complexities_of(tree: ast.AST) -> Rows:
    """Return what `radon.complexity.cc_visit` says of each function, method and closure, with its default options."""
    visitor = ComplexityVisitor.from_ast(tree)
    return {(one.lineno, one.name, one.complexity) for one in blocks([*visitor.functions, *visitor.classes])}


def blocks(found: list[Function | Class]) -> Iterator[Function]:
    for one in found:
        if isinstance(one, Class):
            yield from blocks([*one.methods, *one.inner_classes])
        else:
            yield one
            yield from blocks(one.closures)


def lines_found(facts: FileFacts) -> Rows:
    return {("lines", facts.lines, facts.code_lines, facts.comment_lines, facts.blank_lines)}


def lines_of(text: str) -> Rows:
    raw, moved = analyze(text), comments_that_radon_takes_for_code(text)
    return {("lines", raw.loc, raw.sloc - moved, raw.single_comments + raw.multi + moved, raw.blank)}


def comments_that_radon_takes_for_code(text: str) -> int:
    """Count lines of comments within a statement, and of strings with nothing but a comment behind them."""
    moved = 0
    statement: list[tokenize.TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        is_comment = token.type == tokenize.COMMENT and token.line.lstrip().startswith("#")
        if token.type not in LAYOUT and not (is_comment and not statement):
            statement.append(token)
        if token.type != tokenize.NEWLINE:
            continue
        if [one.type for one in statement] == [tokenize.STRING, tokenize.COMMENT]:
            moved += sum(bool(line.strip()) for line in statement[0].line.splitlines())
        else:
            moved += sum(one.type == tokenize.COMMENT and one.line.lstrip().startswith("#") for one in statement)
        statement = []
    return moved
