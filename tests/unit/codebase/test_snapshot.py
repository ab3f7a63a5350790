"""A commit's facts, brought up to date from another's, are those of a first analysis."""

import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contexten_core.codebase.commit import FileSummary, LeftOut
from contexten_core.codebase.entry_points import EntryPoint
from contexten_core.codebase.import_settings import import_settings
from contexten_core.codebase.languages import language_by_path
from contexten_core.codebase.outline import FUNCTION, Definition, Head, Outline
from contexten_core.codebase.record import Record
from contexten_core.codebase.snapshot import Changes, Snapshot, update
from contexten_core.codebase.snapshot_format import decode, encode

PATHS = (
    *(
        "a.py",
        "pkg/__init__.py",
        "pkg/a.py",
        "pkg/b.py",
        "pkg/sub/__init__.py",
        "pkg/sub/c.py",
        "src/pkg/d.py",
        "pkg.py",
    ),
    *("setup.py", "web/index.ts", "web/x.ts", "web/x/index.js", "web/y/z.tsx", "web/tsconfig.json", "web/package.json"),
    *("go.mod", "main.go", "money/a.go", "money/b.go", "money/b_test.go", "Cargo.toml", "src/lib.rs", "src/m.rs"),
    *(
        "src/m/n.rs",
        "src/m/mod.rs",
        "j/A.java",
        "j/B.java",
        "k/B.java",
        "c/a.c",
        "c/a.h",
        "inc/a.h",
        "r/x.rb",
        "lib/x.rb",
    ),
    *("s/run.sh", "s/lib.sh", "Makefile", "README.md", "logo.png"),
)
MODULES = (
    *("pkg", "pkg.a", "pkg.sub.c", ".", "..", ".a", ".sub", "a", "d", "pkg.d", "os"),
    *("./x", "..", "./index", "../x", "@app/x", "web-ui", "web-ui/x", "react", "example.com/m", "example.com/m/money"),
    *("crate::m", "crate::m::n", "super", "self::m", "m", "core_x::m", "serde", "j.A", "j.B", "k", "j.*", "A.B"),
    *("a.h", "c/a.h", "x", "./lib.sh", "lib.sh"),
)
NAMES = ("a", "b", "sub", "c", "n", "B", "*")
MANIFESTS = {
    "go.mod": [b"module example.com/m\n", b"module example.com/n\n", b""],
    "Cargo.toml": [b'[package]\nname = "core-x"\n', b"not toml ["],
    "web/package.json": [b'{"name": "web-ui", "main": "x.ts"}', b"{}"],
    "web/tsconfig.json": [b'{"compilerOptions": {"paths": {"@app/*": ["./*"], "web-ui": ["y/z"]}}}', b"{"],
    "setup.py": [b"", b"x"],
}


def record(path: str, draw: random.Random) -> tuple[str, Record]:
    """A file with whatever content."""
    language = language_by_path(path)
    functions = draw.randrange(3)
    summary = FileSummary(
        "",
        "",
        "",
        language=language.name if language else None,
        lines=draw.randrange(50),
        code_lines=draw.randrange(50),
        functions=functions,
        complexity=functions * 2,
        function_lines=functions * 7,
        maintainability=functions * 7 * draw.randrange(10_000),
        todos=draw.randrange(2),
        package=draw.choice([None, "j", "k"]) if path.endswith(".java") else None,
        note=draw.choice([None, None, "partly not understood"]),
    )
    settings: dict[str, Any] | None = None
    if path in MANIFESTS:
        settings = import_settings(path, draw.choice(MANIFESTS[path]))
    imports = tuple(
        (draw.choice(MODULES), tuple(draw.sample(NAMES, draw.choice([0, 0, 1, 2])))) for _ in range(draw.randrange(4))
    )
    outline = Outline(
        head=Head(imports, settings),
        definitions=tuple(Definition(draw.choice(NAMES), FUNCTION, n + 1, n + 2, 2) for n in range(functions)),
        calls=((-1, tuple(draw.sample(NAMES, 2))),),
        entry_points=(("main", "main"),) if draw.random() < 0.2 else (),
    )
    return f"{draw.getrandbits(160):040x}", Record(summary[3:], outline.encode())


