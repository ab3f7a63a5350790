"""What git itself knows of the commits in a mirror: their history, and what differs between them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from contexten_core.errors import GitError
from contexten_core.execution.git_names import check_object_id
from contexten_core.execution.git_process import GitProcess

_REVISION = re.compile(r"[0-9a-f]{4,64}(?:[~^][0-9]{0,6}){0,20}")
_NO_MODE = "000000"
_MOST_CHANGES = 1_000_000
_COMPARING_MEMORY_BYTES = 1024**3
_MOST_HUNKS = 2_000_000


class FileKind(StrEnum):
    """What a tree entry is, by git's own mode."""

    REGULAR = "100644"
    EXECUTABLE = "100755"
    SYMLINK = "120000"
    SUBMODULE = "160000"


@dataclass(frozen=True, slots=True)
class EntryChange:
    """An entry in which two commits differ: what it is in the newer one, or None and None when it is not there."""

    path: str
    blob_id: str | None
    mode: FileKind | None


class GitHistory:
    """The commits of one bare repository. Every method blocks."""

    url: str
    _folder: Path
    _timeout: float

    def changes(self, base: str, commit: str) -> list[EntryChange]:
        """List in which entries one fetched commit differs from another, with their paths as in `listing`.

        Raises:
            GitError: one of them is not in this mirror, or they differ in more than a million.
        """
        found = []
        arguments = ["diff-tree", "-r", "-z", "--raw", "--no-renames", "--full-index"]
        with GitProcess(
            f"comparing {commit} with {base} of {self.url}",
            [*arguments, "--end-of-options", check_object_id(base), check_object_id(commit)],
            git_dir=self._folder,
            timeout_seconds=self._timeout,
            memory_bytes=_COMPARING_MEMORY_BYTES,
        ) as process:
            records = process.records(b"\0")
            for what, path in zip(records, records, strict=False):
                _, new_mode, _, new_id, _ = what.decode("ascii").split()
                is_there = new_mode != _NO_MODE
                mode = FileKind(new_mode) if is_there else None
                found.append(EntryChange(shown_path(path), new_id if is_there else None, mode))
                if len(found) > _MOST_CHANGES:
                    raise _too_many(f"the change from {base} to {commit}", _MOST_CHANGES, "entries")
            process.finish()
        return found

    def first_parents(self, commit: str, *, limit: int) -> list[str]:
        """List a fetched commit and those before it on its own branch, newest first, as far as they are here."""
        with GitProcess(
            f"reading the history of {self.url}",
            ["rev-list", "--first-parent", f"--max-count={limit}", "--end-of-options", check_object_id(commit), "--"],
            git_dir=self._folder,
            timeout_seconds=self._timeout,
        ) as process:
            found = [check_object_id(record.decode("ascii")) for record in process.records(b"\n")]
            process.finish()
        return found

    def resolve(self, revision: str) -> str | None:
        """Return the commit that an id, or the beginning of one, with `~2` and the like behind it, leads to here."""
        if not _REVISION.fullmatch(revision):
            return None
        return self._answer(["rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"])

    def merge_base(self, commit: str, other: str) -> str | None:
        """Return where two fetched commits parted, or None when that is not in the history that is here."""
        return self._answer(["merge-base", check_object_id(commit), check_object_id(other)])

    def _answer(self, arguments: Sequence[str]) -> str | None:
        """Return the one id that git answers with, or None when it knows none."""
        try:
            with GitProcess(
                f"looking for a commit of {self.url}", arguments, git_dir=self._folder, timeout_seconds=self._timeout
            ) as process:
                found = [record.decode("ascii") for record in process.records(b"\n")]
                process.finish()
        except GitError as error:
            if error.transient:
                raise
            return None
        return check_object_id(found[0]) if found else None

    def log(self, commit: str, *, limit: int) -> Iterator[bytes]:
        r"""Yield the log of a fetched commit, newest first, as NUL-separated fields; merges are left out.

        Each commit is `\x01ID`, its author's name, its author's time in seconds since 1970, and the paths that it
        touched. Where the history was cut off, and at its very beginning, a commit touches nothing.

        Raises:
            GitError: the commit is not in this mirror.
        """
        form = "--format=%x01%H%x00%aN%x00%at"
        arguments = ["log", "-z", "--name-only", "--no-renames", "--no-merges", f"--max-count={limit}", form]
        with GitProcess(
            f"reading the history of {self.url}",
            [*arguments, "--end-of-options", check_object_id(commit), "--"],
            git_dir=self._folder,
            timeout_seconds=self._timeout,
            config=["log.showRoot=false"],
            memory_bytes=_COMPARING_MEMORY_BYTES,
        ) as process:
            yield from process.records(b"\0")
            process.finish()

    def diff(self, base: str, head: str) -> Iterator[tuple[bytes, list[bytes]]]:
        """Yield what differs between two fetched commits: `:MODE MODE ID ID STATUS` of each change, and its paths.

        A rename has two paths, the older first. The order is that of `hunks`.

        Raises:
            GitError: a commit is not in this mirror.
        """
        with self._diff_tree(["--raw", "-z", "--no-abbrev"], base, head) as process:
            header = b""
            for record in process.records(b"\0"):
                if not header:
                    header = record
                    paths: list[bytes] = []
                    continue
                paths.append(record)
                if len(paths) == 1 + (header[-4:-3] in b"RC" and header[-3:].isdigit()):
                    yield header, paths
                    header = b""
            process.finish()

    def hunks(self, base: str, head: str) -> Iterator[bytes]:
        """Yield the beginnings of the lines of the patch between two fetched commits, without context lines.

        Raises:
            GitError: a commit is not in this mirror, or the patch has more than two million hunks.
        """
        hunks = 0
        with self._diff_tree(["--patch", "--unified=0", "--no-ext-diff", "--no-textconv"], base, head) as process:
            for line in process.beginnings(b"\n", keep=200):
                process.extend()
                hunks += line.startswith(b"@@ ")
                if hunks > _MOST_HUNKS:
                    raise _too_many(f"the change from {base} to {head}", _MOST_HUNKS, "hunks")
                yield line
            process.finish()

    def _diff_tree(self, arguments: Sequence[str], base: str, head: str) -> GitProcess:
        commits = [check_object_id(base), check_object_id(head)]
        return GitProcess(
            f"comparing commits of {self.url}",
            ["diff-tree", "-r", "--find-renames", "--no-color", *arguments, "--end-of-options", *commits, "--"],
            git_dir=self._folder,
            timeout_seconds=self._timeout,
            config=["diff.renameLimit=1000"],
            memory_bytes=_COMPARING_MEMORY_BYTES,
        )

    @property
    def is_cut_off(self) -> bool:
        """Whether the history of some commit here goes back further than what was fetched."""
        return (self._folder / "shallow").exists()


def _too_many(what: str, most: int, of: str) -> GitError:
    return GitError(f"{what} has more than {most} {of}", hint="Changes of this size are not supported.")


def shown_path(path: bytes) -> str:
    r"""Return a path as text; bytes that are not UTF-8 are written as `\xNN`."""
    return path.decode("utf-8", "backslashreplace")
