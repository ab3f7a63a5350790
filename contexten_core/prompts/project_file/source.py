"""Where `.contexten.yaml` comes from: the newest commit of the base branch, never what a pull request brings."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from time import monotonic
from weakref import WeakKeyDictionary

from contexten_core.codebase.examine import open_mirror
from contexten_core.errors import ConfigurationError
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.execution.git import BlobEntry, GitMirrors, Mirror
from contexten_core.execution.git_errors import UnknownRefError
from contexten_core.execution.git_history import FileKind
from contexten_core.projects import store
from contexten_core.projects.resolve import Target
from contexten_core.prompts.files.problems import PromptFileError
from contexten_core.prompts.files.yaml import LARGEST_FILE, check_size, text_of
from contexten_core.prompts.project_file.power import Power, power_of
from contexten_core.prompts.project_file.read import FILE_NAME, ProjectFile, read_project_file
from contexten_core.runtime import Runtime

FRESH_SECONDS = 60.0
"""How long a branch is not asked again for its newest commit."""

_MOST_KEPT = 200
_MISNAMED = ".contexten.yml"
_FILES = frozenset({FileKind.REGULAR, FileKind.EXECUTABLE})
_SHOWN_DIGITS = 12


@dataclass(slots=True)
class _Kept:
    """What is known of one branch of one repository."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    asked_at: float | None = None
    commit: str | None = None
    power: Power | None = None
    file: ProjectFile | None = None


_kept_of: WeakKeyDictionary[GitMirrors, OrderedDict[tuple[str, str], _Kept]] = WeakKeyDictionary()


async def project_file_of(runtime: Runtime, target: Target, event: NormalisedEvent) -> ProjectFile | None:
    """Return what the repository's file says at its base branch; None where it has none.

    That is the branch that a pull request is to be merged into, else the default branch. It is asked for at most once
    a minute. A file that cannot be read has a `problem`.

    Raises:
        GitError: the repository cannot be reached.
    """
    branch = event.base_branch or target.default_branch
    kept = _remembered(runtime.mirrors, (target.clone_url, branch))
    async with kept.lock:
        if kept.asked_at is None or monotonic() - kept.asked_at >= FRESH_SECONDS:
            await _refresh(kept, runtime, target, branch)
        return kept.file


def _remembered(mirrors: GitMirrors, key: tuple[str, str]) -> _Kept:
    kept = _kept_of.setdefault(mirrors, OrderedDict())
    found = kept.setdefault(key, _Kept())
    kept.move_to_end(key)
    while len(kept) > _MOST_KEPT:
        kept.popitem(last=False)
    return found


async def _refresh(kept: _Kept, runtime: Runtime, target: Target, branch: str) -> None:
    asked_at = monotonic()
    try:
        power = await _power(runtime, target)
    except ConfigurationError as error:
        kept.file = ProjectFile.unreadable(target.repository, name=FILE_NAME, problem=error.message)
        kept.asked_at, kept.commit, kept.power = asked_at, None, None
        return
    mirror = open_mirror(runtime, target)
    head = await asyncio.to_thread(_head, mirror, (branch, target.default_branch))
    if head is None:
        kept.file, kept.commit = None, None
    elif (head[0], power) != (kept.commit, kept.power):
        kept.file = await asyncio.to_thread(_read, mirror, head, target.repository, power)
        kept.commit = head[0]
    kept.asked_at, kept.power = asked_at, power


async def _power(runtime: Runtime, target: Target) -> Power:
    async with runtime.database.reading() as session:
        environment = runtime.settings.environment.value
        config = await store.config(session, target.project_id, vault=runtime.vault, environment=environment)
    return power_of(config.get(("prompts", "file_power")))


def _head(mirror: Mirror, branches: tuple[str, ...]) -> tuple[str, str] | None:
    """Return the newest commit of the first of these branches that there is, and its ref; None in an empty repository.

    Last comes the branch that the repository itself calls its default: ours may have been set up wrong, and a file
    that narrows must not be overlooked for that.
    """
    for ref in (*dict.fromkeys(f"refs/heads/{branch}" for branch in branches), "HEAD"):
        try:
            return mirror.head(ref), ref
        except UnknownRefError:
            continue
    return None


def _read(mirror: Mirror, head: tuple[str, str], repository: str, power: Power) -> ProjectFile | None:
    commit, ref = head
    mirror.fetch(commit, ref)
    there = {entry.path: entry for entry in mirror.tree(commit) if entry.path in {FILE_NAME, _MISNAMED}}
    entry = there.get(FILE_NAME)
    name = f"{FILE_NAME} of {repository} at {commit[:_SHOWN_DIGITS]}"
    if entry is None:
        misnamed = f"{name}: it is called {_MISNAMED} there; rename it to {FILE_NAME}"
        return ProjectFile.unreadable(repository, name=name, problem=misnamed) if there else None
    if entry.mode not in _FILES:
        problem = f"{name}: it is no regular file; make it one"
        return ProjectFile.unreadable(repository, name=name, problem=problem)
    try:
        return read_project_file(_text(mirror, entry, name), name=name, repository=repository, power=power)
    except PromptFileError as error:
        return ProjectFile.unreadable(repository, name=name, problem=error.message)


def _text(mirror: Mirror, entry: BlobEntry, name: str) -> str:
    check_size(entry.size, name=name)
    contents = mirror.read([entry.blob_id], max_bytes=LARGEST_FILE)
    return text_of(b"".join(content for _, content in contents), name=name)
