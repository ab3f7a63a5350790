"""Real git repositories to fetch from."""

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from contexten_core.errors import GitError
from contexten_core.execution.git import GitMirrors, Mirror
from contexten_core.execution.sandbox import Sandbox, SandboxLevel, find_sandbox
from contexten_core.security.text import one_line


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


class Canary:
    """A program that must never run, in surroundings where nothing may be written but mirrors and checkouts."""

    _WRITTEN = frozenset({"mirrors", "borrowed", "checkouts", "canary-ran"})
    _TEMPTING = "ssh", "less", "vi", "gpg", "git-lfs", "git-remote-canary"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ran = folder / "canary-ran"
        self.checkouts = folder / "checkouts"
        self.outside = folder / "outside"
        self.home = folder / "home"
        self.program = folder / "bin" / "canary"
        for place in (self.checkouts, self.outside, self.home, self.program.parent, folder / "cwd", folder / "tmp"):
            place.mkdir()
        self.program.write_text(f'#!/bin/sh\necho "$0 $*" >> {self._ran}\ncat\n')
        self.program.chmod(0o755)
        for name in self._TEMPTING:
            self.program.with_name(name).symlink_to(self.program)
        (self.outside / "precious").write_text("precious")

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Fail when inside the block the program has run, or anything outside of mirrors and checkouts has changed."""
        before = self._everything()
        yield
        assert not self._ran.exists(), self._ran.read_text()
        assert self._everything() == before

    def visit(self, mirror: Mirror, commit: str, base: str) -> dict[str, GitError]:
        """Do with a commit all that can be done, and return what did not work."""
        checkout = self.checkouts / f"{type(mirror).__name__}-{commit[:8]}"
        failed: dict[str, GitError] = {}
        for name, use in self._uses(mirror, commit, base, checkout).items():
            try:
                use()
            except GitError as error:
                failed[name] = error
        for why in failed.values():
            assert why.message == one_line(why.message, len(why.message))
            assert why.hint
            assert not why.transient, "it must not hang, and trying it again cannot help"
        self._check_checkout(checkout)
        return failed

    def _uses(self, mirror: Mirror, commit: str, base: str, checkout: Path) -> dict[str, Callable[[], object]]:
        return {
            "fetch base": lambda: mirror.fetch(base, "main"),
            "fetch": lambda: mirror.fetch(commit),
            "head": mirror.head,
            "tree": lambda: mirror.tree(commit),
            "listing": lambda: mirror.listing(commit, limit=5),
            "read": lambda: list(mirror.read(entry.blob_id for entry in mirror.files(commit))),
            "log": lambda: list(mirror.log(commit, limit=10)),
            "changes": lambda: mirror.changes(base, commit),
            "diff": lambda: list(mirror.diff(base, commit)),
            "hunks": lambda: list(mirror.hunks(base, commit)),
            "checkout": lambda: mirror.checkout(commit, checkout),
        }

    def _check_checkout(self, checkout: Path) -> None:
        if not checkout.exists():
            return
        inside = os.fsencode(checkout.resolve())
        for folder, folders, files in os.walk(os.fsencode(checkout)):
            for name in (*folders, *files):
                assert name.lower() != b".git"
                path = os.path.join(folder, name)  # noqa: PTH118 - names that are not UTF-8
                assert not os.path.islink(path) or os.path.realpath(path).startswith(inside)  # noqa: PTH114

    def _everything(self) -> dict[str, bytes | str | None]:
        found: dict[str, bytes | str | None] = {}
        for folder, folders, files in os.walk(self._folder):
            if folder == str(self._folder):
                folders[:] = [name for name in folders if name not in self._WRITTEN]
            for path in (Path(folder) / name for name in (*folders, *files)):
                if path.is_symlink():
                    found[str(path)] = str(path.readlink())
                else:
                    found[str(path)] = path.read_bytes() if path.is_file() else None
        return found


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Canary:
    """The canary; first on PATH, and the service's home, working and temporary folders lie beside it."""
    made = Canary(tmp_path)
    monkeypatch.setenv("PATH", f"{made.program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(made.home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(made.home / ".config"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.chdir(tmp_path / "cwd")
    return made
