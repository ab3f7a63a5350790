"""What has to be known for a commit, and finding it out: git on one side, this process or workers on the other."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import monotonic
from typing import Self

from contexten_core.codebase.commit import CommitFacts, FactsKey
from contexten_core.codebase.pool import AnalysisPool, Item, analyse_here
from contexten_core.codebase.record import Form, Record, read_record, record_kind
from contexten_core.codebase.snapshot import Changes, Snapshot, update
from contexten_core.errors import GitError
from contexten_core.execution.git import BlobEntry, Mirror
from contexten_core.execution.git_errors import UnknownRefError
from contexten_core.execution.git_history import FileKind

Progress = Callable[[int, int], None]
"""Called with how many files are done, and how many there are; from another thread than the caller's."""

NO_COMMIT = "0" * 40
"""Stands for the commit of a branch that has none yet; it has no files."""

SYMLINK, SUBMODULE, UNBORN = "symbolic link", "submodule", "the branch has no commit yet"

_POOL_FILES = 200
_POOL_BYTES = 2 * 1024**2
_MOST_CHANGED = 0.5


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a commit is analysed; the rest is left out, and said to be.

    Attributes:
        files: files, the first ones in git's order.
        bytes: of all contents that have to be read.
        file_bytes: of one content.
        seconds: spent on contents that have to be read.
        files_at_once: files between two writes to the database.
    """

    files: int = 100_000
    bytes: int = 4 * 1024**3
    file_bytes: int = 16 * 1024**2
    seconds: float = 1800.0
    files_at_once: int = 2_000


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be known for a commit: contents by path, entries without any, and what is left out."""

    contents: Mapping[str, str]
    removed: frozenset[str] = frozenset()
    skipped: Mapping[str, str] = field(default_factory=dict)
    beyond: Mapping[str, int] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)


def facts_of_commit(
    mirror: Mirror, commit: str, *, limits: Limits = DEFAULT_LIMITS, progress: Progress | None = None
) -> CommitFacts:
    """Return what is known of a fetched commit, analysed anew: nothing is stored or taken from a database.

    Blocks for as long as it takes, on all cores where there is much to do.

    Raises:
        GitError: the commit is not in the mirror.
    """
    if commit == NO_COMMIT:
        return unborn().facts
    plan = plan_whole(mirror, commit, limits)
    wanted = keys_of(plan.contents)
    records: dict[FactsKey, Record] = {}
    with Analyser(mirror, limits, progress, total=len(plan.contents)) as analyser:
        for key, packed in analyser.analyse(wanted, files=len(wanted), size=sum(plan.sizes.values())):
            records[key] = read_record(packed)
    return update(None, commit, changes_of(plan, records, limits, is_late=analyser.is_late)).facts


def newest_commit(mirror: Mirror, ref: str = "HEAD") -> str:
    """Ask which commit a ref points to now: NO_COMMIT for the HEAD of a repository whose branch has none yet.

    Raises:
        GitError: any other ref is unknown, or the repository cannot be reached.
    """
    try:
        return mirror.head(ref)
    except UnknownRefError:
        if ref == "HEAD":
            return NO_COMMIT
        raise


def unborn() -> Snapshot:
    return update(None, NO_COMMIT, Changes(beyond={UNBORN: 0}))


