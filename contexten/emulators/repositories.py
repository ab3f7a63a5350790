"""The demo's two real git repositories, made so that their commit ids are the same everywhere."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contexten.emulators.demo_sources import CASHBOX, THERMOMETER, SourceCommit, SourceRepository
from contexten_core.errors import ConfigurationError, GitError

DEFAULT_BRANCH = "main"
GIT_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRepository:
    """A bare repository that can be cloned from `path`.

    Attributes:
        full_name: owner/name.
        head: newest commit of the default branch; its message is `head_message`.
        parent: the commit before `head`.
        branch: a branch that leaves from `head` and has one commit, `branch_head`, with `branch_message`.
    """

    full_name: str
    path: Path
    default_branch: str
    head: str
    parent: str
    branch: str
    branch_head: str
    head_message: str
    branch_message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRepositories:
    """The tests of `thermometer` pass; one test of `cashbox` fails, except on its branch, which mends it."""

    thermometer: DemoRepository
    cashbox: DemoRepository


def make_demo_repositories(root: Path) -> DemoRepositories:
    """Make the repositories below `root`, or reuse those that are there, also when they have grown since.

    Raises:
        ConfigurationError: something else is in the place of a repository.
        GitError: git is missing or failed.
    """
    return DemoRepositories(thermometer=_make(root, THERMOMETER), cashbox=_make(root, CASHBOX))


def _make(root: Path, source: SourceRepository) -> DemoRepository:
    path = root / f"{source.full_name}.git"
    path.parent.mkdir(parents=True, exist_ok=True)
    # Made aside and moved into place, so that a half-made repository is never found.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as scratch:
        fresh = Path(scratch) / path.name
        repository = _build(fresh, path=path, source=source)
        try:
            fresh.rename(path)
        except OSError as error:
            if not path.exists():
                raise
            _check_existing(repository, error)
    return repository


def _build(fresh: Path, *, path: Path, source: SourceRepository) -> DemoRepository:
    _git(["init", "--quiet", "--bare", "--template=", f"--initial-branch={DEFAULT_BRANCH}", str(fresh)])
    _git([f"--git-dir={fresh}", "fast-import", "--quiet"], stdin=_import_stream(source))
    revisions = [DEFAULT_BRANCH, f"{DEFAULT_BRANCH}~1", source.branch]
    head, parent, branch_head = _git([f"--git-dir={fresh}", "rev-parse", *revisions]).split()
    return DemoRepository(
        full_name=source.full_name,
        path=path,
        default_branch=DEFAULT_BRANCH,
        head=head,
        parent=parent,
        branch=source.branch,
        branch_head=branch_head,
        head_message=source.head.message,
        branch_message=source.branch_head.message,
    )


def _check_existing(repository: DemoRepository, cause: OSError) -> None:
    commits = {repository.head, repository.parent, repository.branch_head}
    try:
        found = _git([f"--git-dir={repository.path}", "rev-list", "--branches", "--max-count=10000"])
    except GitError as error:
        raise _in_the_way(repository) from error
    if not commits <= set(found.split()):
        raise _in_the_way(repository) from cause


def _in_the_way(repository: DemoRepository) -> ConfigurationError:
    return ConfigurationError(
        f"{repository.path} is in the way of the demo repository {repository.full_name}.",
        hint="Remove it, or let the demo use another folder.",
    )


def _import_stream(source: SourceRepository) -> bytes:
    """Write the repository in the language of `git fast-import`: one process, and no identity or clock needed."""
    commits = [(DEFAULT_BRANCH, source.first), (DEFAULT_BRANCH, source.head), (source.branch, source.branch_head)]
    stream = b""
    for mark, (branch, commit) in enumerate(commits, start=1):
        stream += _import_commit(commit, branch=branch, mark=mark)
    return stream + b"done\n"


def _import_commit(commit: SourceCommit, *, branch: str, mark: int) -> bytes:
    address = f"{commit.author.split()[0].lower()}@acme.example"
    stream = f"commit refs/heads/{branch}\nmark :{mark}\n"
    stream += f"committer {commit.author} <{address}> {commit.seconds} +0000\n"
    lines = [stream.encode(), _import_data(commit.message)]
    if mark > 1:
        lines.append(f"from :{mark - 1}\n".encode())
    for name, text in sorted(commit.files.items()):
        lines += [f"M 100644 inline {name}\n".encode(), _import_data(text)]
    return b"".join(lines)


def _import_data(text: str) -> bytes:
    content = text.encode()
    return b"data %d\n%b\n" % (len(content), content)


def _git(arguments: Sequence[str], *, stdin: bytes = b"") -> str:
    program = shutil.which("git")
    if program is None:
        raise GitError("The git command was not found.", hint="Install git (Debian: apt-get install git).")
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_DEFAULT_HASH": "sha1",
        "GIT_TERMINAL_PROMPT": "0",
    }
    try:
        finished = subprocess.run(
            [program, *arguments], input=stdin, capture_output=True, env=environment, timeout=GIT_SECONDS, check=True
        )
    except subprocess.TimeoutExpired as error:
        raise GitError(f"git {arguments[0]} took longer than {GIT_SECONDS} s.", transient=True) from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode("utf-8", "replace").strip()[-2000:]
        raise GitError(f"git {' '.join(arguments)} failed: {reason}") from error
    return finished.stdout.decode("utf-8", "replace")
