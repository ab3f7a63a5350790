"""What is stored of one content."""

from contexten_core.codebase.analyse import analyse_file
from contexten_core.codebase.facts import FileFacts, Note
from contexten_core.codebase.outline import Outline
from contexten_core.codebase.record import CRASHED, crashed_record, is_kept, pack_record, read_record, record_kind

SOURCE = b"""
class Order:
    def total(self):
        return sum(line for line in self.lines if line)


if __name__ == "__main__":
    print(Order())
"""


def test_a_record_has_facts_figures_and_an_outline() -> None:
    packed = pack_record(path="shop/order.py", data=SOURCE)

    facts = analyse_file(path="shop/order.py", data=SOURCE)
    assert FileFacts.unpack(packed, path="shop/order.py") == facts
    record = read_record(packed)
    summary = record.summary(path="shop/order.py", blob_id="b")
    assert (summary.language, summary.lines, summary.functions, summary.classes) == ("Python", facts.lines, 1, 1)
    assert summary.complexity == facts.functions[0].complexity
    outline = Outline.decode(record.outline)
    assert [definition.name for definition in outline.definitions] == [
        facts.functions[0].qualified_name,
        facts.classes[0].qualified_name,
    ]
    assert outline.entry_points == (("main", "__main__"),)


def test_equal_contents_of_equal_kinds_have_equal_records() -> None:
    assert record_kind("a/b.py") == record_kind("c.py") != record_kind("c.rb")
    assert pack_record(path="a/b.py", data=SOURCE) == pack_record(path="c.py", data=SOURCE)
    assert record_kind("pyproject.toml") == record_kind("sub/pyproject.toml") != record_kind("other.toml")


def test_whatever_the_bytes_are_there_is_a_record() -> None:
    for path in ("a.py", "package.json", "go.mod", "Makefile", "x", "tsconfig.json", "Cargo.toml"):
        for data in (b"", b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"{" * 10_000, b"[" * 10_000, b"'" * 999, b"\n" * 999):
            read_record(pack_record(path=path, data=data))


def test_what_may_be_otherwise_elsewhere_is_not_kept() -> None:
    crashed = read_record(crashed_record(path="a.py"))
    assert (crashed.figures[0], crashed.figures[-1], is_kept(crashed)) == ("Python", CRASHED, False)
    slow = FileFacts(path="a.py", language="Python", note=Note.TOO_SLOW.value)
    assert not is_kept(crashed._replace(figures=(*crashed.figures[:-1], slow.note)))
    assert is_kept(read_record(pack_record(path="a.py", data=SOURCE)))
