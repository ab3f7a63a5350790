"""Comments of what is counted and not parsed."""

import pytest

from contexten_core.codebase.analyse import analyse_file


@pytest.mark.parametrize(
    ("path", "source", "code", "comment"),
    [
        ("a.c", "/* one\n\ntwo */\nint x; // no\nint y = 1; /* no\nthree */\n", 2, 3),
        ("a.c", 'char *glob = "src/**/*.c";\nint x;\n', 2, 0),
        ("a.c", "char quote = '\"'; /* no\none */\n", 1, 1),
        ("a.swift", "/* never closed\nint x;\n", 0, 2),
        ("a.kt", 'val s = """\n// no\n"""\n', 3, 0),
        ("a.sh", "#!/bin/sh\necho ${a#b} # no\n  # two\n", 1, 2),
        ("a.lua", "-- one\n--[[ two\nthree ]]\nprint('--')\n", 1, 3),
        ("a.pl", "=head1\n\ntext\n\n=cut\nprint $x=~ 1;\n# three\n", 1, 4),
        ("a.html", "<!-- one\ntwo -->\n<p></p>\n", 1, 2),
        ("a.sql", "-- one\nselect '/*';\n/* three */\n", 1, 2),
        ("a.hs", "{- one\ntwo -}\nmain = x -- no\n", 1, 2),
        ("a.yaml", "# one\nkey: 'a # no'\n", 1, 1),
        ("a.vim", '" one\necho "no"\n', 1, 1),
        ("a.bat", "REM one\n:: two\necho theorem\n", 1, 2),
        ("a.json", '{"a": "// no"}\n', 1, 0),
        ("a.css", "/* one */\na { b: url(//no) }\n", 1, 1),
    ],
)
def test_comments_by_their_marks(path: str, source: str, code: int, comment: int) -> None:
    facts = analyse_file(path=path, data=source.encode())
    assert (facts.code_lines, facts.comment_lines) == (code, comment)
