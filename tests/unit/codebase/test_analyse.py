"""Files as people write them, and as nobody should, and what is known of them."""

import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contexten_core.codebase.analyse import analyse_file
from contexten_core.codebase.facts import FileFacts, Note
from contexten_core.codebase.languages import LANGUAGES

EXTENSIONS = sorted({extension for language in LANGUAGES for extension in language.extensions})

MARKS = st.sampled_from(
    [
        *(
            b"\n",
            b"\r",
            b" ",
            b"\t",
            b"\\",
            b"{",
            b"}",
            b"(",
            b")",
            b"\xff",
            b"\xc3",
            b"function a",
            b"def f():",
            b"class A",
        ),
        *(
            b"'",
            b'"',
            b'"""',
            b"`",
            b"${",
            b"#{",
            b"//",
            b"/*",
            b"*/",
            b"#",
            b"--",
            b"<!--",
            b"-->",
            b"=begin\n",
            b"<<~A\n",
        ),
    ]
)
ANYTHING = st.one_of(st.binary(max_size=300), st.lists(MARKS, max_size=60).map(b"".join))
EXAMPLES = settings(deadline=None, derandomize=True, database=None)


def counts(facts: FileFacts) -> tuple[int, int, int]:
    return facts.code_lines, facts.comment_lines, facts.blank_lines


def assert_consistent(facts: FileFacts) -> None:
    assert sum(counts(facts)) == facts.lines
    assert min(counts(facts)) >= 0
    places = [(fact.name, fact.line, fact.end_line) for fact in facts.functions]
    places += [(fact.name, fact.line, fact.end_line) for fact in facts.classes]
    for name, line, end_line in places:
        assert name
        assert 1 <= line <= end_line <= facts.lines


def test_python_module() -> None:
    facts = analyse_file(
        path="shop/basket.py",
        data=b'''"""What the customer takes."""

import json  # for the receipt


class Basket:
    """Holds items.

    In order.
    """

    async def total(self):
        # cents
        return sum(self.items)
''',
    )

    assert facts.language == "Python"
    assert facts.lines == 14
    assert counts(facts) == (4, 5, 5)
    assert [(fact.name, fact.line, fact.end_line) for fact in facts.functions] == [("total", 12, 14)]
    assert [(fact.name, fact.line, fact.end_line) for fact in facts.classes] == [("Basket", 6, 14)]
    assert facts.note is None


def test_an_empty_file_has_no_lines() -> None:
    assert analyse_file(path="a.py", data=b"") == FileFacts(path="a.py", language="Python")


@pytest.mark.parametrize("data", [b"a\nb", b"a\nb\n", b"a\r\nb\r\n", b"a\rb\r", codecs.BOM_UTF8 + b"a\nb"])
def test_a_line_ends_as_any_system_ends_it(data: bytes) -> None:
    assert analyse_file(path="a.py", data=data).lines == 2


def test_utf16_is_text() -> None:
    facts = analyse_file(path="Run.ps1", data="# naïve\r\nGet-Item\r\n".encode("utf-16"))
    assert (facts.language, counts(facts)) == ("PowerShell", (1, 1, 0))


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\0\0", b"import os\n\0", codecs.BOM_UTF16_LE + b"\0\0"])
def test_binary_files_are_not_counted(data: bytes) -> None:
    assert analyse_file(path="a.py", data=data) == FileFacts(path="a.py", language=None, note=Note.BINARY)


def test_text_of_no_known_kind_is_counted_as_text() -> None:
    facts = analyse_file(path="data.qqq", data=b"# one\n\ntwo\n")
    assert (facts.language, counts(facts)) == ("Text", (2, 0, 1))


def test_a_script_is_known_by_its_interpreter() -> None:
    facts = analyse_file(path="bin/deploy", data=b"#!/usr/bin/env python3\ndef main(): ...\n")
    assert facts.language == "Python"
    assert [fact.name for fact in facts.functions] == ["main"]


def test_what_was_understood_survives_a_syntax_error() -> None:
    facts = analyse_file(path="a.py", data=b"def good():\n    pass\n\n\nclass = = (\n\n\ndef also(:\n")
    assert facts.note == Note.NOT_UNDERSTOOD
    assert "good" in [fact.name for fact in facts.functions]


def test_a_large_file_is_counted_and_not_parsed() -> None:
    data = b"def f():\n    # why\n    return '#'\n" * 10
    facts = analyse_file(path="a.py", data=data, most_parsed_bytes=len(data) - 1)
    assert (counts(facts), facts.functions, facts.note) == ((20, 10, 0), (), Note.TOO_LARGE)
    assert len(analyse_file(path="a.py", data=data, most_parsed_bytes=len(data)).functions) == 10


def test_parsing_stops_in_time() -> None:
    data = b"// one\n" + b"}{)(][" * 20_000
    facts = analyse_file(path="a.js", data=data, most_parsing_seconds=0.01)
    assert (counts(facts), facts.note) == ((1, 1, 0), Note.TOO_SLOW)


def test_definitions_are_bounded() -> None:
    data = b"class A:\n    pass\nclass = 1\n" + b"def f(): ...\n" * 20
    facts = analyse_file(path="a.py", data=data, most_definitions=10)
    assert (len(facts.functions), facts.note) == (10, f"{Note.NOT_UNDERSTOOD}; {Note.TOO_MANY}")


def test_names_are_bounded_and_on_one_line() -> None:
    facts = analyse_file(path="a.js", data=b"a[\n'b'\n] = () => 1; const " + b"x" * 5000 + b" = () => 2\n")
    assert [fact.name for fact in facts.functions] == ["a[ 'b' ]", "x" * 200]


@pytest.mark.parametrize("path", ["a.py", "a.js", "a.tsx", "a.go", "a.java", "a.rs", "a.rb"])
@pytest.mark.parametrize("opening", [b"(", b"[1,", b"function a(){", b"class A {"])
def test_depth_is_no_danger(path: str, opening: bytes) -> None:
    assert_consistent(analyse_file(path=path, data=opening * 40_000, most_parsing_seconds=0.1))


def test_one_line_of_ten_megabytes() -> None:
    facts = analyse_file(path="bundle.js", data=b"a='\\'';" * (10 * 1024 * 1024 // 7))
    assert (facts.lines, counts(facts), facts.note) == (1, (1, 0, 0), Note.TOO_LARGE)


@EXAMPLES
@given(extension=st.sampled_from(EXTENSIONS), data=ANYTHING)
def test_any_bytes_have_consistent_facts(extension: str, data: bytes) -> None:
    facts = analyse_file(path="file" + extension, data=data)
    assert_consistent(facts)
    assert facts == FileFacts.unpack(facts.pack(), path=facts.path)


@EXAMPLES
@given(extension=st.sampled_from(EXTENSIONS), data=ANYTHING)
def test_lines_are_the_same_whether_parsed_or_not(extension: str, data: bytes) -> None:
    parsed = analyse_file(path="file" + extension, data=data)
    counted = analyse_file(path="file" + extension, data=data, most_parsed_bytes=-1)
    assert_consistent(counted)
    assert (parsed.lines, parsed.blank_lines) == (counted.lines, counted.blank_lines)
