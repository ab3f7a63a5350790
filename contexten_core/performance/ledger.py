"""What one process has measured and the database may not have yet.

Of every minute, hour and day that still runs, and of earlier ones until they are stored, the ledger holds whole
tallies, not differences. Storing one therefore replaces the row that this process wrote before, and can be repeated
after a lost connection without counting anything twice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

from contexten_core.performance.tally import Key, Metric, Tally
from contexten_core.performance.window import MINUTE, WIDTHS, Span, floor

RECENT_SECONDS = 5 * MINUTE


@dataclass(frozen=True, slots=True)
class Entry:
    """One tally of one interval, as it was when it was copied."""

    width: int
    start: int
    key: Key
    tally: Tally


@dataclass(frozen=True, slots=True)
class Reading:
    """One value to be added up."""

    key: Key
    value: float
    failed: bool = False


class Ledger:
    """Thread-safe. Holds at most `capacity` tallies besides those of the intervals that still run.

    When more have to wait, the oldest minutes go first, then hours, then days.
    """

    def __init__(self, *, capacity: int) -> None:
        self._capacity = capacity
        self._held: dict[int, dict[int, dict[Key, Tally]]] = {width: {} for width in WIDTHS}
        self._latest = 0.0
        self._lock = Lock()

    def add(self, moment: float, readings: Iterable[Reading]) -> None:
        """Add values measured at `moment` (seconds since 1970); one before the latest counts as the latest.

        A clock that is set back must not reopen an interval that is stored and let go.
        """
        with self._lock:
            crossed = floor(moment, MINUTE) > floor(self._latest, MINUTE)
            self._latest = max(self._latest, moment)
            current = [self._held[width].setdefault(floor(self._latest, width), {}) for width in WIDTHS]
            for reading in readings:
                sketched = reading.key.metric is Metric.OPERATION
                for tallies in current:
                    tally = tallies.get(reading.key)
                    if tally is None:
                        tally = tallies[reading.key] = Tally()
                    tally.add(reading.value, failed=reading.failed, sketched=sketched)
            if crossed:
                self._make_room()

    def unsaved(self) -> Sequence[Entry]:
        """Return copies of what the database does not have, oldest first."""
        with self._lock:
            return [
                Entry(width, start, key, Tally.of([tally]))
                for width, intervals in self._held.items()
                for start, tallies in sorted(intervals.items())
                for key, tally in tallies.items()
                if tally.count != tally.saved
            ]

    def mark_saved(self, entries: Iterable[Entry]) -> None:
        """Note that the database has these, and let go of intervals that are over and stored whole."""
        with self._lock:
            for entry in entries:
                tally = self._held[entry.width].get(entry.start, {}).get(entry.key)
                if tally is not None:
                    tally.saved = entry.tally.count
            for width, intervals in self._held.items():
                keep_from = floor(self._latest - (RECENT_SECONDS if width == MINUTE else 0), width)
                for start in sorted(intervals):
                    if start >= keep_from or any(tally.count != tally.saved for tally in intervals[start].values()):
                        break
                    del intervals[start]

    def look(self, spans: Iterable[Span]) -> tuple[dict[Key, Tally], Mapping[int, int]]:
        """Return what is held of those intervals, and by width from which moment on everything of ours is held.

        Rows of this process from that moment on repeat what is returned here.
        """
        with self._lock:
            found: dict[Key, Tally] = {}
            for span in spans:
                for start, tallies in self._held[span.width].items():
                    if start in span.starts:
                        for key, tally in tallies.items():
                            found.setdefault(key, Tally()).merge(tally)
            return found, {width: min(intervals) for width, intervals in self._held.items() if intervals}

    def recent(self, moment: float) -> dict[str, Tally]:
        """Return the last five minutes of each operation, the running minute among them."""
        begin = floor(moment, MINUTE) - RECENT_SECONDS + MINUTE
        tallies, _ = self.look([Span(MINUTE, begin, floor(moment, MINUTE) + MINUTE)])
        return {key.operation: tally for key, tally in tallies.items() if key.metric is Metric.OPERATION}

    def _make_room(self) -> None:
        held = sum(len(tallies) for intervals in self._held.values() for tallies in intervals.values())
        for intervals in self._held.values():
            for start in sorted(intervals)[:-1]:
                if held <= self._capacity:
                    return
                held -= len(intervals.pop(start))
