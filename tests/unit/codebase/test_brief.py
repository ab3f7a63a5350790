"""What is left out where only places, complexity, imports and calls are wanted; everything else stays as it is."""

import json
from dataclasses import replace
from typing import Any

import pytest

from contexten_core.codebase.analyse import analyse_file
from contexten_core.codebase.facts import FileFacts
from contexten_core.codebase.record import Form, pack_record, read_record, shown_of

PYTHON = b'''import os

class Shop(Base):
    """A shop."""

    @cached
    def total(self, items, tax=0):
        """Sum up."""
        for item in items:
            if item and (tax or item.free):
                os.log(lambda: item if tax else 0)
        return sum(items)
'''
JAVA = b"""package a;
import java.util.List;
/** A shop. */
class Shop extends Base {
  @Override int total(List<Item> items) {
    for (Item item : items) { if (item.free && open || closed) { log(item); } else { go(); } }
    switch (kind) { case 1: return 1; default: return 2; }
  }
}
"""


def without_descriptions(facts: FileFacts) -> FileFacts:
    gone: dict[str, Any] = {"signature": "", "docstring": None, "decorators": ()}
    return replace(
        facts,
        functions=tuple(replace(one, parameters=(), cognitive=0, nesting=0, **gone) for one in facts.functions),
        classes=tuple(replace(one, bases=(), **gone) for one in facts.classes),
    )


@pytest.mark.parametrize(("path", "data"), [("shop.py", PYTHON), ("Shop.java", JAVA)])
def test_nothing_else_is_left_out(path: str, data: bytes) -> None:
    whole, brief = analyse_file(path=path, data=data), analyse_file(path=path, data=data, is_brief=True)
    assert whole.functions[0].cognitive > 0
    assert brief == without_descriptions(whole)


def test_a_brief_record_has_what_is_shown_in_place_of_the_facts() -> None:
    brief = pack_record(path="shop.py", data=PYTHON, form=Form.BRIEF)
    assert read_record(brief).outline == read_record(pack_record(path="shop.py", data=PYTHON)).outline
    shown = json.loads(b"{" + shown_of(brief) + b"}")
    assert shown["functions"] == [{"name": "total", "line": 7, "end_line": 12, "complexity": 6}]
    assert shown["imports"] == [{"module": "os", "line": 1, "names": []}]
    assert (shown["language"], shown["lines"], shown["note"]) == ("Python", 12, None)
