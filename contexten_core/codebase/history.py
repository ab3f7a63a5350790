"""What the history of a commit says of its files: how often they change, who changes them, and which change together.

Churn times complexity shows where trouble is: A. Tornhill, "Your Code as a Crime Scene" (2015). Files that change
together: T. Zimmermann et al., "Mining Version Histories to Guide Software Changes" (2004), from which support and
confidence are.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations

MOST_COMMITS = 1_000
_MOST_FILES_OF_A_COMMIT = 30
_MOST_AUTHORS = 5
_MOST_PAIRS = 2_000
_MOST_CANDIDATES = 200_000
_LEAST_TOGETHER = 3
_LEAST_CONFIDENCE = 0.3
_MOST_HOT_SPOTS = 50


@dataclass(frozen=True, slots=True)
class LoggedCommit:
    """One commit of the history, merges left out.

    Attributes:
        paths: files that it added, changed or removed, by their names there.
    """

    commit: str
    author: str
    at: datetime
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileHistory:
    """What the history says of one file.

    Attributes:
        commits: how many of the commits looked at touched it.
        authors: who made them and how many, most first; the first five.
    """

    commits: int
    authors: tuple[tuple[str, int], ...]
    last_changed_at: datetime


@dataclass(frozen=True, slots=True)
class CoChange:
    """Two files that changed in the same commits.

    Attributes:
        together: in how many commits they did (support).
        confidence: share of the commits of the one that changes less in which the other changed too.
    """

    path: str
    other: str
    together: int
    confidence: float


@dataclass(frozen=True, slots=True)
class HotSpot:
    """A file that is both complex and often changed; `score` is between 0 and 1, 1 for both at their most."""

    path: str
    commits: int
    complexity: int
    score: float


@dataclass(frozen=True, slots=True)
class History:
    """The newest commits that lead to one, at most MOST_COMMITS.

    Attributes:
        is_whole: whether they reach back to the first commit there is.
    """

    commits: int
    is_whole: bool
    since: datetime | None
    files: Mapping[str, FileHistory]
    co_changes: tuple[CoChange, ...]

    def changed_with(self, path: str) -> list[tuple[str, CoChange]]:
        """Return the files that change together with one, most certain first."""
        found = [
            (pair.other if pair.path == path else pair.path, pair)
            for pair in self.co_changes
            if path in (pair.path, pair.other)
        ]
        return sorted(found, key=lambda item: (-item[1].confidence, -item[1].together, item[0]))


NO_HISTORY = History(commits=0, is_whole=False, since=None, files={}, co_changes=())


def summarise_history(commits: Iterable[LoggedCommit], *, present: Iterable[str], is_whole: bool) -> History:
    """Count what each of the files that are `present` went through; time and memory are bounded."""
    wanted = frozenset(present)
    changes: Counter[str] = Counter()
    authors: defaultdict[str, Counter[str]] = defaultdict(Counter)
    last: dict[str, datetime] = {}
    pairs: Counter[tuple[str, str]] = Counter()
    count, since = 0, None
    for commit in commits:
        count += 1
        since = commit.at if since is None else min(since, commit.at)
        touched = sorted(wanted.intersection(commit.paths))
        changes.update(touched)
        for path in touched:
            authors[path][commit.author] += 1
            last[path] = max(commit.at, last.get(path, commit.at))
        # What touches everything, a new licence line say, ties nothing together.
        if len(touched) <= _MOST_FILES_OF_A_COMMIT and len(pairs) < _MOST_CANDIDATES:
            pairs.update(combinations(touched, 2))
    return History(
        commits=count,
        is_whole=is_whole,
        since=since,
        files={
            path: FileHistory(changes[path], tuple(_most(authors[path], _MOST_AUTHORS)), last[path])
            for path in sorted(changes)
        },
        co_changes=_together(pairs, changes),
    )


def hot_spots(history: History, complexities: Mapping[str, int]) -> list[HotSpot]:
    """Return the files that are changed most and most complex, the worst first.

    Args:
        complexities: cyclomatic complexity of all functions of a file, summed up, by path.
    """
    known = {path: found for path, found in history.files.items() if complexities.get(path, 0) > 0}
    most_changed = max((found.commits for found in known.values()), default=0)
    most_complex = max((complexities[path] for path in known), default=0)
    spots = [
        HotSpot(
            path=path,
            commits=found.commits,
            complexity=complexities[path],
            score=round(found.commits / most_changed * complexities[path] / most_complex, 4),
        )
        for path, found in known.items()
        # A file that was changed once, when it came, says nothing.
        if found.commits > 1
    ]
    return sorted(spots, key=lambda spot: (-spot.score, spot.path))[:_MOST_HOT_SPOTS]


def parse_log(fields: Iterable[bytes]) -> Iterable[LoggedCommit]:
    """Read the fields that `Mirror.log` yields. Git writes a line break in front of a commit's first path."""
    head: list[bytes] = []
    paths: list[str] = []
    for field in fields:
        if field.startswith(b"\x01"):
            yield from _commit(head, paths)
            head, paths = [field[1:]], []
        elif len(head) < len(("commit", "author", "time")):
            head.append(field)
        elif name := (field if paths else field.lstrip(b"\n")):
            paths.append(name.decode("utf-8", "backslashreplace"))
    yield from _commit(head, paths)


def _commit(head: list[bytes], paths: list[str]) -> Iterable[LoggedCommit]:
    if len(head) == len(("commit", "author", "time")) and head[2].strip().isdigit():
        author = " ".join(head[1].decode("utf-8", "replace").split())[:100]
        yield LoggedCommit(head[0].decode("ascii", "replace"), author, _time(head[2]), tuple(paths))


def _time(seconds: bytes) -> datetime:
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)


def _together(pairs: Counter[tuple[str, str]], changes: Counter[str]) -> tuple[CoChange, ...]:
    found = [
        CoChange(path, other, together, round(together / min(changes[path], changes[other]), 4))
        for (path, other), together in pairs.items()
        if together >= _LEAST_TOGETHER
    ]
    strong = [pair for pair in found if pair.confidence >= _LEAST_CONFIDENCE]
    return tuple(
        sorted(strong, key=lambda pair: (-pair.together, -pair.confidence, pair.path, pair.other))[:_MOST_PAIRS]
    )


def _most(counter: Counter[str], limit: int) -> list[tuple[str, int]]:
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:limit]
