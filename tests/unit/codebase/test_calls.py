"""Who calls whom, by name."""

from contexten_core.codebase.calls import Call, CallGraph
from contexten_core.codebase.outline import CLASS, FUNCTION, METHOD, Definition, Head, Outline
from contexten_core.codebase.outlines import NO_OUTLINES


def graph(files: dict[str, Outline], imports: dict[str, tuple[str, ...]] | None = None) -> CallGraph:
    encoded = {path: outline.encode() for path, outline in files.items()}
    outlines = NO_OUTLINES.updated(removed=(), added=encoded, paths=sorted(files))
    return CallGraph(outlines, dict.fromkeys(files, "Python"), imports or {})


def function(name: str, kind: str = FUNCTION, line: int = 1) -> Definition:
    return Definition(name, kind, line, line + 1, 1)


SHOP = {
    "shop/order.py": Outline(
        head=Head(((".tax", ("rate",)),)),
        definitions=(
            function("Order.total", METHOD, 2),
            function("Order.lines", METHOD, 5),
            function("show", line=9),
            Definition("Order", CLASS, 1, 8),
        ),
        calls=((0, ("self.lines", "rate", "round")), (2, ("Order", "order.total")), (-1, ("show",))),
    ),
    "shop/tax.py": Outline(definitions=(function("rate"), function("unused", line=4))),
    "other/tax.py": Outline(definitions=(function("rate"), function("show"))),
    "main.py": Outline(calls=((-1, ("tax.rate", "total")),)),
}
GRAPH = graph(SHOP, {"shop/order.py": ("shop/tax.py",), "main.py": ("other/tax.py",)})


def test_a_method_calls_its_own_class() -> None:
    assert GRAPH.callers_of("Order.lines") == (
        Call("shop/order.py", "Order.total", "shop/order.py", "Order.lines", 1.0),
    )


def test_an_imported_name_is_the_imported_one() -> None:
    assert GRAPH.callers_of("rate", "shop/tax.py") == (
        Call("shop/order.py", "Order.total", "shop/tax.py", "rate", 1.0),
    )


def test_a_module_in_front_is_the_imported_module() -> None:
    assert GRAPH.callers_of("rate", "other/tax.py") == (Call("main.py", "", "other/tax.py", "rate", 1.0),)


def test_a_name_of_the_same_file_comes_first() -> None:
    assert GRAPH.callees_of("shop/order.py", "") == (Call("shop/order.py", "", "shop/order.py", "show", 1.0),)


def test_what_nothing_leads_to_is_less_sure() -> None:
    assert GRAPH.callees_of("main.py")[-1] == Call("main.py", "", "shop/order.py", "Order.total", 0.5)


def test_several_candidates_share_the_confidence() -> None:
    files = {f"{name}.py": Outline(definitions=(function("save"),)) for name in "abcd"}
    calls = graph(files | {"main.py": Outline(calls=((-1, ("thing.save",)),))}).callees_of("main.py")
    assert [call.confidence for call in calls] == [0.125] * 4


def test_a_name_with_too_many_candidates_reaches_nothing() -> None:
    files = {f"{number}.py": Outline(definitions=(function("get"),)) for number in range(21)}
    assert graph(files | {"main.py": Outline(calls=((-1, ("x.get",)),))}).callees_of("main.py") == ()


def test_symbols_are_in_the_order_of_the_file() -> None:
    assert [symbol.name for symbol in GRAPH.symbols("shop/order.py")] == ["Order", "Order.total", "Order.lines", "show"]
    assert GRAPH.symbols("nowhere.py") == ()
    assert [symbol.path for symbol in GRAPH.symbols_named("total")] == ["shop/order.py"]


def test_search_finds_equal_names_first() -> None:
    assert [symbol.name for symbol in GRAPH.search("ORDER", 3)] == ["Order", "Order.lines", "Order.total"]
    assert GRAPH.search("", 3) == GRAPH.search("rate", 0) == ()


def test_all_edges_are_those_of_the_files() -> None:
    assert set(GRAPH.edges()) == {call for path in SHOP for call in GRAPH.callees_of(path)}
