"""Totals of a codebase."""

import json
import random

import pytest

from contexten_core.codebase.commit import FileSummary
from contexten_core.codebase.facts import FileNote, LanguageTotals, Note
from contexten_core.codebase.summarise import Tally, summarise


def lines_of(path: str, language: str | None, *, code: int = 0, note: str | None = None) -> FileSummary:
    return FileSummary(
        path, "", "", language=language, lines=code + 3, code_lines=code, comment_lines=2, blank_lines=1, note=note
    )


FILES = [
    FileSummary(
        path="a.py",
        blob_id="",
        kind="",
        language="Python",
        lines=10,
        code_lines=6,
        comment_lines=1,
        blank_lines=3,
        functions=2,
        classes=1,
        complexity=5,
        function_lines=4,
        maintainability=4 * 7_500,
    ),
    lines_of("b.py", "Python", code=4, note=Note.NOT_UNDERSTOOD),
    lines_of("c.go", "Go", code=7),
    lines_of("package.json", "JSON", code=900),
    FileSummary(path="logo.png", blob_id="", kind="", note=Note.BINARY),
]


def test_totals() -> None:
    facts = summarise(FILES)

    assert (facts.files, facts.lines, facts.functions, facts.classes) == (5, 930, 2, 1)
    assert facts.languages["Python"] == LanguageTotals(files=2, code=10, comment=3, blank=4)
    assert list(facts.languages) == ["JSON", "Python", "Go"]
    assert facts.primary_language == "Python"
    assert facts.notes == {Note.BINARY: 1, Note.NOT_UNDERSTOOD: 1}
    assert facts.noted == (FileNote("b.py", Note.NOT_UNDERSTOOD), FileNote("logo.png", Note.BINARY))
    assert sum(of.code + of.comment + of.blank for of in facts.languages.values()) == facts.lines


def test_an_empty_codebase() -> None:
    facts = summarise([])
    assert (facts.files, facts.lines, facts.languages, facts.primary_language) == (0, 0, {}, None)
    assert (Tally().maintainability, Tally().mean_complexity) == (None, None)


@pytest.mark.parametrize(
    ("files", "primary"),
    [
        ([("Ruby", 5), ("Go", 5)], "Go"),
        ([("HTML", 5), ("Markdown", 50)], "HTML"),
        ([("YAML", 5), ("Markdown", 50)], "Markdown"),
    ],
)
def test_primary_language(files: list[tuple[str, int]], primary: str) -> None:
    facts = summarise(lines_of(f"{number}", language, code=code) for number, (language, code) in enumerate(files))
    assert facts.primary_language == primary


def test_the_order_of_the_files_does_not_show() -> None:
    mixed = random.Random(7).sample(FILES, k=len(FILES))
    assert json.dumps(summarise(mixed).as_dict()) == json.dumps(summarise(FILES).as_dict())


def test_what_is_taken_away_was_never_there() -> None:
    tally = Tally()
    for file in FILES:
        tally.add(file)
    before = Tally(tally.counts)
    tally.add(FILES[0], times=-1)
    assert tally.totals({}).functions == 0
    assert (before.maintainability, before.mean_complexity) == (75.0, 2.5)
    for file in FILES[1:]:
        tally.add(file, times=-1)
    assert tally.counts == {}


def test_noted_files_are_bounded() -> None:
    facts = summarise(lines_of(f"{number:04}.py", "Python", note=Note.TOO_LARGE) for number in range(1200))
    assert (len(facts.noted), facts.noted[-1].path, facts.notes) == (1000, "0999.py", {Note.TOO_LARGE: 1200})
