"""A folder analysed where it is: without a database, and without a copy of its objects."""

import os
import subprocess
from pathlib import Path

import pytest

from contexten_core.codebase.local import LocalCodebase
from contexten_core.codebase.whole import NO_COMMIT, facts_of_commit
from contexten_core.errors import GitError
from contexten_core.execution.git import GitMirrors


class Repository:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "protocol.file.allow=always"]
        command = ["git", *who, *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, check=True, text=True
        ).stdout.strip()

    def commit(self, **files: str) -> str:
        for name, content in files.items():
            (self.folder / f"{name}.py").write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=work")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "shop")


def test_it_is_what_a_mirror_tells(repository: Repository, tmp_path: Path) -> None:
    repository.commit(tax="import shop\n\ndef rate(order):\n    return 7 if order else 19\n", shop="x = 1\n")
    commit = repository.commit(tax="import shop\n\ndef rate(order):\n    return shop.x\n")
    codebase = LocalCodebase(str(repository.folder), tmp_path / "kept")

    first = codebase.analyse("HEAD~1")
    found = codebase.analyse()

    mirror = GitMirrors(tmp_path / "mirrors").open(str(repository.folder), allow_local=True)
    mirror.fetch(commit)
    assert first.analysis.facts.totals.functions == 1
    assert found.analysis.facts == facts_of_commit(mirror, commit)
    assert found.analysis.surroundings.history.commits == 2
    assert set(found.shown) == {"tax.py", "shop.py"}
    assert b'"complexity":1' in found.shown["tax.py"]


def test_what_was_found_out_is_kept(repository: Repository, tmp_path: Path) -> None:
    commit = repository.commit(a="def f(): pass\n", b="def g(): pass\n")
    read: list[int] = []

    def codebase() -> LocalCodebase:
        return LocalCodebase(str(repository.folder), tmp_path, progress=lambda _done, total: read.append(total))

    first = codebase().analyse()
    read.clear()
    again = codebase().analyse(commit[:8])
    assert (again.shown, again.analysis.facts) == (first.shown, first.analysis.facts)
    assert set(read) == {0}
    (kept,) = tmp_path.glob("facts-*.db")
    kept.write_bytes(b"damaged" * 1000)
    assert codebase().analyse().shown == first.shown


def test_worktrees_and_shallow_clones_have_objects_too(repository: Repository, tmp_path: Path) -> None:
    repository.commit(a="x = 1\n")
    repository.commit(a="x = 2\n")
    repository.git("worktree", "add", "--quiet", str(tmp_path / "tree"))
    repository.git("clone", "--quiet", "--depth=1", repository.folder.as_uri(), str(tmp_path / "clone"))

    tree = LocalCodebase(str(tmp_path / "tree"), tmp_path / "kept").analyse().analysis
    clone = LocalCodebase(str(tmp_path / "clone"), tmp_path / "kept").analyse().analysis

    assert tree.facts == clone.facts
    assert (tree.surroundings.history.is_whole, clone.surroundings.history.is_whole) == (True, False)


def test_a_commit_that_is_not_there(repository: Repository, tmp_path: Path) -> None:
    codebase = LocalCodebase(str(repository.folder), tmp_path)
    assert codebase.analyse().analysis.facts.commit == NO_COMMIT
    repository.commit(a="x = 1\n")
    for revision in ("HEAD~1", "1234567", "a" * 40, "nowhere"):
        with pytest.raises(GitError):
            codebase.analyse(revision)
