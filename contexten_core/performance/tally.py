"""What many values of one metric come to."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Self

from contexten_core.performance.sketch import Sketch


class Metric(StrEnum):
    """What is measured. Everything but `operation` is about the machine, or this process on it."""

    CPU = "cpu_usage"
    MEMORY = "memory_usage"
    DISK = "disk_usage"
    SENT = "network_sent_bytes"
    RECEIVED = "network_received_bytes"
    CONNECTIONS = "active_connections"
    OPERATION = "operation"


class Key(NamedTuple):
    """A metric, and of which operation; the machine's own have none."""

    metric: Metric
    operation: str = ""


@dataclass(slots=True)
class Tally:
    """Count, sum, extremes, failures and, of operations, the distribution of values.

    Attributes:
        saved: the count that the database has.
    """

    count: int = 0
    total: float = 0.0
    least: float = float("inf")
    most: float = float("-inf")
    errors: int = 0
    sketch: Sketch = field(default_factory=Sketch)
    saved: int = 0

    def add(self, value: float, *, failed: bool = False, sketched: bool = False) -> None:
        self.count += 1
        self.total += value
        self.least = min(self.least, value)
        self.most = max(self.most, value)
        self.errors += failed
        if sketched:
            self.sketch.add(value)

    def merge(self, other: "Tally") -> None:
        self.count += other.count
        self.total += other.total
        self.least = min(self.least, other.least)
        self.most = max(self.most, other.most)
        self.errors += other.errors
        self.sketch.merge(other.sketch)

    @classmethod
    def of(cls, tallies: Iterable["Tally"]) -> Self:
        """Return all of them as one; none of them is changed."""
        merged = cls()
        for tally in tallies:
            merged.merge(tally)
        return merged

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    @property
    def error_rate(self) -> float:
        """Failures in percent."""
        return 100 * self.errors / self.count if self.count else 0.0

    def percentile(self, percent: float) -> float | None:
        """Return the value below which that part lies, within 4 %; None where no distribution was kept."""
        value = self.sketch.quantile(percent / 100)
        return None if value is None else min(max(value, self.least), self.most)
