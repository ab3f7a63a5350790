"""Facts of commits of real repositories, the odd ones among them."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from contexten_core.codebase.commit import CommitFacts, LeftOut
from contexten_core.codebase.entry_points import EntryPoint
from contexten_core.codebase.facts import Note
from contexten_core.codebase.whole import (
    NO_COMMIT,
    SUBMODULE,
    SYMLINK,
    UNBORN,
    Limits,
    facts_of_commit,
    newest_commit,
)
from contexten_core.errors import GitError
from contexten_core.execution.git import GitMirrors, Mirror

SHOP = {
    "shop/__init__.py": "",
    "shop/order.py": "from .tax import rate\n\n\nclass Order:\n    def total(self):\n        return rate(self)\n",
    "shop/tax.py": "from . import order\n\n\ndef rate(order):\n    return 7 if order else 0\n",
    "pyproject.toml": "[project.scripts]\nshop = 'shop:main'\n",
    "web/app.js": "import {show} from './page'\nimport react from 'react'\nshow()\n",
    "web/page.js": "export function show() { }\n",
}


class Origin:
    """A repository somewhere else, and our mirror of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "origin"
        self.folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.mirror: Mirror = GitMirrors(folder / "mirrors").open(str(self.folder), allow_local=True)

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        done = subprocess.run(
            ["git", *who, *arguments], cwd=self.folder, env=environment, input=stdin, capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    def commit(self, files: Mapping[Any, str | bytes]) -> str:
        """Add files, have the mirror fetch the commit, and return it."""
        for name, content in files.items():
            path = self.folder / os.fsdecode(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.git("add", "--all")
        return self.committed()

    def committed(self) -> str:
        self.git("commit", "--quiet", "--allow-empty", "--message=work")
        commit = self.git("rev-parse", "HEAD")
        self.mirror.fetch(commit)
        return commit


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> CommitFacts:
    origin = Origin(tmp_path_factory.mktemp("shop"))
    return facts_of_commit(origin.mirror, origin.commit(SHOP))


def test_totals_and_files(shop: CommitFacts) -> None:
    assert list(shop.files) == sorted(SHOP)
    assert (shop.totals.files, shop.totals.functions, shop.totals.classes) == (6, 3, 1)
    assert shop.totals.primary_language == "Python"
    assert shop.files["shop/tax.py"].complexity == 2
    assert shop.maintainability is not None
    assert 60 < shop.maintainability < 100


def test_modules_and_cycles(shop: CommitFacts) -> None:
    assert shop.imports_of("shop/order.py") == ("shop/tax.py",)
    assert shop.importers_of("shop/order.py") == ("shop/tax.py",)
    assert shop.imports_of("web/app.js") == ("web/page.js",)
    assert shop.modules.external == {"web/app.js": ("react",)}
    assert shop.modules.cycles == (("shop/order.py", "shop/tax.py"),)
    assert shop.written_imports("shop/tax.py") == ((".", ("order",)),)


def test_calls_and_entry_points(shop: CommitFacts) -> None:
    (call,) = shop.callers_of("rate", "shop/tax.py")
    assert (call.path, call.caller, call.confidence) == ("shop/order.py", "Order.total", 1.0)
    assert [symbol.name for symbol in shop.search("tot")] == ["Order.total"]
    assert shop.entry_points == (EntryPoint("pyproject.toml", "script", "shop"),)


def test_a_commit_without_files(origin: Origin) -> None:
    facts = facts_of_commit(origin.mirror, origin.commit({}))
    assert (facts.totals.files, facts.files, facts.left_out, facts.maintainability) == (0, {}, (), None)


def test_a_repository_without_a_commit(origin: Origin) -> None:
    assert newest_commit(origin.mirror) == NO_COMMIT
    facts = facts_of_commit(origin.mirror, NO_COMMIT)
    assert (facts.totals.files, facts.left_out) == (0, (LeftOut(UNBORN, 0),))
    with pytest.raises(GitError):
        newest_commit(origin.mirror, "no-such-branch")


def test_names_of_every_kind(origin: Origin) -> None:
    names = [b"line\nbreak.py", b'quo"te.py', b"latin-\xe9.py", b"latin-\xe8.py", "ünï.py".encode(), b"--option.py"]
    names += [b"tab\t.py", b"sp ace.py", b"back\\slash.py", b"\xf0\x9f\x90\x8d.py"]

    facts = facts_of_commit(origin.mirror, origin.commit(dict.fromkeys(names, "def f(): ...\n")))

    assert facts.totals.functions == len(facts.files) == len(names)
    assert {"latin-\\xe9.py", "latin-\\xe8.py", "line\nbreak.py"} <= set(facts.files)
    assert len(facts.symbols_named("f")) == len(names)


def test_what_is_no_file_is_left_out_and_said_to_be(origin: Origin) -> None:
    commit = origin.commit({"a.py": "x = 1\n"})
    for number in range(2):
        (origin.folder / f"link{number}").symlink_to("a.py")
    (origin.folder / "nowhere").symlink_to("/does/not/exist")
    origin.git("add", "--all")
    origin.git("update-index", "--add", "--cacheinfo", f"160000,{commit},library")

    facts = facts_of_commit(origin.mirror, origin.committed())

    assert list(facts.files) == ["a.py"]
    assert facts.left_out == (
        LeftOut(SUBMODULE, 1, ("library",)),
        LeftOut(SYMLINK, 3, ("link0", "link1", "nowhere")),
    )


def test_contents_of_every_kind(origin: Origin) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12345\n"
    contents: dict[str, str | bytes] = {
        "broken.py": "def f(:\n  ((\n",
        "binary.py": b"\x00\x01\x02",
        "latin.py": b"# caf\xe9\nx = 1\n",
        "long.js": "x=" + "1+" * 800_000 + "1",
        "lfs.bin": pointer,
        "empty.py": "",
        "huge.py": "#" * 3_000,
    }

    facts = facts_of_commit(origin.mirror, origin.commit(contents), limits=Limits(file_bytes=4_000_000))

    assert set(facts.files) == set(contents)
    assert Note.NOT_UNDERSTOOD in (facts.files["broken.py"].note or "")
    assert facts.files["binary.py"].note == Note.BINARY
    assert Note.TOO_LARGE in (facts.files["long.js"].note or "")
    assert facts.totals.notes


def test_limits_leave_out_the_rest_and_say_so(origin: Origin) -> None:
    commit = origin.commit({f"{number}.py": "x = 1\n" * 10 for number in range(9)} | {"large.py": "x" * 500})

    few = facts_of_commit(origin.mirror, commit, limits=Limits(files=4))
    small = facts_of_commit(origin.mirror, commit, limits=Limits(bytes=200))
    short = facts_of_commit(origin.mirror, commit, limits=Limits(file_bytes=100))
    hasty = facts_of_commit(origin.mirror, commit, limits=Limits(seconds=-1))

    assert (len(few.files), few.left_out) == (4, (LeftOut("beyond the first 4 entries", 6),))
    assert (len(small.files), small.left_out) == (3, (LeftOut("beyond the first 200 bytes", 7),))
    assert (len(short.files), short.left_out) == (9, (LeftOut("larger than 100 bytes", 1, ("large.py",)),))
    # Nine files have one content, which is the first to be read.
    assert (len(hasty.files), hasty.left_out) == (9, (LeftOut("not read within -1 seconds", 1),))


def test_many_files_take_worker_processes_and_progress_is_told(origin: Origin) -> None:
    told: list[tuple[int, int]] = []
    commit = origin.commit({f"d{number % 7}/{number}.py": f"def f{number}(): ...\n" for number in range(250)})

    facts = facts_of_commit(origin.mirror, commit, progress=lambda done, total: told.append((done, total)))

    assert facts.totals.functions == 250
    assert told == sorted(told)
    assert told[-1] == (250, 250)


def test_a_shallow_clone(origin: Origin, tmp_path: Path) -> None:
    origin.commit({"a.py": "x = 1\n"})
    origin.commit({"b.py": "y = 1\n"})
    shallow = tmp_path / "shallow"
    origin.git("clone", "--quiet", "--depth=1", f"file://{origin.folder}", str(shallow))
    mirror = GitMirrors(tmp_path / "others").open(str(shallow), allow_local=True)
    mirror.fetch(mirror.head())

    assert list(facts_of_commit(mirror, mirror.head()).files) == ["a.py", "b.py"]
