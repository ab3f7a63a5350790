"""Statistics of errors, in one shape wherever they come from."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from contexten_core.errors.describe import ErrorRecord
from contexten_core.errors.store import MOST_PATTERNS, RECENT, ErrorFigures


def of_figures(figures: ErrorFigures) -> dict[str, Any]:
    """Return the statistics of everything that was ever stored."""
    categories: Counter[str] = Counter()
    severities: Counter[str] = Counter()
    recoverable = 0
    for category, severity, may_recover, number in figures.kinds:
        categories[category.value] += int(number)
        severities[severity.value] += int(number)
        recoverable += int(number) if may_recover else 0
    return _shaped(
        categories,
        severities,
        recoverable,
        {f"{category}:{error_type}": int(number) for category, error_type, number in figures.patterns},
        [_recent(row) for row in reversed(figures.recent)],
    )


class Tally:
    """What one process has handled since it started, bounded, for a handler without a database.

    Attributes:
        patterns: how often each `category:Type` was met; the rarest makes room for a new one.
    """

    def __init__(self) -> None:
        self.patterns: Counter[str] = Counter()
        self._categories: Counter[str] = Counter()
        self._severities: Counter[str] = Counter()
        self._recoverable = 0

    def count(self, record: ErrorRecord) -> None:
        self._categories[record.category.value] += 1
        self._severities[record.severity.value] += 1
        self._recoverable += record.recoverable
        if record.pattern not in self.patterns and len(self.patterns) >= MOST_PATTERNS:
            del self.patterns[min(self.patterns, key=self.patterns.__getitem__)]
        self.patterns[record.pattern] += 1

    def statistics(self, recent: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the statistics of this process; `recent` are summaries, the oldest first."""
        patterns = dict(self.patterns.most_common())
        return _shaped(
            self._categories, self._severities, self._recoverable, patterns, [dict(one) for one in recent[-RECENT:]]
        )


def _shaped(
    categories: Counter[str],
    severities: Counter[str],
    recoverable: int,
    patterns: dict[str, int],
    recent: list[dict[str, Any]],
) -> dict[str, Any]:
    total = categories.total()
    if total == 0:
        return {"total_errors": 0}
    return {
        "total_errors": total,
        "categories": dict(categories),
        "severities": dict(severities),
        "recoverable_percentage": 100 * recoverable / total,
        "error_patterns": patterns,
        "recent_errors": recent,
    }


def _recent(row: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in row.items() if name != "occurred_at"}
    return {
        **shown,
        "category": row["category"].value,
        "severity": row["severity"].value,
        "timestamp": row["occurred_at"].isoformat(),
    }
