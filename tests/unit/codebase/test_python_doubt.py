"""Errors that can be seen without a parser, and correct code that does not look like one."""

import ast
import sysconfig
from pathlib import Path

import pytest

from contexten_core.codebase.python_doubt import is_doubtful
from contexten_core.codebase.python_text import python_text


@pytest.mark.parametrize(
    "source",
    ["x = = 1", "a b", "x = 1 +", "f(, a)", "f(a,, b)", "<<<<<<< ours", "1st", "print 'a'", "x = (a +)", "x[* ]"],
)
def test_what_cannot_stand_together_is_doubtful(source: str) -> None:
    assert is_doubtful(python_text(f"y = 1\n{source}\nz = 2\n".encode()))


@pytest.mark.parametrize(
    "source",
    [
        "def f(a, /, b, *, c=-1): ...",
        "x, = y",
        "x = *a, *b",
        "from a import *",
        "x = 'a' 'b' rb'c'",
        "print(f'{x=} {y!r:>{width}}')",
        "x = not -a ** -b",
        "@a.b\nclass C: pass",
        "x[:, ::2] = y[...]",
        "if a:\n    pass\nelif not b: return_ = yield_",
    ],
)
def test_correct_code_is_not(source: str) -> None:
    assert not is_doubtful(python_text(f"{source}\n".encode()))


def test_hardly_any_correct_file_has_to_be_parsed() -> None:
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[::8]
    correct = [path.read_bytes() for path in files if is_correct(path)]
    assert sum(is_doubtful(python_text(data)) for data in correct) <= len(correct) // 5


def is_correct(path: Path) -> bool:
    try:
        ast.parse(path.read_bytes())
    except SyntaxError:
        return False
    return True
