"""Parse a repository that somebody names, and hold what is in it."""

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID

from contexten_core.codebase import store
from contexten_core.codebase.collect import facts_of, readable_files, store_codebase
from contexten_core.codebase.examine import token_for
from contexten_core.codebase.facts import ANALYSER_VERSION, ClassFact, CodebaseFacts, FileFacts, FunctionFact
from contexten_core.codebase.summarise import summarise
from contexten_core.db import Database, utc_now
from contexten_core.errors import InvalidInputError
from contexten_core.execution.git import GitMirrors
from contexten_core.projects import store as project_store
from contexten_core.projects.models import RepositoryProvider
from contexten_core.settings import Settings

LATEST = "latest"
_FULL_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100}")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True, slots=True)
class Codebase:
    """What is in one commit of a repository.

    Attributes:
        id: of its row in `codebases`.
        name: as it was asked for.
        url: where it came from.
        commit: the full id of the commit.
        files: what each file holds.
        facts: the totals.
    """

    id: UUID
    name: str
    url: str
    commit: str
    files: tuple[FileFacts, ...]
    facts: CodebaseFacts

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

    def file(self, path: str) -> FileFacts:
        """Return one file's facts. Raises KeyError when the commit has no such file."""
        for found in self.files:
            if found.path == path:
                return found
        raise KeyError(f"{self.name} has no file {path} at {self.commit[:10]}")


@dataclass(frozen=True, slots=True)
class _Source:
    clone_url: str
    allow_local: bool
    project_id: UUID | None = None


async def parse_repository(
    database: Database, settings: Settings, mirrors: GitMirrors, *, name: str, commit: str | None
) -> Codebase:
    """Fetch one commit of a repository, learn what is in it, and store that.

    Args:
        name: `owner/name`: the repository of a project, or else GitHub's; a URL; or a folder of this machine.
        commit: a full commit id, the name of a branch or tag, or `latest` (as None) for the default branch's newest.

    Raises:
        GitError: the repository or the commit cannot be had.
        InvalidInputError: the name is neither.
    """
    started_at, clock = utc_now(), monotonic()
    source = await _find(database, name)
    mirror = mirrors.open(source.clone_url, token_for(settings, source.clone_url), allow_local=source.allow_local)
    wanted = "HEAD" if commit in (None, LATEST) else str(commit)
    if _COMMIT.fullmatch(wanted):
        sha, ref = wanted, None
    else:
        sha, ref = await asyncio.to_thread(mirror.head, wanted), wanted
    await asyncio.to_thread(mirror.fetch, sha, ref)
    readable, _ = await asyncio.to_thread(readable_files, mirror, sha)
    async with database.reading() as session:
        stored = await store.known_facts(
            session, blob_ids={entry.blob_id for entry in readable}, analyser_version=ANALYSER_VERSION
        )
    files, new = await asyncio.to_thread(facts_of, mirror, readable, stored)
    facts = summarise(files)
    async with database.transaction() as session:
        await store.add_facts(session, facts=new, analyser_version=ANALYSER_VERSION)
        row = await store_codebase(
            session,
            repository=name,
            url=mirror.url,
            commit=sha,
            branch=wanted,
            project_id=source.project_id,
            facts=facts,
            started_at=started_at,
            seconds=monotonic() - clock,
        )
        return Codebase(row.id, name, mirror.url, sha, tuple(files), facts)


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
