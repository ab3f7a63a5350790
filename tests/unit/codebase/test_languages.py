"""Which language a file is in."""

from collections import Counter

import pytest

from contexten_core.codebase.grammars import GRAMMARS, load
from contexten_core.codebase.languages import (
    LANGUAGES,
    SOURCE_LANGUAGES,
    file_kind,
    language_by_path,
    language_by_shebang,
)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("src/app.py", "Python"),
        ("src/App.TSX", "TypeScript"),
        ("types/index.d.ts", "TypeScript"),
        ("Makefile", "Makefile"),
        ("deploy/Dockerfile.prod", "Dockerfile"),
        ("dockerfile.py", "Python"),
        ("CMakeLists.txt", "CMake"),
        (".gitignore", "Ignore List"),
        (".bashrc", "Shell"),
        ("a.b/README.md", "Markdown"),
    ],
)
def test_by_path(path: str, name: str) -> None:
    language = language_by_path(path)
    assert language is not None
    assert language.name == name


@pytest.mark.parametrize("path", ["", "bin/run", "a.unknown", ".py", "py", "a.", "dir.py/"])
def test_a_name_that_says_nothing(path: str) -> None:
    assert language_by_path(path) is None


@pytest.mark.parametrize(
    ("first_line", "name"),
    [
        (b"#!/bin/bash -e", "Shell"),
        (b"#! /usr/bin/env -S python3.11 -u", "Python"),
        (b"#!/usr/bin/env FOO=1 node", "JavaScript"),
        (b"#!/usr/bin/perl", "Perl"),
    ],
)
def test_by_shebang(first_line: bytes, name: str) -> None:
    language = language_by_shebang(first_line + b"\nrest")
    assert language is not None
    assert language.name == name


@pytest.mark.parametrize("text", [b"", b"#!", b"#!/\n", b"# !/bin/sh", b"\n#!/bin/sh", b"#!" + b"/" * 10_000 + b"sh"])
def test_no_shebang_that_says_anything(text: bytes) -> None:
    assert language_by_shebang(text) is None


def test_the_kind_of_a_file_tells_apart_what_is_read_apart() -> None:
    assert file_kind("a.ts") == file_kind("b/c.mts") != file_kind("a.tsx")
    assert file_kind("a.unknown") == ""


def test_the_table_is_unambiguous() -> None:
    assert len({language.name for language in LANGUAGES}) >= 60
    for names in (
        [extension for language in LANGUAGES for extension in language.extensions],
        [name for language in LANGUAGES for name in language.filenames],
        [name for language in LANGUAGES for name in language.interpreters],
    ):
        assert [name for name, times in Counter(names).items() if times > 1] == []
        assert [name for name in names if name != name.lower()] == []
    assert all(extension.startswith(".") for language in LANGUAGES for extension in language.extensions)
    assert {"Python", "HTML"} <= SOURCE_LANGUAGES
    assert not {"JSON", "Markdown", "Text"} & SOURCE_LANGUAGES


def test_every_grammar_is_of_a_language() -> None:
    assert {language.grammar for language in LANGUAGES if language.grammar} == set(GRAMMARS)


@pytest.mark.parametrize("name", GRAMMARS)
def test_rows_name_what_the_grammar_has(name: str) -> None:
    """A grammar may rename its nodes with any release: the rows would silently find nothing."""
    grammar, language = GRAMMARS[name], load(name).language
    rows = (*grammar.functions, *grammar.classes)
    nodes = {row.node for row in rows} | {kind for row in rows for kind in row.of}
    flow = grammar.flow
    nodes |= {*grammar.comments, *grammar.decorators, *grammar.imports, *flow.branches, *flow.cases, *flow.nests}
    nodes |= {*flow.elses, *flow.jumps, *flow.lambdas, *flow.logical, *(call.node for call in grammar.calls)}
    fields = {row.body for row in rows if row.body} | {field for row in rows for field in row.name}
    assert [node for node in nodes if not language.id_for_node_kind(node, True)] == []
    assert [field for field in fields if not language.field_id_for_name(field)] == []
