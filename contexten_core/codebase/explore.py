"""Find out everything about a commit, and what a change means: by a repository's name, fetched and stored."""

import asyncio
import re
from dataclasses import replace
from time import monotonic

from contexten_core.codebase.analysis import Analysis, Surroundings
from contexten_core.codebase.commit import CommitFacts
from contexten_core.codebase.diff import read_diff
from contexten_core.codebase.history import NO_HISTORY
from contexten_core.codebase.impact import Impact, Past, assess
from contexten_core.codebase.manifests import Manifests
from contexten_core.codebase.owners import PLACES as OWNER_PLACES
from contexten_core.codebase.owners import CodeOwners, read_owners
from contexten_core.codebase.repository import Codebase, parse_repository
from contexten_core.codebase.roles import is_test
from contexten_core.codebase.surroundings import read_files, read_log, read_surroundings
from contexten_core.codebase.testing import TestLayout
from contexten_core.codebase.whole import NO_COMMIT, Progress
from contexten_core.db import Database
from contexten_core.errors import GitError
from contexten_core.events import run_store
from contexten_core.events.models import Conclusion
from contexten_core.execution.git import GitMirrors, Mirror
from contexten_core.execution.git_errors import UnknownRefError
from contexten_core.settings import Settings

MOST_RUNS = 5_000

_STEPS = re.compile(r"(?P<start>.*?)(?P<steps>(?:[~^]\d{0,6}){1,20})", re.DOTALL)
_SHORT = re.compile(r"[0-9a-f]{4,63}")
_NOTHING = Surroundings(Manifests((), {}), TestLayout(0, (), ()), CodeOwners(), NO_HISTORY, ())


async def explore(
    database: Database,
    settings: Settings,
    mirrors: GitMirrors,
    *,
    name: str,
    commit: str | None = None,
    progress: Progress | None = None,
) -> Analysis:
    """Fetch a commit, analyse what is new in it, store that, and return everything that is known of it.

    Args:
        name: as `parse_repository` takes it: `owner/name`, an address, or an absolute path.
        commit: a branch, a tag, a commit id or the beginning of one, with `~2` and the like behind it; the newest
            commit of the default branch when left out.

    Raises:
        GitError: the repository or the commit cannot be had; a repository without a commit is no error.
        InvalidInputError: the name is of no repository.
    """
    started = monotonic()
    repository = _Repository(database, settings, mirrors, name, progress)
    codebase = await repository.at(commit)
    around = await asyncio.to_thread(surroundings_of, repository.mirror(codebase), codebase.commit_facts)
    return Analysis(
        name=name,
        facts=codebase.commit_facts,
        files=codebase.files,
        surroundings=around,
        duration_seconds=monotonic() - started,
    )


async def assess_change(
    database: Database,
    settings: Settings,
    mirrors: GitMirrors,
    *,
    name: str,
    base: str | None,
    head: str | None,
    since_merge_base: bool = False,
    progress: Progress | None = None,
) -> Impact:
    """Fetch and analyse two commits, and tell what the change from one to the other means.

    Args:
        base: as `commit` of `explore`.
        head: likewise.
        since_merge_base: compare with where the two parted, when the fetched history reaches so far.

    Raises:
        GitError: the repository or a commit cannot be had.
        InvalidInputError: the name is of no repository.
    """
    repository = _Repository(database, settings, mirrors, name, progress)
    # The newer one first: a base that counts back from it is then known without asking again.
    after = await repository.at(head)
    before = await repository.at(base)
    repository.must_have_commit(before)
    repository.must_have_commit(after)
    mirror = repository.mirror(after)
    left_out: tuple[str, ...] = ()
    if since_merge_base:
        parted = await asyncio.to_thread(mirror.merge_base, before.commit, after.commit)
        if parted is None:
            left_out = (f"the merge base, which is not in the fetched history; compared with {before.commit}",)
        else:
            before = await repository.at(parted)
    impact = await impact_of(database, mirror, base=before.commit_facts, head=after.commit_facts)
    return replace(impact, left_out=impact.left_out + left_out)


