"""What a change reaches, in a repository small enough to say so by hand."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from contexten_core.codebase.commit import CommitFacts
from contexten_core.codebase.diff import ChangeKind, Diff, FileChange
from contexten_core.codebase.history import LoggedCommit
from contexten_core.codebase.impact import Impact, Past, SymbolChange, assess
from contexten_core.codebase.owners import CodeOwners
from contexten_core.codebase.pool import Item, analyse_here
from contexten_core.codebase.record import read_record, record_kind
from contexten_core.codebase.roles import is_test
from contexten_core.codebase.snapshot import Changes, update

BASE, HEAD = "b" * 40, "a" * 40
TAX = "def rate(order):\n    return 7\n\n\ndef unused():\n    return 1\n"
SHOP = {
    "shop/tax.py": TAX,
    "shop/order.py": "from shop.tax import rate\n\n\ndef total(order):\n    return rate(order)\n",
    "shop/bill.py": "from shop.order import total\n\n\ndef bill(order):\n    return total(order)\n",
    "shop/page.py": "from shop.bill import bill\n\n\ndef page(order):\n    return bill(order)\n",
    "tests/test_order.py": "from shop.order import total\n\n\ndef test_total():\n    assert total(1) == 7\n",
    "README.md": "# Shop\n",
}
CHANGED_RATE = FileChange("shop/tax.py", "shop/tax.py", ChangeKind.MODIFIED, ((2, 2),), ((2, 2),), 1, 1)


def facts_of(files: Mapping[str, str], commit: str) -> CommitFacts:
    items = [
        Item((f"{number:040x}", record_kind(path)), path, files[path].encode()) for number, path in enumerate(files)
    ]
    records = {key[0]: read_record(packed) for key, packed in analyse_here(items)}
    return update(None, commit, Changes(added={item.path: (item.key[0], records[item.key[0]]) for item in items})).facts


def impact_of(
    changes: Sequence[FileChange],
    *,
    before: Mapping[str, str] = SHOP,
    after: Mapping[str, str] = SHOP,
    owners: str = "",
    past: Past | None = None,
    left_out: int = 0,
) -> Impact:
    return assess(
        base=facts_of(before, BASE),
        head=facts_of(after, HEAD),
        changes=Diff(tuple(changes), left_out),
        owners=CodeOwners(owners),
        past=past or Past(),
        is_test=is_test,
    )


def test_the_changed_function_is_the_one_whose_lines_differ() -> None:
    (symbol,) = impact_of([CHANGED_RATE]).symbols
    assert (symbol.path, symbol.name, symbol.change, symbol.line) == ("shop/tax.py", "rate", SymbolChange.MODIFIED, 1)


def test_callers_are_followed_with_their_depth() -> None:
    reached = {(one.path, one.name): one.depth for one in impact_of([CHANGED_RATE]).reached if one.name}
    assert reached == {("shop/order.py", "total"): 1, ("shop/bill.py", "bill"): 2, ("shop/page.py", "page"): 3}


def test_each_place_says_through_what_it_is_reached() -> None:
    through = {one.name: one.through for one in impact_of([CHANGED_RATE]).reached if one.name}
    assert through["bill"] == "shop/order.py:total"


def test_files_that_are_too_many_are_said_to_be_left_out() -> None:
    (note,) = impact_of([CHANGED_RATE], left_out=1_200).left_out
    assert note == "1,200 changed files after the first 1, with all that depends on them"


def test_tests_that_reach_it_are_told_apart() -> None:
    impact = impact_of([CHANGED_RATE])
    assert [(one.name, one.depth) for one in impact.tests if one.name] == [("test_total", 2)]
    assert not any(is_test(one.path) for one in impact.reached)
    assert impact.untested == ()


def test_a_function_that_no_test_reaches_is_untested() -> None:
    change = FileChange("shop/tax.py", "shop/tax.py", ChangeKind.MODIFIED, ((6, 6),), ((6, 6),), 1, 1)
    assert impact_of([change]).untested == ("shop/tax.py:unused",)


def test_one_test_of_several_changed_functions_tests_them_all() -> None:
    files = {
        "a.py": "def one():\n    return 1\n\n\ndef two():\n    return 2\n",
        "test_a.py": "from a import one, two\n\n\ndef test_both():\n    assert one() + two() == 3\n",
    }
    change = FileChange("a.py", "a.py", ChangeKind.MODIFIED, ((2, 6),), ((2, 6),), 5, 5)
    impact = impact_of([change], before=files, after=files)
    assert (len(impact.symbols), impact.untested) == (2, ())


def test_a_changed_function_between_a_test_and_another_passes_the_test_on() -> None:
    lines = ((2, 2), (5, 5))
    changes = [CHANGED_RATE, FileChange("shop/order.py", "shop/order.py", ChangeKind.MODIFIED, lines, lines, 2, 2)]
    assert impact_of(changes).untested == ()


def test_functions_come_and_go() -> None:
    after = {**SHOP, "shop/tax.py": "def rate(order):\n    return 7\n\n\ndef new():\n    return 1\n"}
    change = FileChange("shop/tax.py", "shop/tax.py", ChangeKind.MODIFIED, ((5, 5),), ((5, 5),), 1, 1)
    impact = impact_of([change], after=after)
    assert {one.name: one.change for one in impact.symbols} == {
        "new": SymbolChange.ADDED,
        "unused": SymbolChange.REMOVED,
    }
    assert impact.untested == ("shop/tax.py:new",)


def test_who_called_a_removed_function_is_reached() -> None:
    after = {path: text for path, text in SHOP.items() if path != "shop/tax.py"}
    change = FileChange("shop/tax.py", "shop/tax.py", ChangeKind.REMOVED, (), ((1, 6),), 0, 6)
    impact = impact_of([change], after=after)
    assert ("shop/order.py", "total") in {(one.path, one.name) for one in impact.reached}


def test_a_file_without_functions_reaches_whoever_imports_it() -> None:
    files = {"settings.py": "LIMIT = 3\n", "app.py": "import settings\n\nprint(settings.LIMIT)\n"}
    change = FileChange("settings.py", "settings.py", ChangeKind.MODIFIED, ((1, 1),), ((1, 1),), 1, 1)
    impact = impact_of([change], before=files, after=files)
    assert [(one.path, one.name, one.confidence) for one in impact.reached] == [("app.py", "", 0.5)]


def test_owners_and_authors_and_past_failures() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    log = [
        LoggedCommit(HEAD, "Eve", at, ("shop/tax.py",)),
        LoggedCommit("1" * 40, "Ada", at, ("shop/tax.py",)),
        LoggedCommit("2" * 40, "Ada", at, ("shop/tax.py", "README.md")),
        LoggedCommit("3" * 40, "Bob", at, ("README.md",)),
    ]
    past = Past(log=log, failed={"2" * 40, "3" * 40}, succeeded={"1" * 40})
    impact = impact_of([CHANGED_RATE], owners="shop/ @acme/tax\n", past=past)
    assert impact.owners == {"shop/tax.py": ("@acme/tax",)}
    assert impact.authors == ("Ada",)
    assert impact.past_failures == ("2" * 40,)
    (failures,) = [part for part in impact.risk.parts if part.name == "past_failures"]
    assert (failures.value, failures.evidence) == (0.5, "1 of 2 earlier runs failed")


def test_nothing_changed_is_no_risk() -> None:
    impact = impact_of([])
    assert (impact.symbols, impact.reached, impact.tests, impact.risk.score) == ((), (), (), 0.0)


def test_a_change_of_prose_reaches_nothing() -> None:
    change = FileChange("README.md", "README.md", ChangeKind.MODIFIED, ((1, 1),), ((1, 1),), 1, 1)
    impact = impact_of([change])
    assert (impact.symbols, impact.reached) == ((), ())
    assert impact.risk.level == "low"


def test_the_same_change_means_the_same() -> None:
    assert impact_of([CHANGED_RATE]) == impact_of([CHANGED_RATE], before=dict(reversed(SHOP.items())))
