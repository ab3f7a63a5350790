"""What is kept of commits that are checked out again and again: by several prompts, say, or after a retry."""

from dataclasses import dataclass

_MOST_COMMITS = 256
_MOST_LINKS = 1_000


@dataclass(frozen=True, slots=True)
class Content:
    """What there is to know of a commit before it is checked out; it never changes.

    Attributes:
        size: bytes of all its files.
        links: the paths of its symbolic links.
    """

    size: int
    links: tuple[bytes, ...]


class Contents:
    """The contents of the commits that were asked for last, by any number of threads."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Content] = {}

    def get(self, mirror: str, commit: str) -> Content | None:
        return self._kept.get((mirror, commit))

    def keep(self, mirror: str, commit: str, content: Content) -> None:
        """Remember a content, unless it is unusually large, and forget the oldest beyond some hundreds."""
        if len(content.links) > _MOST_LINKS:
            return
        self._kept[mirror, commit] = content
        for oldest in list(self._kept)[:-_MOST_COMMITS]:
            self._kept.pop(oldest, None)
