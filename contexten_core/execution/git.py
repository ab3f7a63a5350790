"""Mirrors: the service's own bare copies of repositories, and the commits read from them.

A mirror holds single commits with the newest part of their history, each under `refs/contexten/`. Nothing here runs git
inside a folder that somebody else has written.
"""

import os
import secrets
import tempfile
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from contexten_core.errors import GitError
from contexten_core.errors.breaker import BREAKERS, BreakerOpenError, DependencyKind
from contexten_core.execution.file_lock import file_lock
from contexten_core.execution.git_contents import Content, Contents
from contexten_core.execution.git_errors import UnadvertisedError, UnknownRefError
from contexten_core.execution.git_history import FileKind, GitHistory, shown_path
from contexten_core.execution.git_names import Source, Transport, check_object_id, full_ref_names, parse_source
from contexten_core.execution.git_process import GitProcess, run_git
from contexten_core.execution.trees import confine_links, remove_tree
from contexten_core.faults import outside_of_loop

_LOCAL_CONFIG = Path(__file__).with_name("local_sources.gitconfig")
_MAX_ENTRIES = 300_000
_MAX_COUNTED = 3_000_000
INDEX_PREFIX = "index-"
"""How temporary folders beside the mirrors begin."""

_WHOLE_HISTORY = 2**31 - 1
HISTORY_DEPTH = 300
"""Generations of commits that are fetched with one, for what their history says of its files."""