def first(commit: str, files: Mapping[str, tuple[str, Record]], skipped: Mapping[str, str]) -> Snapshot:
    return update(None, commit, Changes(added=files, skipped=skipped))


@given(seed=st.integers(0, 2**32), sizes=st.lists(st.integers(0, 6), min_size=1, max_size=5))
def test_any_sequence_of_edits_ends_where_a_first_analysis_does(seed: int, sizes: list[int]) -> None:
    draw = random.Random(seed)
    files = {path: record(path, draw) for path in draw.sample(PATHS, 20)}
    skipped = {"link": "symbolic link"}
    snapshot = first("0", files, skipped)
    for number, size in enumerate(sizes):
        changed = draw.sample((*PATHS, "link"), size)
        gone = {path for path in changed if path in files and draw.random() < 0.4}
        added = {path: record(path, draw) for path in changed if path not in gone and draw.random() < 0.9}
        links = {path: "symbolic link" for path in changed if path not in added and draw.random() < 0.5}
        files = {path: entry for path, entry in files.items() if path not in changed} | added
        skipped = {path: why for path, why in skipped.items() if path not in changed} | links

        changes = Changes(removed=changed, added=added, skipped=links)
        snapshot = update(decode(encode(snapshot)), str(number), changes)

        fresh = first(str(number), files, skipped)
        assert list(snapshot.facts.files.items()) == list(fresh.facts.files.items())
        assert snapshot.facts.modules == fresh.facts.modules
        assert snapshot.facts == fresh_but_for_groups(fresh, snapshot)
        assert list(snapshot.facts.calls.edges()) == list(fresh.facts.calls.edges())
        assert (snapshot.tally, snapshot.settings, snapshot.skipped) == (fresh.tally, fresh.settings, fresh.skipped)


def fresh_but_for_groups(fresh: Snapshot, other: Snapshot) -> Any:
    """The facts of one snapshot with the call graph of another, whose outlines may be grouped in another way."""
    from dataclasses import replace

    assert dict(fresh.outlines.encoded()) == dict(other.outlines.encoded())
    return replace(fresh.facts, calls=other.facts.calls)


def test_a_snapshot_survives_its_bytes() -> None:
    draw = random.Random(1)
    names = ("odd\nname.py", 'quo"te.py', "dir/ü.py", "a\\xff.py")
    snapshot = first("c" * 40, {path: record(path, draw) for path in (*PATHS, *names)}, {"sub": "submodule"})

    again = decode(encode(snapshot))

    assert again == snapshot
    assert again.facts.left_out == (LeftOut("submodule", 1, ("sub",)),)
    assert [again.facts.symbols(path) for path in names] == [snapshot.facts.symbols(path) for path in names]


def test_nothing_is_a_commit_too() -> None:
    empty = first("c" * 40, {}, {})
    assert decode(encode(empty)) == empty
    assert (empty.facts.totals.files, empty.facts.maintainability, empty.facts.callers_of("x")) == (0, None, ())
    assert update(empty, "d", Changes()).facts.files == {}


def test_entry_points_follow_from_contents_and_from_places() -> None:
    draw = random.Random(4)
    outline = Outline(entry_points=(("script", "shop"),)).encode()
    files = {
        ".github/workflows/ci.yml": record("x.yml", draw),
        "pyproject.toml": ("b", Record(((None,) * 16), outline)),
    }
    files["pyproject.toml"] = ("b", Record(FileSummary("", "", "")[3:], outline))

    points = first("c", files, {}).facts.entry_points

    assert EntryPoint("pyproject.toml", "script", "shop") in points
    assert EntryPoint(".github/workflows/ci.yml", "workflow", "ci") in points


@pytest.mark.parametrize("count", [1, 40, 700])
def test_one_changed_file_leaves_most_outlines_untouched(count: int) -> None:
    draw = random.Random(2)
    files = {f"d/{number}.py": record("x.py", draw) for number in range(count)}
    before = first("0", files, {})

    after = update(before, "1", Changes(added={"d/0.py": record("x.py", draw)}))

    other = [one for one, two in zip(before.outlines.groups, after.outlines.groups, strict=True) if one != two]
    assert len(other) <= 1
