"""Parse a repository that somebody names, and hold what is in it."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, overload
from uuid import UUID

from contexten_core.codebase import store
from contexten_core.codebase.collect import commit_facts
from contexten_core.codebase.commit import Call, CommitFacts, FactsKey, FileSummary, ModuleGraph, Symbol
from contexten_core.codebase.facts import ClassFact, CodebaseFacts, FileFacts, FunctionFact
from contexten_core.codebase.keep import CommitName, examine_commit, store_commit
from contexten_core.codebase.models import CodebaseStatus
from contexten_core.codebase.record import RECORD_VERSION
from contexten_core.codebase.whole import NO_COMMIT, Progress, newest_commit
from contexten_core.db import Database
from contexten_core.errors import InvalidInputError
from contexten_core.execution.git import GitMirrors
from contexten_core.execution.git_token import token_for
from contexten_core.projects import store as project_store
from contexten_core.projects.models import RepositoryProvider
from contexten_core.settings import Settings

LATEST = "latest"
_FILES_UNPACKED = 1_000
_FULL_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100}")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class Files(Sequence[FileFacts]):
    """The files of a commit, by path; their facts stay packed until one is looked at, since there may be many."""

    def __init__(self, facts: CommitFacts, packed: Mapping[FactsKey, bytes]) -> None:
        self._files = tuple(facts.files.values())
        self._by_path = facts.files
        self._packed = packed
        self._unpacked = lru_cache(_FILES_UNPACKED)(self._unpack)

    def __len__(self) -> int:
        return len(self._files)

    @overload
    def __getitem__(self, index: int) -> FileFacts: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[FileFacts, ...]: ...

    def __getitem__(self, index: int | slice) -> FileFacts | tuple[FileFacts, ...]:
        if isinstance(index, slice):
            return tuple(self._unpacked(file) for file in self._files[index])
        return self._unpacked(self._files[index])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Files) and self._files == other._files

    def __hash__(self) -> int:
        return hash(self._files)

    def named(self, path: str) -> FileFacts:
        """Return one file's facts. Raises KeyError when there is no such file."""
        return self._unpacked(self._by_path[path])

    def _unpack(self, file: FileSummary) -> FileFacts:
        packed = self._packed.get((file.blob_id, file.kind))
        if packed is not None:
            return FileFacts.unpack(packed, path=file.path)
        return FileFacts(path=file.path, language=file.language, lines=file.lines, note=file.note)


@dataclass(frozen=True, slots=True)
class Codebase:
    """What is in one commit of a repository.

    Attributes:
        id: of its row in `codebases`.
        name: as it was asked for.
        url: where it came from.
        commit: the full id of the commit.
        files: what each file holds, by path.
        facts: the totals.
        commit_facts: everything else: modules, calls, entry points, maintainability.
    """

    id: UUID
    name: str
    url: str
    commit: str
    files: Files
    facts: CodebaseFacts
    commit_facts: CommitFacts

    @property
    def functions(self) -> list[FunctionFact]:
        return [function for file in self.files for function in file.functions]

    @property
    def classes(self) -> list[ClassFact]:
        return [found for file in self.files for found in file.classes]

    @property
    def languages(self) -> dict[str, Any]:
        languages: dict[str, Any] = self.facts.as_dict()["languages"]
        return languages

    @property
    def primary_language(self) -> str | None:
        return self.facts.primary_language

    @property
    def modules(self) -> ModuleGraph:
        return self.commit_facts.modules

    def file(self, path: str) -> FileFacts:
        """Return one file's facts. Raises KeyError when the commit has no such file."""
        if path not in self.commit_facts.files:
            raise KeyError(f"{self.name} has no file {path} at {self.commit[:10]}")
        return self.files.named(path)

    def imports_of(self, path: str) -> tuple[str, ...]:
        """Return the files of the repository that a file imports."""
        return self.commit_facts.imports_of(path)

    def importers_of(self, path: str) -> tuple[str, ...]:
        """Return the files that import a file."""
        return self.commit_facts.importers_of(path)

    def callers_of(self, name: str, path: str | None = None) -> tuple[Call, ...]:
        """Return the calls that may reach a function or class, surest first; with `path` only the one defined there."""
        return self.commit_facts.callers_of(name, path)

    def search(self, text: str, limit: int = 20) -> tuple[Symbol, ...]:
        """Find functions and classes by a part of their name, case ignored."""
        return self.commit_facts.search(text, limit)


@dataclass(frozen=True, slots=True)
class _Source:
    clone_url: str
    allow_local: bool
    project_id: UUID | None = None


async def parse_repository(
    database: Database,
    settings: Settings,
    mirrors: GitMirrors,
    *,
    name: str,
    commit: str | None,
    progress: Progress | None = None,
) -> Codebase:
    """Fetch one commit of a repository, learn what is in it, and store that; what is known already is only read.

    Args:
        name: `owner/name`: the repository of a project, or else GitHub's; a URL; or a folder of this machine.
        commit: a full commit id, the name of a branch or tag, or `latest` (as None) for the default branch's newest.

    Raises:
        GitError: the repository or the commit cannot be had; an empty repository is no error, it has no files.
        InvalidInputError: the name is neither.
    """
    source = await _find(database, name)
    mirror = mirrors.open(source.clone_url, token_for(settings, source.clone_url), allow_local=source.allow_local)
    wanted = "HEAD" if commit in (None, LATEST) else str(commit)
    if _COMMIT.fullmatch(wanted):
        sha, ref = wanted, None
    else:
        sha, ref = await asyncio.to_thread(newest_commit, mirror, wanted), wanted
    if sha != NO_COMMIT or ref is None:
        await asyncio.to_thread(mirror.fetch, sha, ref)
    known = await _known(database, mirror.url, sha)
    unkept: Mapping[FactsKey, bytes] = {}
    if known is None:
        commit_name = CommitName(
            repository=name, url=mirror.url, commit=sha, branch=wanted, project_id=source.project_id
        )
        examined = await examine_commit(database, mirror, commit_name, progress=progress)
        async with database.transaction() as session:
            row = await store_commit(session, examined)
        known, unkept = (row.id, examined.found.facts), examined.found.unkept
    codebase_id, facts = known
    keys = {(file.blob_id, file.kind) for file in facts.files.values()}
    async with database.reading() as session:
        packed = await store.known_records(session, keys, version=RECORD_VERSION)
    return Codebase(codebase_id, name, mirror.url, sha, Files(facts, {**packed, **unkept}), facts.totals, facts)


async def _known(database: Database, url: str, commit: str) -> tuple[UUID, CommitFacts] | None:
    async with database.reading() as session:
        row = await store.codebase(session, repository_url=url, commit=commit)
        if row is None or row.status is not CodebaseStatus.COMPLETED:
            return None
        facts = await commit_facts(session, row.id)
    return None if facts is None else (row.id, facts)


async def _find(database: Database, name: str) -> _Source:
    if Path(name).is_absolute():
        return _Source(name, allow_local=True)
    if _FULL_NAME.fullmatch(name):
        async with database.reading() as session:
            known = await project_store.repository(session, provider=RepositoryProvider.GITHUB, full_name=name)
            if known is not None and known.clone_url is not None:
                config = await project_store.config(session, known.project_id)
                return _Source(known.clone_url, config.get(("git", "allow_local")) is True, known.project_id)
        return _Source(f"https://github.com/{name}.git", allow_local=False)
    if "://" in name or "@" in name:
        return _Source(name, allow_local=False)
    problem = "neither owner/name, nor an address, nor an absolute path"
    raise InvalidInputError(f"repository: {problem}", fields={"repository": problem})
