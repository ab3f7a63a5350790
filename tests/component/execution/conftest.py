"""Real git repositories to fetch from."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from contexten_core.execution.git import GitMirrors, Mirror
from contexten_core.execution.sandbox import Sandbox, SandboxLevel, find_sandbox


class Origin:
    """A repository somewhere else, as its owner sees it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        finished = subprocess.run(
            ["git", *who, *arguments], cwd=self.folder, env=environment, input=stdin, capture_output=True, check=True
        )
        return finished.stdout.decode().strip()

    def commit(self, files: Mapping[str, str | bytes]) -> str:
        """Add files and return the commit."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=work")
        return self.git("rev-parse", "HEAD")

    def blob(self, content: bytes) -> str:
        return self.git("hash-object", "-w", "--stdin", stdin=content)

    def raw_tree(self, *entries: tuple[str, bytes, str]) -> str:
        """Write a tree that git itself would never make: (mode, name, object id) as they are."""
        body = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(oid) for mode, name, oid in entries)
        return self.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=body)

    def commit_tree(self, tree: str) -> str:
        commit = self.git("commit-tree", "-m", "odd", tree)
        self.git("update-ref", "refs/heads/odd", commit)
        return commit


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path / "origin")


@pytest.fixture
def mirrors(tmp_path: Path) -> GitMirrors:
    return GitMirrors(tmp_path / "mirrors", timeout_seconds=20)


@pytest.fixture
def mirror(mirrors: GitMirrors, origin: Origin) -> Mirror:
    return mirrors.open(str(origin.folder), allow_local=True)


@pytest.fixture(scope="session")
def walls() -> Sandbox:
    """The sandbox of this machine; tests that need one are skipped where there is none."""
    found = find_sandbox()
    if found.level is SandboxLevel.NONE:
        pytest.skip(f"NO SANDBOX ON THIS MACHINE: {found.reason}; {found.hint}")
    return found


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    return folder
