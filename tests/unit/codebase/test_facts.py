"""Facts as they are found and stored, and Python's finer points."""

import pytest

from contexten_core.codebase.analyse import analyse_file
from contexten_core.codebase.facts import ClassFact, FileFacts, FunctionFact, ImportFact, Note, TodoFact


def python(source: str) -> FileFacts:
    facts = analyse_file(path="a.py", data=source.encode())
    assert facts.note is None
    return facts


def test_facts_survive_being_stored() -> None:
    facts = FileFacts(
        path="shop/orders.py",
        language="Python",
        lines=20,
        code_lines=14,
        comment_lines=4,
        blank_lines=2,
        functions=(
            FunctionFact("total", 3, 9, "Order", True, ("self",), "total(self)", None, ("cache",), 2, 1, 1, ("sum",)),
        ),
        classes=(ClassFact("Order", 1, 12, "", ("Model", "Sized"), "Order(Model, Sized)", "An order.", ()),),
        imports=(ImportFact("..models", 1, ("Model",)), ImportFact("json", 2)),
        calls=("json.load",),
        todos=(TodoFact("TODO", 7, "round"),),
        package="shop",
        is_generated=True,
        note=Note.TOO_MANY,
    )
    assert FileFacts.unpack(facts.pack(), path="shop/orders.py") == facts
    assert FileFacts.unpack(facts.pack(), path="moved.py").path == "moved.py"
    assert facts.functions[0].qualified_name == "Order.total"


@pytest.mark.parametrize(
    ("source", "imports"),
    [
        ("import a.b as c, d\n", [("a.b", ()), ("d", ())]),
        ("from . import (\n    a as b,  # why\n    c,\n)\n", [(".", ("a", "c"))]),
        ("from ..x.y import *\n", [("..x.y", ("*",))]),
        ("if TYPE_CHECKING: import a; from b import c\n", [("a", ()), ("b", ("c",))]),
        ("try:\n\timport a\nexcept ImportError:\n\ta = None\n", [("a", ())]),
        ('x = "import a"  # import b\nimporter(x)\n', []),
        ("def f():\n    yield from important\n", []),
    ],
)
def test_imports_of_python(source: str, imports: list[tuple[str, tuple[str, ...]]]) -> None:
    assert [(found.module, found.names) for found in python(source).imports] == imports


@pytest.mark.parametrize(
    ("body", "complexity"),
    [
        ("pass", 1),
        ("return a and b or c", 3),
        ("return [x for x in a if x if y]", 4),
        ("return a if b else c", 2),
        ("return lambda: a or b", 2),
        ("assert a and b, c or d", 2),
        ("for x in a: pass\n    else: pass", 3),
        ("try: pass\n    except A: pass\n    except B: pass\n    else: pass\n    finally: pass", 4),
        ("try: pass\n    except* A: pass\n    else: pass", 1),
        ("with a: pass", 1),
        ("match a:\n        case 1 if b: pass\n        case None: pass\n        case x: pass", 3),
        ('return f"{a if b else c:>{d or e}} if or {{and}}"', 3),
        ('return \'if\' or """\nif and or\n"""  # if', 2),
        ("def g(x=a or b):\n        if x: pass", 1),
        ("return (a\n  and b\n  # and c\n  and d)", 3),
        ("match = a; return match.case(x) or match", 2),
    ],
)
def test_cyclomatic_complexity_of_python_is_radons(body: str, complexity: int) -> None:
    assert python(f"def f():\n    {body}\n").functions[0].complexity == complexity


def test_calls_of_python() -> None:
    facts = python(
        'def f(x=a()):\n    b(c.d(1)).e()\n    if (g) and not(h()): "i()".j()\n'
        "    return [k() for k in l]  # m()\nn(f)\n"
    )
    assert facts.functions[0].calls == ("b", "c.d", "().e", "h", "().j", "k")
    assert facts.calls == ("n",)


def test_lines_of_python_are_counted_as_radon_does() -> None:
    facts = python('"""One.\n\n  \nTwo."""\nx = """\n\n  \n# code\n"""\n  # three\nf(1,\n  # four\n  2)\n"five"\n')
    assert (facts.lines, facts.code_lines, facts.comment_lines, facts.blank_lines) == (14, 5, 5, 4)


@pytest.mark.parametrize(
    ("source", "end_line"),
    [
        ("def f():\n    pass\n    # still there\n\nx = 1\n", 2),
        ("def f(): return 1\n", 1),
        ("def f(\n    a,\n): return [\n1,\n]\n", 5),
        ('def f():\n    return """\nx\n"""\n', 4),
        ("def f():\n    x = 1 + \\\n2\n", 3),
        ("def f():\n\tif a:\n\t\tpass\n# no\nelse_ = 1", 3),
    ],
)
def test_a_function_of_python_ends_with_its_last_statement(source: str, end_line: int) -> None:
    assert python(source).functions[0].end_line == end_line


@pytest.mark.parametrize(
    "source",
    [
        "def f(:\n    pass\n",
        "x = (\n",
        "if a\n    pass\n",
        'x = "\n',
        "x = = 1\n",
        "a b\n",
        "def f():\npass\n",
        "x = [1, 2)\n",
    ],
)
def test_syntax_errors_are_told(source: str) -> None:
    facts = analyse_file(path="a.py", data=f"def known():\n    pass\n\n{source}".encode())
    assert facts.note == Note.NOT_UNDERSTOOD
    assert "known" in [fact.name for fact in facts.functions]


def test_markers_count_in_comments_alone() -> None:
    facts = analyse_file(
        path="a.ts", data=b'// TODO(ann): later\nconst s = "TODO";\n/* FIXME */ f(); // TODOS\n* HACK\n'
    )
    assert [(todo.marker, todo.line, todo.text) for todo in facts.todos] == [
        ("TODO", 1, "(ann): later"),
        ("FIXME", 3, ""),
    ]
