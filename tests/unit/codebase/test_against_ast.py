"""Python's own library as tree-sitter and as Python itself see it."""

import ast
import sysconfig
from pathlib import Path

import pytest

from contexten_core.codebase.analyse import analyse_file

FILES = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:150]


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_functions_and_classes_are_those_of_ast() -> None:
    """Names and first lines are equal.

    Last lines are too, but for comments at the end of a body: they belong to it for tree-sitter, while ast knows none.
    """
    compared = 0
    for path in FILES:
        data = path.read_bytes()
        facts, tree, lines = analyse_file(path=path.name, data=data), ast.parse(data), data.splitlines()
        for kinds, found in (
            ((ast.FunctionDef, ast.AsyncFunctionDef), facts.functions),
            ((ast.ClassDef,), facts.classes),
        ):
            expected = {
                (node.lineno, node.name): node.end_lineno or 0 for node in ast.walk(tree) if isinstance(node, kinds)
            }
            assert [(fact.line, fact.name) for fact in found] == sorted(expected), path
            for fact in found:
                after = lines[expected[fact.line, fact.name] : fact.end_line]
                assert all(not line.strip() or line.lstrip().startswith(b"#") for line in after), (path, fact)
            compared += len(found)
        assert facts.note is None, path
    assert compared > 1000