class Analyser:
    """Reads contents and analyses them, in worker processes as soon as there is much to do.

    `form` is that of the records; `may_copy` as for AnalysisPool.
    """

    def __init__(
        self,
        mirror: Mirror,
        limits: Limits,
        progress: Progress | None,
        *,
        total: int,
        form: Form = Form.WHOLE,
        may_copy: bool = False,
    ) -> None:
        self._mirror = mirror
        self._form, self._may_copy = form, may_copy
        self._limits = limits
        self._progress = progress or (lambda _done, _total: None)
        self._total = total
        self._done = 0
        self._deadline = monotonic() + limits.seconds
        self.is_late = False
        self._pool: AnalysisPool | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def collect(self, wanted: Mapping[FactsKey, str], *, files: int, size: int) -> dict[FactsKey, bytes]:
        return dict(self.analyse(wanted, files=files, size=size))

    def analyse(self, wanted: Mapping[FactsKey, str], *, files: int, size: int) -> Iterator[tuple[FactsKey, bytes]]:
        """Yield keys and packed records of contents, by (blob id, kind) and a path; of `size` bytes, if that is known.

        `files` is how many files they stand for, contents that are known already included.
        """
        if self._pool is None and (len(wanted) >= _POOL_FILES or size >= _POOL_BYTES):
            self._pool = self._stack.enter_context(AnalysisPool(form=self._form, may_copy=self._may_copy))
        items = self._items({} if self.is_late else wanted)
        end = self._done + files
        self._done = end - len(wanted)
        for key, packed in self._pool.analyse(items) if self._pool else analyse_here(items, self._form):
            yield key, packed
            self._done += 1
            self._progress(self._done, self._total)
        self._done = end
        self._progress(self._done, self._total)

    def _items(self, wanted: Mapping[FactsKey, str]) -> Iterator[Item]:
        kinds: dict[str, list[FactsKey]] = {}
        for key in wanted:
            kinds.setdefault(key[0], []).append(key)
        for blob_id, data in self._mirror.read(kinds, max_bytes=self._limits.file_bytes):
            for key in kinds[blob_id]:
                yield Item(key, wanted[key], data)
            if monotonic() > self._deadline:
                self.is_late = True
                return


def plan_since(mirror: Mirror, before: Snapshot, commit: str, limits: Limits) -> Plan | None:
    """Plan what differs from another commit; None when that is no start for this one."""
    if before.beyond:
        return None
    if before.facts.commit == commit:
        return Plan({})
    try:
        changes = mirror.changes(before.facts.commit, commit)
    except GitError as error:
        if error.transient:
            raise
        # The mirror was made anew since, and has no such commit.
        return None
    known = len(before.facts.files)
    if len(changes) > max(known * _MOST_CHANGED, _POOL_FILES) or known + len(changes) > limits.files:
        return None
    contents = {}
    skipped = {}
    for change in changes:
        if change.blob_id is None or change.mode is None:
            continue
        if (why := _SKIPPED.get(change.mode)) is not None:
            skipped[change.path] = why
        else:
            contents[change.path] = change.blob_id
    return Plan(contents, removed=frozenset(change.path for change in changes), skipped=skipped)


def plan_whole(mirror: Mirror, commit: str, limits: Limits) -> Plan:
    entries, more = mirror.listing(commit, limit=limits.files)
    beyond = {f"beyond the first {limits.files} entries": more} if more else {}
    contents, sizes, skipped = {}, {}, {}
    total = 0
    for number, entry in enumerate(entries):
        if why := _why_skipped(entry, limits):
            skipped[entry.path] = why
            continue
        total += entry.size
        if total > limits.bytes:
            beyond[f"beyond the first {limits.bytes} bytes"] = len(entries) - number
            break
        contents[entry.path], sizes[entry.path] = entry.blob_id, entry.size
    return Plan(contents, skipped=skipped, beyond=beyond, sizes=sizes)


def _why_skipped(entry: BlobEntry, limits: Limits) -> str | None:
    return _SKIPPED.get(entry.mode) or (_too_large(limits) if entry.size > limits.file_bytes else None)


def _too_large(limits: Limits) -> str:
    return f"larger than {limits.file_bytes} bytes"


_SKIPPED = {FileKind.SYMLINK: SYMLINK, FileKind.SUBMODULE: SUBMODULE}


def keys_of(contents: Mapping[str, str]) -> dict[FactsKey, str]:
    return {(blob_id, record_kind(path)): path for path, blob_id in contents.items()}


def changes_of(plan: Plan, records: Mapping[FactsKey, Record], limits: Limits, *, is_late: bool) -> Changes:
    added, skipped, beyond = {}, dict(plan.skipped), dict(plan.beyond)
    for path, blob_id in plan.contents.items():
        record = records.get((blob_id, record_kind(path)))
        if record is not None:
            added[path] = blob_id, record
        elif is_late:
            why = f"not read within {limits.seconds:g} seconds"
            beyond[why] = beyond.get(why, 0) + 1
        else:
            skipped[path] = _too_large(limits)
    return Changes(removed=plan.removed, added=added, skipped=skipped, beyond=beyond)
