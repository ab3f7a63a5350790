"""Which kinds of error each operation fails with."""

import re
from collections import Counter
from threading import Lock

_MOST_KINDS = 20
_LONGEST = 100
_KIND = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*(?=:|\Z)")


class Failures:
    """Counts of one process since it started, by operation and kind. Thread-safe; bounded for bounded operations.

    Only the kind of an error is kept, since its text may hold anything, a password too.
    """

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}
        self._lock = Lock()

    def add(self, operation: str, error: BaseException | str) -> None:
        """Count a failure: an exception, or text that begins with its kind (`TimeoutError: ...`)."""
        if isinstance(error, BaseException):
            kind = type(error).__name__
        else:
            match = _KIND.match(error)
            kind = match[0] if match else "error"
        with self._lock:
            counts = self._counts.setdefault(operation, Counter())
            if kind in counts or len(counts) < _MOST_KINDS:
                counts[kind[:_LONGEST]] += 1

    def commonest(self) -> dict[str, str]:
        """Return the commonest kind of each operation that has failed."""
        with self._lock:
            return {operation: counts.most_common(1)[0][0] for operation, counts in self._counts.items()}
