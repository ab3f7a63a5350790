"""Read what surrounds the code of a commit: manifests, CODEOWNERS, test configuration, history. Nothing is stored."""

from collections.abc import Collection, Generator
from contextlib import closing
from itertools import islice
from typing import cast

from contexten_core.codebase.analysis import Surroundings, roles_of
from contexten_core.codebase.commit import CommitFacts
from contexten_core.codebase.history import (
    MOST_COMMITS,
    NO_HISTORY,
    History,
    LoggedCommit,
    hot_spots,
    parse_log,
    summarise_history,
)
from contexten_core.codebase.manifests import MOST_MANIFEST_BYTES, Manifests, is_manifest, read_manifests
from contexten_core.codebase.owners import PLACES, read_owners
from contexten_core.codebase.roles import is_test, is_vendored
from contexten_core.codebase.testing import READ, find_tests
from contexten_core.codebase.whole import NO_COMMIT
from contexten_core.execution.git import Mirror

_MOST_MANIFESTS = 2_000
_MOST_BYTES = 64 * 1024**2


def read_surroundings(mirror: Mirror, facts: CommitFacts) -> Surroundings:
    """Read the manifests, owners, tests and history of a fetched commit. Blocks; bounded in files, bytes and commits.

    Raises:
        GitError: the commit is not in the mirror.
    """
    manifests = [path for path in facts.files if is_manifest(path) and not is_vendored(path)]
    wanted = [path for path in (*PLACES, *READ) if path in facts.files]
    contents = read_files(mirror, facts, [*wanted, *manifests[:_MOST_MANIFESTS]])
    notes = []
    if len(manifests) > _MOST_MANIFESTS:
        notes.append(f"{len(manifests) - _MOST_MANIFESTS} manifests more than {_MOST_MANIFESTS} were not read")
    unread = {path: "too large to read" for path in manifests[:_MOST_MANIFESTS] if path not in contents}
    history = read_history(mirror, facts)
    if history is not NO_HISTORY and not history.is_whole:
        notes.append(f"the history is known for {history.commits} commits only")
    read = read_manifests({path: data for path, data in contents.items() if is_manifest(path)})
    found = Manifests(read.dependencies, {**read.unread, **unread})
    notes += [f"{path}: {why}" for path, why in sorted(found.unread.items())]
    own = {
        path: file.complexity
        for path, file in facts.files.items()
        if not roles_of(path, says_generated=file.is_generated)
    }
    return Surroundings(
        manifests=found,
        tests=find_tests(
            paths=facts.files,
            tests=[path for path in facts.files if is_test(path) and not is_vendored(path)],
            contents={path: contents[path] for path in READ if path in contents},
        ),
        owners=read_owners(contents),
        history=history,
        hot_spots=tuple(hot_spots(history, own)),
        notes=tuple(notes),
    )


def read_files(mirror: Mirror, facts: CommitFacts, paths: Collection[str]) -> dict[str, bytes]:
    """Return the contents of some files of a fetched commit; too large ones, and those after 64 MB, are left out."""
    by_blob: dict[str, list[str]] = {}
    for path in dict.fromkeys(paths):
        if path in facts.files:
            by_blob.setdefault(facts.files[path].blob_id, []).append(path)
    found: dict[str, bytes] = {}
    total = 0
    contents = cast(Generator[tuple[str, bytes], None, None], mirror.read(by_blob, max_bytes=MOST_MANIFEST_BYTES))
    with closing(contents):
        for blob_id, data in contents:
            total += len(data)
            if total > _MOST_BYTES:
                break
            found.update(dict.fromkeys(by_blob[blob_id], data))
    return found


def read_log(mirror: Mirror, commit: str) -> list[LoggedCommit]:
    """Return the newest commits that lead to a fetched one."""
    return list(islice(parse_log(mirror.log(commit, limit=MOST_COMMITS)), MOST_COMMITS))


def read_history(mirror: Mirror, facts: CommitFacts) -> History:
    """Return what the history of a fetched commit says of its files."""
    if facts.commit == NO_COMMIT:
        return NO_HISTORY
    log = read_log(mirror, facts.commit)
    is_whole = len(log) < MOST_COMMITS and not mirror.is_cut_off
    return summarise_history(log, present=facts.files, is_whole=is_whole)
