"""How durations are distributed, in little room: percentiles within 4 % that can be added up over processes and time.

The sketch is the one of Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
guarantees", PVLDB 12(12), 2019: counts in buckets whose limits grow by a constant factor. Values outside 1 µs to
11 days are counted in the outermost buckets, so that there are never more than about 350 of them.

Packed, the counts stand side by side in one large hexadecimal number, 40 bits each, from the first bucket in use on. A
report adds up thousands of sketches, and adding such numbers takes hardly longer for many buckets than for one.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Self

ACCURACY = 0.04
"""Largest relative error of a percentile. Part of the packed form: sketches of another accuracy cannot be added."""

SMALLEST = 1e-6
LARGEST = 1e6
_GROWTH = (1 + ACCURACY) / (1 - ACCURACY)
_LOG_GROWTH = math.log(_GROWTH)
_BITS = 40
_HIGHEST_COUNT = (1 << _BITS) - 1


def bucket_of(value: float) -> int:
    """Return the number of the bucket that counts `value`."""
    return math.ceil(math.log(min(max(value, SMALLEST), LARGEST)) / _LOG_GROWTH)


_LOWEST = bucket_of(SMALLEST)


class Sketch:
    """Counts by bucket."""

    __slots__ = ("counts",)

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts = dict(counts or {})

    def add(self, value: float) -> None:
        bucket = bucket_of(value)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1

    def merge(self, other: "Sketch") -> None:
        """Add what another one counted."""
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count

    def quantile(self, share: float) -> float | None:
        """Return, within 4 %, the smallest value that at least that share (0 to 1) do not exceed; None of nothing.

        That is the nearest rank, so that the 99th percentile of three calls is the slowest of them.
        """
        rank = max(math.ceil(share * sum(self.counts.values())), 1)
        seen = 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= rank:
                return 2 * _GROWTH**bucket / (_GROWTH + 1)
        return None

    def pack(self) -> str:
        """Return the counts as `first:number`; the empty text of nothing."""
        if not self.counts:
            return ""
        first = min(self.counts)
        packed = sum(count << _BITS * (bucket - first) for bucket, count in self.counts.items())
        return f"{first}:{packed:x}"

    @classmethod
    def unpack(cls, texts: Iterable[str]) -> Self:
        """Return the sum of packed sketches."""
        total = 0
        for text in filter(None, texts):
            first, _, packed = text.partition(":")
            total += int(packed, 16) << _BITS * (int(first) - _LOWEST)
        counts, bucket = {}, _LOWEST
        while total:
            if count := total & _HIGHEST_COUNT:
                counts[bucket] = count
            total >>= _BITS
            bucket += 1
        return cls(counts)
