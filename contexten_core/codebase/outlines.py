"""The outlines of a commit's files, kept in compressed groups, so that a change of a few files touches a few groups."""

import struct
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from contexten_core.codebase.outline import Head, Outline

_FILES_OF_A_GROUP = 16
_MOST_GROUPS = 1 << 13
_LENGTH = struct.Struct(">I")


@dataclass(frozen=True)
class Outlines:
    """Encoded outlines by path.

    Attributes:
        paths: all of them, sorted.
        groups: compressed; a path is in the group that its checksum says, in the order of the paths.
    """

    paths: Sequence[str]
    groups: tuple[bytes, ...]

    def __getitem__(self, path: str) -> Outline:
        """Read one outline. Raises KeyError when there is no such path."""
        return Outline.decode(self._group(path)[path])

    def get(self, path: str) -> Outline | None:
        group = self._group(path)
        return Outline.decode(group[path]) if path in group else None

    def head(self, path: str) -> Head:
        return Head.decode(self._group(path)[path])

    def encoded(self) -> Iterator[tuple[str, bytes]]:
        """Yield every path and its outline, encoded."""
        for number, members in self._members.items():
            yield from self._read(number, members).items()

    def updated(self, *, removed: Collection[str], added: Mapping[str, bytes], paths: Sequence[str]) -> "Outlines":
        """Return other outlines: without some paths, with new ones for others; `paths` are all that are there then."""
        wanted = _groups_for(len(paths))
        if not self.groups or not wanted <= len(self.groups) * 4 <= wanted * 16:
            return self._regrouped(wanted, removed=removed, added=added, paths=paths)
        changed: defaultdict[int, dict[str, bytes | None]] = defaultdict(dict)
        for path in removed:
            changed[_group_of(path, len(self.groups))][path] = None
        for path, data in added.items():
            changed[_group_of(path, len(self.groups))][path] = data
        groups = list(self.groups)
        for number, changes in changed.items():
            content = {**self._read(number, self._members.get(number, ())), **changes}
            groups[number] = _packed({path: data for path, data in sorted(content.items()) if data is not None})
        return Outlines(paths, tuple(groups))

    def _regrouped(
        self, count: int, *, removed: Collection[str], added: Mapping[str, bytes], paths: Sequence[str]
    ) -> "Outlines":
        groups: list[dict[str, bytes]] = [{} for _ in range(count)]
        content = {path: data for path, data in self.encoded() if path not in removed} | dict(added)
        for path in paths:
            groups[_group_of(path, count)][path] = content[path]
        return Outlines(paths, tuple(_packed(group) for group in groups))

    @cached_property
    def _members(self) -> Mapping[int, Sequence[str]]:
        found: defaultdict[int, list[str]] = defaultdict(list)
        for path in self.paths:
            found[_group_of(path, len(self.groups))].append(path)
        return found

    @cached_property
    def _open(self) -> dict[int, dict[str, bytes]]:
        return {}

    def _group(self, path: str) -> dict[str, bytes]:
        if not self.groups:
            return {}
        number = _group_of(path, len(self.groups))
        if number not in self._open:
            self._open[number] = self._read(number, self._members.get(number, ()))
        return self._open[number]

    def _read(self, number: int, members: Sequence[str]) -> dict[str, bytes]:
        data = zlib.decompress(self.groups[number]) if self.groups[number] else b""
        found, start = {}, 0
        for path in members:
            (length,) = _LENGTH.unpack_from(data, start)
            start += _LENGTH.size + length
            found[path] = data[start - length : start]
        return found


NO_OUTLINES = Outlines((), ())


def _groups_for(files: int) -> int:
    groups = 1
    while groups * _FILES_OF_A_GROUP < files and groups < _MOST_GROUPS:
        groups *= 2
    return groups


def _group_of(path: str, count: int) -> int:
    return zlib.crc32(path.encode()) % count


def _packed(group: Mapping[str, bytes]) -> bytes:
    data = b"".join(_LENGTH.pack(len(outline)) + outline for outline in group.values())
    return zlib.compress(data, level=1) if data else b""