_PASSED_ON = (
    *("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "SSH_AUTH_SOCK"),
)


@dataclass(frozen=True, slots=True)
class BlobEntry:
    """One file of a commit.

    Attributes:
        path: relative, with `/`; what is not UTF-8 in it is replaced by U+FFFD, and line breaks stay.
        blob_id: the id of the content; of the commit for a submodule.
        size: bytes; 0 for a submodule.
        mode: what kind of entry it is.
    """

    path: str
    blob_id: str
    size: int
    mode: FileKind


@dataclass(frozen=True, slots=True)
class _RawEntry:
    path: bytes
    blob_id: str
    size: int
    mode: FileKind


@dataclass(frozen=True, slots=True)
class _Authorization:
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


class GitMirrors:
    """All mirrors below one folder, which the service owns and nobody else writes to.

    Args:
        root: the folder; made when it is first needed.
        timeout_seconds: how long one git call, or one wait for another's fetch, may take.
        history_depth: generations of commits that are fetched with one.
    """

    def __init__(self, root: Path, *, timeout_seconds: float = 120, history_depth: int = HISTORY_DEPTH) -> None:
        self._root = root.absolute()
        self._timeout = timeout_seconds
        self._history_depth = history_depth
        self._contents = Contents()

    def open(self, clone_url: str, token: str | None = None, *, allow_local: bool = False) -> "Mirror":
        """Return the mirror of a repository. Touches neither the disk nor the network.

        Args:
            clone_url: https, `ssh://` or `user@host:path`.
            token: sent to an https server with each call that goes there; kept nowhere but in the returned object.
            allow_local: also accept absolute paths, `file:` URLs and http to this machine itself.

        Raises:
            GitError: the URL or the token is not acceptable.
        """
        source = parse_source(clone_url, allow_local=allow_local)
        return Mirror(
            self._root,
            source,
            _authorization(source, token),
            timeout_seconds=self._timeout,
            history_depth=self._history_depth,
            contents=self._contents,
        )


def mirror_name(url: str) -> str:
    """Return what the mirror of a `Mirror.url` is called in the folder of all mirrors."""
    return sha256(url.encode()).hexdigest()[:40]


def lock_of(root: Path, name: str) -> Path:
    """Return the file that locks a mirror; it was last modified when the mirror was last used."""
    return root / f"{name}.lock"


class Mirror(GitHistory):
    """One repository's mirror. Every method blocks; any number of threads and processes may use one mirror."""

    def __init__(
        self,
        root: Path,
        source: Source,
        authorization: _Authorization,
        *,
        timeout_seconds: float,
        history_depth: int,
        contents: Contents | None = None,
    ) -> None:
        self.url = source.url
        self._root = root
        self._name = mirror_name(source.url)
        self._folder = root / self._name
        self._source = source
        self._authorization = authorization
        self._timeout = timeout_seconds
        self._history_depth = history_depth
        self._contents = contents or Contents()

    def head(self, ref: str = "HEAD") -> str:
        """Ask the repository which commit a branch, tag or full ref name points to now.

        Raises:
            UnknownRefError: there is no such ref; of HEAD, that its branch has no commit yet.
            GitError: the repository cannot be reached.
        """
        names = full_ref_names(ref)
        # A tag's own object is not a commit; what it points to is listed with ^{} behind the name.
        wanted = [variant for name in names for variant in (f"{name}^{{}}", name)]
        found: dict[str, str] = {}
        with self._remote_call(["ls-remote", "--quiet", "--end-of-options", self.url, *wanted]) as process:
            for record in process.records(b"\n"):
                object_id, _, name = record.decode("utf-8", "replace").partition("\t")
                if name in wanted:
                    found[name] = check_object_id(object_id)
            process.finish()
        for name in wanted:
            if name in found:
                return found[name]
        raise UnknownRefError(f"{self.url} has no ref {ref}", hint="Check the name of the branch or tag.")

    def fetch(self, commit: str, ref: str | None = None) -> None:
        """Make one commit, with HISTORY_DEPTH generations, present in the mirror. Does nothing when it is there.

        Args:
            commit: the full commit id.
            ref: where the commit should be found if the server does not give out commits by id.

        Raises:
            GitError: transient for network trouble; otherwise the commit, the repository or the access is wrong.
        """
        commit = check_object_id(commit)
        names = full_ref_names(ref) if ref is not None else ()
        # Before the look, so that whoever removes what is not used sees either this or that it is still there.
        self._note_use()
        if self._has(commit):
            return
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with file_lock(
            lock_of(self._root, self._name), what=f"the mirror of {self.url}", timeout_seconds=self._timeout
        ) as lock:
            if self._has(commit):
                return
            self._note_use()
            self._create(object_format="sha1" if len(commit) == 40 else "sha256")  # noqa: PLR2004 - hexadecimal digits
            self._remove_leftovers()
            self._fetch(commit, names, lock)

    def tree(self, commit: str) -> list[BlobEntry]:
        """List every entry of a fetched commit, symbolic links and submodules too, in git's order."""
        return [
            BlobEntry(entry.path.decode("utf-8", "replace"), entry.blob_id, entry.size, entry.mode)
            for entry in self._entries(commit)
        ]

    def files(self, commit: str) -> list[BlobEntry]:
        """List the regular files of a fetched commit, in git's order; see `tree` for the rest."""
        return [entry for entry in self.tree(commit) if entry.mode in {FileKind.REGULAR, FileKind.EXECUTABLE}]

    def listing(self, commit: str, *, limit: int) -> tuple[list[BlobEntry], int]:
        r"""List the entries of a fetched commit, in git's order: the first ones up to a limit, and how many more.

        Three million more are counted at most, since a few objects can stand for any number. Paths that are not UTF-8
        keep apart: their odd bytes are written as `\xNN`.
        """
        entries: list[BlobEntry] = []
        more = 0
        for record in self._tree_records(commit):
            if len(entries) < limit:
                entry = self._parse_entry(record)
                entries.append(BlobEntry(shown_path(entry.path), entry.blob_id, entry.size, entry.mode))
            elif more < _MAX_COUNTED:
                more += 1
            else:
                break
        return entries, more

    def read(self, blob_ids: Iterable[str], *, max_bytes: int = 8 * 1024**2) -> Iterator[tuple[str, bytes]]:
        """Yield the content of each distinct blob, in the order given, with one git process.

        Blobs of more than `max_bytes` are left out. Close the iterator, or use it up, to end the process.

        Raises:
            GitError: an id is malformed, or no blob of this mirror.
        """
        wanted = list(dict.fromkeys(check_object_id(blob_id) for blob_id in blob_ids))
        if not wanted:
            return
        with tempfile.TemporaryFile() as requests:
            requests.write("".join(f"{blob_id}\n" for blob_id in wanted).encode())
            requests.seek(0)
            with GitProcess(
                f"reading files of {self.url}",
                ["cat-file", "--batch", "--buffer"],
                git_dir=self._folder,
                timeout_seconds=self._timeout,
                stdin=requests,
            ) as process:
                for blob_id in wanted:
                    process.extend()
                    answer = process.read_line().split(" ")
                    if len(answer) != 3 or answer[1] != "blob":  # noqa: PLR2004 - id, type, size
                        raise GitError(f"{self.url} has no file content {blob_id}", hint="Fetch its commit first.")
                    size = int(answer[2])
                    content = process.read(size, keep=size <= max_bytes)
                    process.read(1, keep=False)
                    if size <= max_bytes:
                        yield blob_id, content
                process.finish()

    def checkout(self, commit: str, destination: Path, *, max_bytes: int = 4 * 1024**3) -> None:
        """Write the files of a fetched commit, and nothing of git's own, into a new folder.

        Symbolic links that lead out of the folder become plain files that hold the link's text. Submodules become
        empty folders. Attributes apply as in any checkout (line endings, say), except filters: none is ever run.

        Args:
            commit: the full commit id.
            destination: must not exist, its parent must.
            max_bytes: how large the commit may be.

        Raises:
            GitError: the commit is not in the mirror, is too large, or has names that git refuses to write.
        """
        commit = check_object_id(commit)
        content = self._content(commit)
        if content.size > max_bytes:
            raise GitError(
                f"commit {commit} of {self.url} has {content.size} bytes, more than the {max_bytes} allowed",
                hint="Raise the limit, or keep large files out of the repository.",
            )
        destination = destination.absolute()
        try:
            destination.mkdir(mode=0o700)
        except OSError as error:
            raise GitError(
                f"the checkout folder {destination} cannot be made: {error.strerror}",
                hint="Name a folder that does not exist yet, in one that does.",
            ) from error
        try:
            self._write_files(commit, destination)
            confine_links(destination, content.links)
        except BaseException as error:
            remove_tree(destination)
            if isinstance(error, OSError):
                raise GitError(
                    f"commit {commit} of {self.url} cannot be checked out: {os.strerror(error.errno or 0)}",
                    hint="Free disk space, or shorten the paths of its symbolic links.",
                ) from error
            raise

    def _content(self, commit: str) -> Content:
        known = self._contents.get(self._name, commit)
        if known is not None and self._has(commit):
            self._note_use()
            return known
        size, links = 0, list[bytes]()
        for entry in self._entries(commit):
            size += entry.size
            if entry.mode is FileKind.SYMLINK:
                links.append(entry.path)
        content = Content(size, tuple(links))
        self._contents.keep(self._name, commit, content)
        return content

    def _write_files(self, commit: str, destination: Path) -> None:
        what = f"checking out {commit} of {self.url}"
        with tempfile.TemporaryDirectory(prefix=INDEX_PREFIX, dir=self._root) as folder:
            run_git(
                what,
                [f"--work-tree={destination}", "read-tree", "--reset", "-u", commit],
                git_dir=self._folder,
                timeout_seconds=self._timeout,
                environment={"GIT_INDEX_FILE": str(Path(folder) / "index")},
            )

    def _entries(self, commit: str) -> Iterator[_RawEntry]:
        for number, record in enumerate(self._tree_records(commit)):
            if number >= _MAX_ENTRIES:
                raise GitError(
                    f"commit {commit} of {self.url} has more than {_MAX_ENTRIES} files",
                    hint="Repositories of this size are not supported.",
                )
            yield self._parse_entry(record)

    def _tree_records(self, commit: str) -> Iterator[bytes]:
        commit = check_object_id(commit)
        if not self._has(commit):
            raise GitError(f"commit {commit} of {self.url} has not been fetched", hint="Fetch it first.")
        self._note_use()
        with GitProcess(
            f"listing the files of {commit} of {self.url}",
            ["ls-tree", "-r", "-z", "-l", "--full-tree", commit],
            git_dir=self._folder,
            timeout_seconds=self._timeout,
        ) as process:
            yield from process.records(b"\0")
            process.finish()

    def _parse_entry(self, record: bytes) -> _RawEntry:
        facts, _, path = record.partition(b"\t")
        mode, _, object_id, size = facts.decode("ascii").split()
        if size == "BAD":
            raise GitError(
                f"{self.url} lacks the content {object_id}",
                hint="It was cloned without all of its objects; `git fetch --refetch` gets the rest.",
            )
        return _RawEntry(path, object_id, 0 if size == "-" else int(size), FileKind(mode))

    def _note_use(self) -> None:
        with suppress(FileNotFoundError):
            os.utime(lock_of(self._root, self._name))

    def _has(self, commit: str) -> bool:
        # Git writes this ref only once everything the commit needs has arrived.
        try:
            return (self._folder / _own_ref(commit)).read_text("ascii", "replace").strip() == commit
        except FileNotFoundError:
            return False

    def _create(self, *, object_format: str) -> None:
        if self._folder.is_dir():
            return
        for half_made in self._root.glob(f"{self._name}.new-*"):
            remove_tree(half_made)
        new = self._root / f"{self._name}.new-{secrets.token_hex(4)}"
        try:
            run_git(
                f"making a mirror of {self.url}",
                ["init", "--bare", "--quiet", "--template=", f"--object-format={object_format}"],
                git_dir=new,
                timeout_seconds=self._timeout,
            )
            new.rename(self._folder)
        finally:
            remove_tree(new)

    def _remove_leftovers(self) -> None:
        # We hold the mirror's lock, so these belong to a git that was killed; git itself would stumble over them.
        for pattern in ("*.lock", "refs/**/*.lock", "objects/pack/tmp_*", "objects/??/tmp_obj_*"):
            for leftover in self._folder.glob(pattern):
                leftover.unlink(missing_ok=True)

    def _fetch(self, commit: str, names: Sequence[str], lock: int) -> None:
        try:
            self._fetch_refs([f"+{commit}:{_own_ref(commit)}"], depth=self._history_depth, lock=lock)
        except UnadvertisedError:
            self._fetch_through_refs(commit, names, lock)

    def _fetch_through_refs(self, commit: str, names: Sequence[str], lock: int) -> None:
        named = [[f"+{name}:refs/fetched/named"] for name in names]
        everything = ["+refs/heads/*:refs/fetched/heads/*", "+refs/pull/*/head:refs/fetched/pull/*"]
        for refspecs in (*named, everything):
            try:
                self._fetch_refs(refspecs, depth=_WHOLE_HISTORY, lock=lock)
            except UnknownRefError:
                continue
            if self._is_reachable(commit):
                self._git(["update-ref", _own_ref(commit), commit])
                return
        raise GitError(
            f"{self.url} does not give out commit {commit}, and no branch or pull request leads to it",
            hint="The commit may have been force-pushed away.",
        )

    def _is_reachable(self, commit: str) -> bool:
        try:
            self._git(["rev-list", "--quiet", "--objects", commit, "--not", "--glob=refs/fetched/*"])
        except GitError as error:
            if error.transient:
                raise
            return False
        return True

    def _git(self, arguments: Sequence[str]) -> None:
        run_git(
            f"git {arguments[0]} in the mirror of {self.url}",
            arguments,
            git_dir=self._folder,
            timeout_seconds=self._timeout,
        )

    def _fetch_refs(self, refspecs: Sequence[str], *, depth: int, lock: int) -> None:
        arguments = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"]
        arguments += ["--no-recurse-submodules", f"--depth={depth}"]
        # Without it a branch `a` that is gone would stand in the way of a new branch `a/b`.
        arguments += ["--prune"] if depth == _WHOLE_HISTORY else []
        with self._remote_call([*arguments, "--end-of-options", self.url, *refspecs], lock=lock) as process:
            process.finish()

    @contextmanager
    def _remote_call(self, arguments: Sequence[str], *, lock: int | None = None) -> Iterator[GitProcess]:
        environment = {**self._authorization.environment, "GIT_ALLOW_PROTOCOL": self._source.transport.value}
        is_local = self._source.transport is Transport.FILE
        if is_local:
            environment["GIT_CONFIG_GLOBAL"] = str(_LOCAL_CONFIG)
        calling = nullcontext() if is_local else BREAKERS.calling(DependencyKind.GIT, _host_of(self.url))
        try:
            with (
                calling,
                outside_of_loop("git"),
                GitProcess(
                    f"git {arguments[0]} of {self.url}",
                    arguments,
                    git_dir=self._folder,
                    timeout_seconds=self._timeout,
                    config=[f"protocol.{self._source.transport}.allow=always"],
                    environment=environment,
                    inherit=_PASSED_ON,
                    secrets=self._authorization.secrets,
                    pass_fds=() if lock is None else (lock,),
                ) as process,
            ):
                yield process
        except BreakerOpenError as error:
            raise GitError(error.message, hint=error.hint, transient=True) from error


def _host_of(url: str) -> str:
    place = url.partition("://")[2].partition("/")[0] if "://" in url else url.partition(":")[0]
    return place.rpartition("@")[2].lower()


def _own_ref(commit: str) -> str:
    return f"refs/contexten/{commit}"


def _authorization(source: Source, token: str | None) -> _Authorization:
    if source.transport not in {Transport.HTTPS, Transport.HTTP}:
        return _Authorization()
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise GitError(
            f"the access token for {source.url} has characters that no token has",
            hint="Set it again, without quotes, spaces and line breaks.",
        )
    user, password = ("x-access-token", token) if token else (source.user, source.password)
    if not user:
        return _Authorization()
    encoded = b64encode(f"{user}:{password}".encode()).decode("ascii")
    # Through the environment: arguments are visible to every user of the machine.
    environment = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "http.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {encoded}",
    }
    # Some put a token where the user name belongs.
    return _Authorization(environment, (encoded, password or user))
