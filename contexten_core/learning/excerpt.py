"""The few thousand characters of a log that are worth showing."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from contexten_core.security.text import shorten

MAX_EXCERPT = 4_000
"""Characters of an excerpt."""
GAP = "…"
_MAX_SHOWN = 500
_ROOMY = (6, 14)
_TIGHT = (1, 3)


def excerpt_around(lines: Sequence[str], indices: Iterable[int]) -> str:
    """Return the lines at the indices with what stands around them, in the order of the log.

    Args:
        lines: the whole log.
        indices: lines that must be shown, most telling first; the first gets more of its surroundings.
    """
    wanted = list(dict.fromkeys(indices))
    shown: set[int] = set()
    left = MAX_EXCERPT
    for index in (*wanted, *_surroundings(wanted, len(lines))):
        cost = min(len(lines[index]), _MAX_SHOWN) + len(f"\n{GAP}\n")
        if index not in shown and cost <= left:
            shown.add(index)
            left -= cost
    return _joined(lines, sorted(shown))


def _surroundings(wanted: Sequence[int], count: int) -> Iterable[int]:
    for position, index in enumerate(wanted):
        before, after = _TIGHT if position else _ROOMY
        for distance in range(1, max(before, after) + 1):
            if distance <= after and index + distance < count:
                yield index + distance
            if distance <= before and index >= distance:
                yield index - distance


def _joined(lines: Sequence[str], indices: Sequence[int]) -> str:
    if not indices:
        return ""
    parts = [shorten(lines[indices[0]], _MAX_SHOWN)]
    for previous, index in pairwise(indices):
        if index > previous + 1:
            parts.append(GAP)
        parts.append(shorten(lines[index], _MAX_SHOWN))
    return "\n".join(parts).strip("\n")
