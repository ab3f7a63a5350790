"""Cycles among modules."""

from hypothesis import given
from hypothesis import strategies as st

from contexten_core.codebase.graph import ModuleGraph, find_cycles

NODES = "abcdefg"


def reachable(imports: dict[str, tuple[str, ...]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for other in imports.get(waiting.pop(), ()):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found


def test_cycles_are_groups_that_import_each_other() -> None:
    imports = {"a": ("b",), "b": ("c", "d"), "c": ("a",), "d": ("e",), "e": ("d", "x"), "f": ("a",)}
    assert find_cycles(imports) == (("a", "b", "c"), ("d", "e"))


def test_a_chain_of_any_length_is_no_cycle() -> None:
    chain = {str(number): (str(number + 1),) for number in range(30_000)}
    assert find_cycles(chain) == ()
    assert len(find_cycles(chain | {"30000": ("0",)})[0]) == 30_001


@given(st.dictionaries(st.sampled_from(NODES), st.lists(st.sampled_from(NODES), unique=True).map(tuple)))
def test_two_files_share_a_cycle_when_each_reaches_the_other(imports: dict[str, tuple[str, ...]]) -> None:
    cycles = find_cycles(imports)

    reached = {node: reachable(imports, node) for node in NODES}
    together = {frozenset((one, two)) for cycle in cycles for one in cycle for two in cycle if one != two}
    assert together == {
        frozenset((one, two))
        for one in NODES
        for two in NODES
        if one != two and two in reached[one] and one in reached[two]
    }


def test_importers_are_imports_the_other_way_round() -> None:
    graph = ModuleGraph({"a": ("c",), "b": ("a", "c")}, {}, ())
    assert graph.importers == {"a": ("b",), "c": ("a", "b")}
