"""Remove what takes disk and is not needed any more: mirrors that nobody uses, and checkouts that were left behind."""

import asyncio
import logging
import os
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

from contexten_core.db import Database
from contexten_core.errors import GitError
from contexten_core.execution.file_lock import file_lock
from contexten_core.execution.git import INDEX_PREFIX, lock_of, mirror_name
from contexten_core.execution.trees import remove_tree
from contexten_core.settings import Settings
from contexten_core.tasks import store

logger = logging.getLogger(__name__)

LEFT_BEHIND = timedelta(days=1)
"""After how long a folder is not needed any more that no run is known to work in."""

LEAST_IDLE = timedelta(hours=1)
"""How long a mirror is left in peace after each use, however much there is of them."""

_MIRROR = re.compile(r"[0-9a-f]{40}")
_TEMPORARY = re.compile(rf"[0-9a-f]{{40}}\.(?:new|gone)-.*|.*\.removing-[0-9]+|{re.escape(INDEX_PREFIX)}.*", re.DOTALL)
_MOST_CHECKOUTS = 1_000
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder, and what decides whether it is kept.

    Attributes:
        used_at: when it was last used.
        size: bytes on the disk; 0 where that decides nothing.
    """

    name: str
    used_at: datetime
    size: int = 0


@dataclass(frozen=True, slots=True)
class Collected:
    """How many mirrors, checkouts and temporary folders were removed, and how many bytes the mirrors still take."""

    mirrors: int
    checkouts: int
    temporary: int
    mirrors_bytes: int


def mirrors_to_remove(
    mirrors: Iterable[Folder],
    *,
    needed: Collection[str],
    retention: timedelta,
    most_bytes: int,
    now: datetime,
) -> list[Folder]:
    """Choose the mirrors that were not used for `retention`, and the longest unused while all take too much.

    None is chosen that is needed, or was used in the last hour.
    """
    ordered = sorted(mirrors, key=lambda mirror: (mirror.used_at, mirror.name))
    total = sum(mirror.size for mirror in ordered)
    chosen = []
    for mirror in ordered:
        idle = now - mirror.used_at
        if mirror.name in needed or idle < LEAST_IDLE or (idle < retention and total <= most_bytes):
            continue
        chosen.append(mirror)
        total -= mirror.size
    return chosen


def checkouts_to_remove(checkouts: Iterable[Folder], work: store.AtWork, *, now: datetime) -> list[Folder]:
    """Choose the checkouts of executions that have ended, and old ones that no live run works in."""
    chosen = []
    for checkout in checkouts:
        execution = _id_of(checkout.name)
        is_old = now - checkout.used_at >= LEFT_BEHIND
        if execution in work.ended or (is_old and execution not in work.live):
            chosen.append(checkout)
    return chosen


async def collect_trees(database: Database, settings: Settings, *, now: datetime) -> Collected:
    """Remove the mirrors and checkouts below the service's home that are not needed any more.

    What cannot be removed is logged, and tried again the next time.
    """
    checkouts = await asyncio.to_thread(_folders, settings.checkouts)
    oldest = sorted(checkouts, key=lambda checkout: checkout.used_at)[:_MOST_CHECKOUTS]
    async with database.reading() as session:
        work = await store.at_work(session, [id_ for checkout in oldest if (id_ := _id_of(checkout.name))])
    unneeded = checkouts_to_remove(oldest, work, now=now)
    needed = frozenset(map(mirror_name, work.repositories))
    mirrors, temporary, left = await asyncio.to_thread(
        collect_mirrors,
        settings.mirrors,
        needed=needed,
        retention=timedelta(days=settings.mirror_retention_days),
        most_bytes=settings.mirrors_bytes,
        now=now,
    )
    removed = await asyncio.to_thread(_remove_all, settings.checkouts, unneeded)
    return Collected(mirrors=mirrors, checkouts=removed, temporary=temporary, mirrors_bytes=left)


def collect_mirrors(
    root: Path, *, needed: Collection[str], retention: timedelta, most_bytes: int, now: datetime
) -> tuple[int, int, int]:
    """Remove mirrors, and what was left of making, reading and removing them. Blocks.

    A mirror that is being fetched into stays, and so does one that somebody begins to use meanwhile.

    Returns:
        How many mirrors and how many temporary folders were removed, and how many bytes the other mirrors take.
    """
    found = _folders(root)
    mirrors = [
        Folder(folder.name, _used_at(root, folder.name) or folder.used_at, size_of(root / folder.name))
        for folder in found
        if _MIRROR.fullmatch(folder.name)
    ]
    left = sum(mirror.size for mirror in mirrors)
    removed = 0
    for mirror in mirrors_to_remove(mirrors, needed=needed, retention=retention, most_bytes=most_bytes, now=now):
        if _tried(partial(_remove_mirror, root, mirror), root / mirror.name):
            removed += 1
            left -= mirror.size
    old = [folder for folder in found if _TEMPORARY.fullmatch(folder.name) and now - folder.used_at >= LEFT_BEHIND]
    return removed, _remove_all(root, old), left


def size_of(folder: Path) -> int:
    """Return how many bytes a folder takes on the disk; what vanishes meanwhile counts nothing."""
    size, waiting = 0, [os.fspath(folder)]
    while waiting:
        for entry in _entries(waiting.pop()):
            try:
                size += entry.stat(follow_symlinks=False).st_blocks * _BLOCK
                is_folder = entry.is_dir(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if is_folder:
                waiting.append(entry.path)
    return size


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except FileNotFoundError:
        return


def _folders(root: Path) -> list[Folder]:
    """Return the folders in a folder, with when an entry of each was last made or removed; no links."""
    found = []
    for entry in _entries(os.fspath(root)):
        try:
            if entry.is_dir(follow_symlinks=False):
                found.append(Folder(entry.name, _time(entry.stat(follow_symlinks=False))))
        except FileNotFoundError:
            continue
    return found


def _time(state: os.stat_result) -> datetime:
    return datetime.fromtimestamp(state.st_mtime, UTC)


def _used_at(root: Path, name: str) -> datetime | None:
    try:
        return _time(lock_of(root, name).lstat())
    except FileNotFoundError:
        return None


def _remove_mirror(root: Path, mirror: Folder) -> bool:
    """Remove a mirror unless it is being fetched into, or was used after it was looked at."""
    used_at = _used_at(root, mirror.name)
    if used_at is not None and used_at > mirror.used_at:
        return False
    folder, gone = root / mirror.name, root / f"{mirror.name}.gone-{secrets.token_hex(4)}"
    try:
        with file_lock(lock_of(root, mirror.name), what=f"the mirror {mirror.name}", timeout_seconds=0):
            # Making the file of the lock counts as its use, so the second look compares with what it is now.
            used_at = _used_at(root, mirror.name)
            folder.rename(gone)
            if _used_at(root, mirror.name) != used_at:
                gone.rename(folder)
                return False
    except GitError:
        return False
    remove_tree(gone)
    return True


def _remove_all(root: Path, folders: Sequence[Folder]) -> int:
    return sum(_tried(partial(_remove, path), path) for path in (root / folder.name for folder in folders))


def _remove(folder: Path) -> bool:
    remove_tree(folder)
    return True


def _tried(remove: Callable[[], bool], folder: Path) -> bool:
    try:
        return remove()
    except OSError as error:
        logger.warning("%s could not be removed, will try again: %s", folder, error)
        return False


def _id_of(name: str) -> UUID | None:
    try:
        found = UUID(name)
    except ValueError:
        return None
    return found if str(found) == name else None
