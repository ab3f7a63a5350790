"""What an executor is shown: ranked, within the budget, the same each time, each piece with its reason."""

from collections.abc import Collection, Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from contexten_core.codebase.commit import CommitFacts
from contexten_core.codebase.context import Context, PieceKind, choose_context, estimate_tokens
from contexten_core.codebase.diff import ChangeKind, Diff, FileChange
from contexten_core.codebase.impact import Impact, Past, assess
from contexten_core.codebase.owners import CodeOwners
from contexten_core.codebase.pool import Item, analyse_here
from contexten_core.codebase.record import read_record, record_kind
from contexten_core.codebase.roles import is_test
from contexten_core.codebase.snapshot import Changes, update

EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True, database=None)
FILES = {
    "AGENTS.md": "Run the tests with `make test`.\nWrite short functions.\n",
    "shop/AGENTS.md": "Money is in cents.\n",
    "shop/tax.py": '"""Taxes."""\n\n\ndef tax_rate(order):\n    kind = order.kind\n    return 7 if kind else 19\n',
    "shop/order.py": "from shop.tax import tax_rate\n\n\ndef total(order):\n    return tax_rate(order)\n",
    "tests/test_tax.py": "from shop.tax import tax_rate\n\n\ndef test_rate():\n    assert tax_rate(1) == 7\n",
    "other.py": "def nothing_to_do():\n    return None\n\n\n# " + "x" * 400 + "\n",
}


def facts_of(files: Mapping[str, str]) -> CommitFacts:
    items = [
        Item((f"{number:040x}", record_kind(path)), path, files[path].encode()) for number, path in enumerate(files)
    ]
    records = {key[0]: read_record(packed) for key, packed in analyse_here(items)}
    added = {item.path: (item.key[0], records[item.key[0]]) for item in items}
    return update(None, "a" * 40, Changes(added=added)).facts


FACTS = facts_of(FILES)
CHANGE = FileChange("shop/tax.py", "shop/tax.py", ChangeKind.MODIFIED, ((6, 6),), ((6, 6),), 1, 1)
IMPACT = assess(base=FACTS, head=FACTS, changes=Diff((CHANGE,)), owners=CodeOwners(), past=Past(), is_test=is_test)


def read(paths: Collection[str]) -> Mapping[str, bytes]:
    return {path: FILES[path].encode() for path in paths if path in FILES}


def choose(budget: int = 2_000, *, impact: Impact | None = IMPACT, text: str = "") -> Context:
    return choose_context(facts=FACTS, budget_tokens=budget, read=read, impact=impact, text=text)


def kinds(context: Context) -> dict[str, PieceKind]:
    return {f"{piece.path}:{piece.line}": piece.kind for piece in context.pieces}


def test_conventions_changes_tests_and_callers_in_this_order() -> None:
    assert kinds(choose()) == {
        "AGENTS.md:1": PieceKind.CONVENTIONS,
        "shop/AGENTS.md:1": PieceKind.CONVENTIONS,
        "shop/tax.py:4": PieceKind.CHANGED,
        "shop/tax.py:1": PieceKind.CHANGED,
        "tests/test_tax.py:4": PieceKind.TEST,
        "shop/order.py:4": PieceKind.CALLER,
    }
    assert choose().pieces[0].path == "AGENTS.md"


def test_each_piece_has_its_lines_and_a_reason() -> None:
    piece = next(piece for piece in choose().pieces if piece.kind is PieceKind.CHANGED)
    assert (piece.line, piece.end_line, piece.reason) == (4, 6, "modified: tax_rate")
    assert piece.text == "def tax_rate(order):\n    kind = order.kind\n    return 7 if kind else 19"
    assert "### shop/tax.py:4-6 (modified: tax_rate)\ndef tax_rate" in choose().as_text()


def test_an_event_without_code_is_shown_what_it_mentions() -> None:
    text = 'File "/app/shop/order.py", line 5, in total\nand nothing_to_do() in other.py too'
    context = choose(impact=None, text=text)
    reasons = {(piece.path, piece.line): piece.reason for piece in context.pieces}
    assert reasons["shop/order.py", 4] == "the event points to line 5"
    assert reasons["other.py", 1] in {"the event names nothing_to_do", "the event names this file"}


def test_an_event_that_says_nothing_has_the_conventions_alone() -> None:
    assert kinds(choose(impact=None)) == {"AGENTS.md:1": PieceKind.CONVENTIONS}


def test_a_file_may_have_form_feeds() -> None:
    text = "x = 1\n\x0c\ndef wanted_one():\n    return 2\n"
    context = choose_context(
        facts=facts_of({"a.py": text}), budget_tokens=500, read=lambda _: {"a.py": text.encode()}, text="wanted_one"
    )
    assert [piece.text for piece in context.pieces] == ["def wanted_one():\n    return 2"]


def test_what_does_not_fit_is_named() -> None:
    context = choose(60)
    assert context.tokens <= 60
    assert any("tax_rate" in text for text in context.left_out)


@EXAMPLES
@given(st.integers(min_value=-5, max_value=2_000), st.text(max_size=200), st.booleans())
def test_any_budget_is_kept_and_the_same_input_gives_the_same(budget: int, text: str, changes: bool) -> None:
    impact = IMPACT if changes else None
    context = choose(budget, impact=impact, text=text)
    assert context == choose(budget, impact=impact, text=text)
    assert context.tokens == sum(piece.tokens for piece in context.pieces) <= max(budget, 0)
    assert estimate_tokens(context.as_text()) <= max(budget, 0)
    assert all(piece.reason and piece.text.count("\n") == piece.end_line - piece.line for piece in context.pieces)
