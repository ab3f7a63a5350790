"""Looking through a tree is bounded like parsing is."""

import pytest
from tree_sitter import Parser

from contexten_core.codebase.grammars import load
from contexten_core.codebase.parse import _nodes


def test_looking_stops_in_time() -> None:
    tree = Parser(load("python").language).parse(b"x = 1\n")
    with pytest.raises(TimeoutError):
        list(_nodes(tree=tree, loaded=load("python"), query=load("python").query, deadline=0.0))
