"""Write what became of a file of text as a unified diff, in linear time whatever stands in it.

Lines that are there exactly once on both sides hold the two together; what lies between two of them, and begins and
ends differently, is replaced as a whole.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from contexten_core.execution.agent_tree import Change

_CONTEXT = 3
_MOST_ROUNDS = 16
_NOTHING = "/dev/null"


class _Region(NamedTuple):
    """Lines of the old file that those of the new one replace."""

    old_start: int
    old_end: int
    new_start: int
    new_end: int


def diff_of(change: Change) -> str:
    """Return the part of a patch that makes this change, in the form of `git diff`."""
    old, new = _lines(change.old), _lines(change.new)
    head = [f"diff --git a/{change.path} b/{change.path}\n"]
    if change.old is None:
        head.append("new file mode 100644\n")
    elif change.new is None:
        head.append(f"deleted file mode {'100755' if change.is_executable else '100644'}\n")
    regions = list(_regions(old, new))
    if regions:
        head.append(f"--- {_NOTHING if change.old is None else f'a/{change.path}'}\n")
        head.append(f"+++ {_NOTHING if change.new is None else f'b/{change.path}'}\n")
    return "".join([*head, *(line for group in _hunks(regions) for line in _hunk(old, new, group))])


def _lines(content: bytes | None) -> list[str]:
    """Return the lines of a file, which end with a newline and nothing else."""
    lines = [f"{line}\n" for line in (content or b"").decode().split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _regions(old: Sequence[str], new: Sequence[str]) -> Iterator[_Region]:
    waiting = [(_Region(0, len(old), 0, len(new)), _MOST_ROUNDS)]
    while waiting:
        region, rounds = waiting.pop()
        region = _trimmed(old, new, region)
        if region.old_start == region.old_end and region.new_start == region.new_end:
            continue
        anchors = _anchors(old, new, region) if rounds else []
        if not anchors:
            yield region
            continue
        starts = [(region.old_start, region.new_start), *((place + 1, other + 1) for place, other in anchors)]
        ends = [*anchors, (region.old_end, region.new_end)]
        between = [_Region(a, b, c, d) for (a, c), (b, d) in zip(starts, ends, strict=True)]
        waiting += [(part, rounds - 1) for part in reversed(between)]


def _trimmed(old: Sequence[str], new: Sequence[str], region: _Region) -> _Region:
    """Return a region without what is the same at its beginning and at its end."""
    start, end, other, last = region
    while start < end and other < last and old[start] == new[other]:
        start, other = start + 1, other + 1
    while start < end and other < last and old[end - 1] == new[last - 1]:
        end, last = end - 1, last - 1
    return _Region(start, end, other, last)


def _anchors(old: Sequence[str], new: Sequence[str], region: _Region) -> list[tuple[int, int]]:
    """Return the places of lines that are there once on each side, as many as are in the same order on both."""
    once = Counter(old[region.old_start : region.old_end])
    places = {new[place]: place for place in range(region.new_start, region.new_end)}
    twice = Counter(new[region.new_start : region.new_end])
    pairs = [
        (place, places[line])
        for place in range(region.old_start, region.old_end)
        if once[line := old[place]] == 1 and twice[line] == 1
    ]
    return _in_order(pairs)


def _in_order(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the longest part of pairs, sorted by their first, whose second grows too."""
    ends: list[int] = []
    last: list[int] = []
    before: list[int | None] = []
    for number, (_, other) in enumerate(pairs):
        length = bisect_left(ends, other)
        before.append(last[length - 1] if length else None)
        ends[length : length + 1] = [other]
        last[length : length + 1] = [number]
    found: list[tuple[int, int]] = []
    at = last[-1] if last else None
    while at is not None:
        found.append(pairs[at])
        at = before[at]
    return found[::-1]


def _hunks(regions: Sequence[_Region]) -> Iterator[list[_Region]]:
    """Yield regions that are shown together, since their context would overlap."""
    group: list[_Region] = []
    for region in regions:
        if group and region.old_start - group[-1].old_end > 2 * _CONTEXT:
            yield group
            group = []
        group.append(region)
    if group:
        yield group


def _hunk(old: Sequence[str], new: Sequence[str], group: Sequence[_Region]) -> Iterator[str]:
    first, last = group[0], group[-1]
    before = min(_CONTEXT, first.old_start)
    after = min(_CONTEXT, len(old) - last.old_end)
    start, end = first.old_start - before, last.old_end + after
    other, other_end = first.new_start - before, last.new_end + after
    yield f"@@ -{_range(start, end)} +{_range(other, other_end)} @@\n"
    for region in group:
        yield from _marked(" ", old[start : region.old_start])
        yield from _marked("-", old[region.old_start : region.old_end])
        yield from _marked("+", new[region.new_start : region.new_end])
        start = region.old_end
    yield from _marked(" ", old[start:end])


def _range(start: int, end: int) -> str:
    # Where there are no lines, the number is that of the line before.
    return f"{start + 1 if end > start else start},{end - start}"


def _marked(mark: str, lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        yield f"{mark}{line}"
        if not line.endswith("\n"):
            yield "\n\\ No newline at end of file\n"
