"""The facts of a commit: what the last known one says, what is stored of its contents, and what has to be analysed."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.codebase import store
from contexten_core.codebase.commit import CommitFacts, FactsKey
from contexten_core.codebase.facts import FileFacts
from contexten_core.codebase.record import RECORD_VERSION, Record, is_kept, read_record
from contexten_core.codebase.snapshot import Snapshot, update
from contexten_core.codebase.snapshot_format import decode
from contexten_core.codebase.whole import (
    DEFAULT_LIMITS,
    NO_COMMIT,
    Analyser,
    Limits,
    Progress,
    changes_of,
    keys_of,
    plan_since,
    plan_whole,
    unborn,
)
from contexten_core.db import Database
from contexten_core.execution.git import Mirror

_ANCESTORS = 300


@dataclass(frozen=True, slots=True)
class Found:
    """What was found in a commit.

    Attributes:
        base_id: the codebase that this one was brought up to date from, or None.
        changed: paths that are new or other than in the base; all of them without a base.
        analysed: how many contents were read for it; all others were known.
        stale: ids of snapshots that are too old to keep.
        new: records that are not stored yet.
        unkept: records that are not to be stored.
    """

    snapshot: Snapshot
    base_id: UUID | None
    changed: tuple[str, ...]
    analysed: int
    stale: tuple[UUID, ...] = ()
    new: Mapping[FactsKey, bytes] = field(default_factory=dict)
    unkept: Mapping[FactsKey, bytes] = field(default_factory=dict)

    @property
    def facts(self) -> CommitFacts:
        return self.snapshot.facts


async def find_facts(
    database: Database,
    mirror: Mirror,
    commit: str,
    *,
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
) -> Found:
    """Find out what there is to know of a fetched commit, reading only contents that were never seen before.

    Contents of a first analysis are stored as it goes, in transactions of its own, so that one that is ended midway is
    not for nothing. Everything else is left to `store_commit`.

    Raises:
        GitError: the commit is not in the mirror.
    """
    if commit == NO_COMMIT:
        return Found(unborn(), base_id=None, changed=(), analysed=0)
    async with database.reading() as session:
        heads = await store.snapshot_heads(session, repository_url=mirror.url, version=RECORD_VERSION)
    base = await asyncio.to_thread(_nearest, mirror, commit, heads)
    before = await _snapshot(database, base) if base else None
    plan = await asyncio.to_thread(plan_since, mirror, before, commit, limits) if before else None
    if plan is None:
        base = before = None
        plan = await asyncio.to_thread(plan_whole, mirror, commit, limits)
    records: dict[FactsKey, Record] = {}
    new: dict[FactsKey, bytes] = {}
    unkept: dict[FactsKey, bytes] = {}
    analysed = 0
    with Analyser(mirror, limits, progress, total=len(plan.contents)) as analyser:
        paths = list(plan.contents)
        for start in range(0, len(paths), limits.files_at_once):
            part = paths[start : start + limits.files_at_once]
            wanted = keys_of({path: plan.contents[path] for path in part})
            async with database.reading() as session:
                known = await store.known_records(session, wanted, version=RECORD_VERSION)
            records.update(await asyncio.to_thread(_read_all, known))
            missing = {key: path for key, path in wanted.items() if key not in records}
            size = sum(plan.sizes.get(path, 0) for path in missing.values())
            found = await asyncio.to_thread(analyser.collect, missing, files=len(part), size=size)
            analysed += len(found)
            for key, packed in found.items():
                records[key] = read_record(packed)
                (new if is_kept(records[key]) else unkept)[key] = packed
            if before is None:
                async with database.transaction() as session:
                    await store.add_records(session, new, version=RECORD_VERSION)
                new = {}
    snapshot = await asyncio.to_thread(
        update, before, commit, changes_of(plan, records, limits, is_late=analyser.is_late)
    )
    return Found(
        snapshot=snapshot,
        base_id=base.codebase_id if base else None,
        changed=tuple(plan.contents),
        analysed=analysed,
        stale=tuple(head.id for head in heads[store.SNAPSHOTS_KEPT - 1 :]),
        new=new,
        unkept=unkept,
    )


async def commit_facts(session: AsyncSession, codebase_id: UUID) -> CommitFacts | None:
    """Return what is known of a commit's codebase, or None when there is none or its snapshot is not kept any more."""
    content = await store.snapshot_of(session, codebase_id, version=RECORD_VERSION)
    return None if content is None else (await asyncio.to_thread(decode, content)).facts


async def file_facts(session: AsyncSession, facts: CommitFacts, paths: Collection[str]) -> dict[str, FileFacts]:
    """Return the whole facts of some files of a commit; those it does not have or that are not kept are missing."""
    files = [facts.files[path] for path in paths if path in facts.files]
    wanted = {(file.blob_id, file.kind): file.path for file in files}
    packed = await store.known_records(session, wanted, version=RECORD_VERSION)
    return {
        file.path: FileFacts.unpack(packed[file.blob_id, file.kind], path=file.path)
        for file in files
        if (file.blob_id, file.kind) in packed
    }


async def _snapshot(database: Database, head: store.SnapshotHead) -> Snapshot | None:
    async with database.reading() as session:
        content = await store.snapshot_content(session, head.id)
    return None if content is None else await asyncio.to_thread(decode, content)


def _nearest(mirror: Mirror, commit: str, heads: Sequence[store.SnapshotHead]) -> store.SnapshotHead | None:
    """Return the snapshot to start from: of the nearest ancestor, or else the newest."""
    if len(heads) <= 1:
        return heads[0] if heads else None
    by_commit = {head.commit: head for head in heads}
    for ancestor in mirror.first_parents(commit, limit=_ANCESTORS):
        if ancestor in by_commit:
            return by_commit[ancestor]
    return heads[0]


def _read_all(packed: Mapping[FactsKey, bytes]) -> dict[FactsKey, Record]:
    return {key: read_record(record) for key, record in packed.items()}
