"""Intervals in which values are added up: aligned in UTC, each made of whole ones of the width before.

Times are seconds since 1970.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

MINUTE, TEN_MINUTES, HOUR, DAY = 60, 600, 3_600, 86_400
WIDTHS = (MINUTE, TEN_MINUTES, HOUR, DAY)
SHORT_WIDTHS = (MINUTE, TEN_MINUTES)
SHORT_KEPT = 48 * HOUR


@dataclass(frozen=True, slots=True)
class Span:
    """Intervals of one width that begin from `begin` up to, not including, `end`."""

    width: int
    begin: int
    end: int

    @property
    def starts(self) -> range:
        """When each of the intervals begins."""
        return range(self.begin, self.end, self.width)


def floor(moment: float, width: int) -> int:
    """Return when the interval began that a moment lies in."""
    return int(moment // width) * width


def begin_of(since: float, now: float) -> int:
    """Return where a look back to `since` really begins: with its minute, or its hour where minutes are gone."""
    return floor(since, MINUTE if since >= now - SHORT_KEPT else HOUR)


def cover(since: float, now: float) -> Sequence[Span]:
    """Return few intervals that make up the time from `begin_of(since, now)` to `now`, each moment once.

    That is minutes up to the first full ten, ten minutes up to the first full hour, hours up to the first full day,
    then days. The last interval goes on beyond `now`, where nothing has happened yet.
    """
    edge = begin_of(since, now)
    spans = []
    for width, next_width in pairwise((*WIDTHS, 0)):
        end = -floor(-edge, next_width) if next_width else floor(now, width) + width
        if edge < end and edge <= now:
            spans.append(Span(width, edge, end))
        edge = max(edge, end)
    return spans