async def impact_of(database: Database, mirror: Mirror, *, base: CommitFacts, head: CommitFacts) -> Impact:
    """Tell what the change between two commits means that are fetched and known.

    Past failures are those of the newest MOST_RUNS runs.

    Raises:
        GitError: a commit is not in the mirror.
    """
    async with database.reading() as session:
        failed = await run_store.commits_concluded(session, Conclusion.FAILURE, limit=MOST_RUNS)
        succeeded = await run_store.commits_concluded(session, Conclusion.SUCCESS, limit=MOST_RUNS)
    return await asyncio.to_thread(_impact, mirror, base, head, failed, succeeded - failed)


def surroundings_of(mirror: Mirror, facts: CommitFacts) -> Surroundings:
    """Return what surrounds the code of a fetched commit; nothing does where there is no commit yet. Blocks."""
    return _NOTHING if facts.commit == NO_COMMIT else read_surroundings(mirror, facts)


def _impact(mirror: Mirror, base: CommitFacts, head: CommitFacts, failed: set[str], succeeded: set[str]) -> Impact:
    return assess(
        base=base,
        head=head,
        changes=read_diff(mirror, base.commit, head.commit),
        owners=read_owners(read_files(mirror, head, OWNER_PLACES)),
        past=Past(log=read_log(mirror, head.commit), failed=failed, succeeded=succeeded),
        is_test=is_test,
    )


class _Repository:
    """Commits of one repository, each analysed once."""

    def __init__(
        self, database: Database, settings: Settings, mirrors: GitMirrors, name: str, progress: Progress | None
    ) -> None:
        self._database = database
        self._settings = settings
        self._mirrors = mirrors
        self._name = name
        self._progress = progress
        self._known: dict[str | None, Codebase] = {}

    def mirror(self, codebase: Codebase) -> Mirror:
        """Return the mirror that a codebase was read from. It is only read: nothing is fetched through it."""
        return self._mirrors.open(codebase.url, allow_local=True)

    def must_have_commit(self, codebase: Codebase) -> None:
        """Raise GitError for a branch that has no commit yet."""
        if codebase.commit == NO_COMMIT:
            raise GitError(f"{self._name} has no commit yet", hint="Commit something first.")

    async def at(self, revision: str | None) -> Codebase:
        """Return what is known of a commit, by whatever people write for one."""
        revision = None if revision in {"", "@", "HEAD", "latest"} else revision
        if revision not in self._known:
            self._known[revision] = found = await self._find(revision)
            self._known[found.commit] = found
        return self._known[revision]

    async def _find(self, revision: str | None) -> Codebase:
        counted = _STEPS.fullmatch(revision or "")
        if counted:
            start = await self.at(counted["start"])
            return await self._resolved(f"{start.commit}{counted['steps']}", start, shown=str(revision))
        try:
            return await self._parse(revision)
        except UnknownRefError:
            if revision is None or not _SHORT.fullmatch(revision):
                raise
        # Git has no other way to ask a repository for the beginning of an id.
        return await self._resolved(revision, await self.at(None), shown=revision)

    async def _resolved(self, revision: str, start: Codebase, *, shown: str) -> Codebase:
        self.must_have_commit(start)
        commit = await asyncio.to_thread(self.mirror(start).resolve, revision)
        if commit is None:
            raise GitError(
                f"{self._name} has no commit {shown[:80]}, or it is older than the fetched history",
                hint="Give all digits of its id, a branch or a tag.",
            )
        return await self.at(commit)

    async def _parse(self, revision: str | None) -> Codebase:
        return await parse_repository(
            self._database,
            self._settings,
            self._mirrors,
            name=self._name,
            commit=revision,
            progress=self._progress,
        )
