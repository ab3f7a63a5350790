"""What a change does to files, read from real commits."""

import os
import subprocess
from pathlib import Path

import pytest

from contexten_core.codebase.diff import ChangeKind, FileChange, read_diff
from contexten_core.execution.git import GitMirrors, Mirror


class Repository:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        finished = subprocess.run(
            ["git", *who, *arguments], cwd=self.folder, env=environment, capture_output=True, check=True
        )
        return finished.stdout.decode().strip()

    def commit(self, files: dict[str, str | None]) -> str:
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_symlink() or content is None:
                path.unlink()
            if content is not None:
                path.write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=work", "--allow-empty")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "origin")


@pytest.fixture
def mirror(repository: Repository, tmp_path: Path) -> Mirror:
    return GitMirrors(tmp_path / "mirrors", timeout_seconds=20).open(str(repository.folder), allow_local=True)


def changes(mirror: Mirror, base: str, head: str) -> list[FileChange]:
    mirror.fetch(base)
    mirror.fetch(head)
    return list(read_diff(mirror, base, head).files)


TEN = "".join(f"line {number}\n" for number in range(1, 11))


def test_lines_that_differ_are_known_on_both_sides(repository: Repository, mirror: Mirror) -> None:
    base = repository.commit({"a.txt": TEN})
    changed = TEN.replace("line 2\n", "two\nand a half\n").replace("line 7\nline 8\n", "") + "line 11\n"
    head = repository.commit({"a.txt": changed})

    (change,) = changes(mirror, base, head)

    assert change == FileChange(
        path="a.txt",
        old_path="a.txt",
        kind=ChangeKind.MODIFIED,
        lines=((2, 3), (7, 8), (10, 10)),
        old_lines=((2, 2), (7, 8)),
        added=3,
        removed=3,
    )


def test_files_come_go_and_are_renamed(repository: Repository, mirror: Mirror) -> None:
    base = repository.commit({"old name.txt": TEN, "gone.txt": "a\nb\n", "same.txt": "s"})
    head = repository.commit({"old name.txt": None, "new\nname.txt": TEN + "more\n", "gone.txt": None, "new.py": "x\n"})

    found = {change.path: change for change in changes(mirror, base, head)}

    assert found["gone.txt"] == FileChange("gone.txt", "gone.txt", ChangeKind.REMOVED, (), ((1, 2),), 0, 2)
    assert found["new.py"] == FileChange("new.py", None, ChangeKind.ADDED, ((1, 1),), (), 1, 0)
    renamed = found["new\nname.txt"]
    assert (renamed.old_path, renamed.kind, renamed.lines) == ("old name.txt", ChangeKind.RENAMED, ((11, 11),))
    assert set(found) == {"gone.txt", "new.py", "new\nname.txt"}


def test_files_beyond_the_limit_are_counted(repository: Repository, mirror: Mirror) -> None:
    base = repository.commit({"a": "1"})
    head = repository.commit({"b": "1", "c": "1", "d": "1"})
    changes(mirror, base, head)

    diff = read_diff(mirror, base, head, limit=2)

    assert ([change.path for change in diff.files], diff.left_out) == (["b", "c"], 1)


def test_contents_never_pass_for_headers(repository: Repository, mirror: Mirror) -> None:
    hostile = "diff --git a/x b/x\n@@ -1,5 +1,5 @@\n"
    base = repository.commit({"a.txt": "1\n", "b.txt": "1\n", "c.bin": "\0"})
    head = repository.commit({"a.txt": hostile, "b.txt": "2\n", "c.bin": "\0\0", "long.js": "x" * 300_000})

    found = changes(mirror, base, head)

    assert [(change.path, change.lines) for change in found] == [
        ("a.txt", ((1, 2),)),
        ("b.txt", ((1, 1),)),
        ("c.bin", ()),
        ("long.js", ((1, 1),)),
    ]


def test_a_file_that_becomes_a_link_does_not_shift_the_others(repository: Repository, mirror: Mirror) -> None:
    base = repository.commit({"a": "text\n", "b": "1\n"})
    (repository.folder / "a").unlink()
    (repository.folder / "a").symlink_to("b")
    head = repository.commit({"b": "1\n2\n"})

    assert [(change.path, change.lines) for change in changes(mirror, base, head)][-1] == ("b", ((2, 2),))


def test_the_same_commit_differs_in_nothing(repository: Repository, mirror: Mirror) -> None:
    base = repository.commit({"a": "1"})

    assert changes(mirror, base, base) == []
