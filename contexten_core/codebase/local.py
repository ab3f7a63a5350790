"""Analyses for the command line where no stack runs: no database server, no event loop, no second copy of the objects.

The answers are those of `explore`, which does the same with a database.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from contexten_core.codebase.analysis import Analysis, Surroundings
from contexten_core.codebase.commit import CommitFacts, FactsKey
from contexten_core.codebase.diff import read_diff
from contexten_core.codebase.history import NO_HISTORY
from contexten_core.codebase.impact import Impact, Past, assess
from contexten_core.codebase.local_store import LocalStore
from contexten_core.codebase.manifests import Manifests
from contexten_core.codebase.owners import PLACES, CodeOwners, read_owners
from contexten_core.codebase.record import Form, is_kept, read_record, shown_of
from contexten_core.codebase.roles import is_test
from contexten_core.codebase.snapshot import Snapshot, update
from contexten_core.codebase.snapshot_format import decode, encode
from contexten_core.codebase.surroundings import read_files, read_log, read_surroundings
from contexten_core.codebase.testing import TestLayout
from contexten_core.codebase.whole import (
    DEFAULT_LIMITS,
    NO_COMMIT,
    Analyser,
    Limits,
    Progress,
    changes_of,
    keys_of,
    newest_commit,
    plan_since,
    plan_whole,
    unborn,
)
from contexten_core.errors import GitError
from contexten_core.execution.git import Mirror
from contexten_core.execution.git_borrowed import BorrowingMirror
from contexten_core.execution.git_errors import UnknownRefError

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_STEPS = re.compile(r"(?P<start>.*?)(?P<steps>(?:[~^]\d{0,6}){1,20})", re.DOTALL)
_SHORT = re.compile(r"[0-9a-f]{4,63}")
_NOTHING = Surroundings(Manifests((), {}), TestLayout(0, (), ()), CodeOwners(), NO_HISTORY, ())


@dataclass(frozen=True, slots=True)
class LocalAnalysis:
    """What is known of a commit.

    Attributes:
        analysis: without its files.
        shown: what each file holds, by path, as members of a JSON object.
    """

    analysis: Analysis
    shown: Mapping[str, bytes]


class _Known(NamedTuple):
    """A commit, and the records that were read for it."""

    snapshot: Snapshot
    records: Mapping[FactsKey, bytes]


class LocalCodebase:
    """A repository on this machine, whose commits are analysed at most once.

    Args:
        repository: its absolute path.
        folder: where facts are kept, private to this account.

    Raises:
        GitError: the path cannot be one.
    """

    def __init__(
        self, repository: str, folder: Path, *, limits: Limits = DEFAULT_LIMITS, progress: Progress | None = None
    ) -> None:
        self.mirror: Mirror = BorrowingMirror(folder, repository)
        self._repository = repository
        self._folder = folder
        self._limits = limits
        self._progress = progress
        self._known: dict[str, _Known] = {}

    def analyse(self, revision: str | None = None) -> LocalAnalysis:
        """Return everything that is known of a commit, by whatever people write for one; see `explore`.

        Raises:
            GitError: there is no such commit; a repository without any is no error.
        """
        started = monotonic()
        known = self._at(self.commit(revision))
        facts = known.snapshot.facts
        around = _NOTHING if facts.commit == NO_COMMIT else read_surroundings(self.mirror, facts)
        shown = self._shown(known)
        return LocalAnalysis(Analysis(self._repository, facts, (), around, monotonic() - started), shown)

    def facts(self, commit: str) -> CommitFacts:
        return self._at(commit).snapshot.facts

    def commit(self, revision: str | None) -> str:
        """Return the id of the commit that a revision names, which can be read then; NO_COMMIT where there is none yet.

        Raises:
            GitError: there is no such commit.
        """
        if revision in {None, "", "@", "HEAD", "latest"}:
            return self._fetched(newest_commit(self.mirror))
        assert revision is not None
        if _COMMIT.fullmatch(revision):
            return self._fetched(revision)
        if counted := _STEPS.fullmatch(revision):
            return self._resolved(f"{self.commit(counted['start'])}{counted['steps']}", shown=revision)
        try:
            return self._fetched(newest_commit(self.mirror, revision))
        except UnknownRefError:
            if not _SHORT.fullmatch(revision):
                raise
        return self._resolved(revision, shown=revision)

    def _fetched(self, commit: str) -> str:
        if commit != NO_COMMIT:
            self.mirror.fetch(commit)
        return commit

    def _resolved(self, revision: str, *, shown: str) -> str:
        if self.commit(None) == NO_COMMIT:
            raise GitError(f"{self._repository} has no commit yet", hint="Commit something first.")
        commit = self.mirror.resolve(revision)
        if commit is None:
            raise GitError(
                f"{self._repository} has no commit {shown[:80]}, or it is older than the history that is there",
                hint="Give all digits of its id, a branch or a tag.",
            )
        return self._fetched(commit)

    def _at(self, commit: str) -> _Known:
        if commit not in self._known:
            self._known[commit] = _Known(unborn(), {}) if commit == NO_COMMIT else self._find(commit)
        return self._known[commit]

    def _find(self, commit: str) -> _Known:
        with LocalStore(self._folder) as store:
            content = store.snapshot(self.mirror.url, commit)
            before = None if content is None else decode(content)
            plan = None if before is None else plan_since(self.mirror, before, commit, self._limits)
            if plan is None:
                before, plan = None, plan_whole(self.mirror, commit, self._limits)
            wanted = keys_of(plan.contents)
            packed = store.records(wanted)
            missing = {key: path for key, path in wanted.items() if key not in packed}
            size = sum(plan.sizes.get(path, 0) for path in missing.values())
            with self._analyser(total=len(plan.contents)) as analyser:
                new = analyser.collect(missing, files=len(plan.contents), size=size)
            packed.update(new)
            records = {key: read_record(record) for key, record in packed.items()}
            snapshot = update(before, commit, changes_of(plan, records, self._limits, is_late=analyser.is_late))
            if before is None or before.facts.commit != commit:
                kept = {key: record for key, record in new.items() if is_kept(records[key])}
                store.keep(kept, repository=self.mirror.url, commit=commit, snapshot=encode(snapshot))
        return _Known(snapshot, packed)

    def _shown(self, known: _Known) -> dict[str, bytes]:
        files = known.snapshot.facts.files
        wanted = {(file.blob_id, file.kind): path for path, file in files.items()}
        missing = {key: path for key, path in wanted.items() if key not in known.records}
        records = dict(known.records)
        if missing:
            with LocalStore(self._folder) as store:
                records.update(store.records(missing))
            missing = {key: path for key, path in missing.items() if key not in records}
            with self._analyser(total=len(missing)) as analyser:
                records.update(analyser.collect(missing, files=len(missing), size=0))
        return {path: shown_of(records[file.blob_id, file.kind]) for path, file in files.items()}

    def _analyser(self, *, total: int) -> Analyser:
        return Analyser(self.mirror, self._limits, self._progress, total=total, form=Form.BRIEF, may_copy=True)


def impact_here(codebase: LocalCodebase, *, base: str | None, head: str | None, since_merge_base: bool) -> Impact:
    """Tell what the change between two commits means, as `assess_change` does; past failures are not known here.

    Raises:
        GitError: a commit is not there.
    """
    after, before = codebase.commit(head), codebase.commit(base)
    for commit in (after, before):
        if commit == NO_COMMIT:
            raise GitError(f"{codebase.mirror.url} has no commit yet", hint="Commit something first.")
    left_out: tuple[str, ...] = ()
    if since_merge_base:
        parted = codebase.mirror.merge_base(before, after)
        if parted is None:
            left_out = (f"the merge base, which is not in the history that is there; compared with {before}",)
        else:
            before = codebase.commit(parted)
    facts = codebase.facts(after)
    impact = assess(
        base=codebase.facts(before),
        head=facts,
        changes=read_diff(codebase.mirror, before, after),
        owners=read_owners(read_files(codebase.mirror, facts, PLACES)),
        past=Past(log=read_log(codebase.mirror, after), failed=set(), succeeded=set()),
        is_test=is_test,
    )
    return replace(impact, left_out=impact.left_out + left_out)
