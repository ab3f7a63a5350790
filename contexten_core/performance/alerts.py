"""Thresholds: crossing one raises one alert, and no other until the figure has come back."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from contexten_core.performance.sampling import Sample
from contexten_core.performance.suggest import (
    ENOUGH_OPERATIONS,
    Suggestion,
    busy_cpu,
    failing_operation,
    full_memory,
    slow_operation,
)
from contexten_core.performance.tally import Tally
from contexten_core.settings import Settings


class AlertKind(StrEnum):
    CPU = "cpu_usage"
    MEMORY = "memory_usage"
    RESPONSE_TIME = "response_time"
    ERROR_RATE = "error_rate"


_METRICS = {
    AlertKind.CPU: ("cpu_usage", "percent"),
    AlertKind.MEMORY: ("memory_usage", "percent"),
    AlertKind.RESPONSE_TIME: ("average_response_times", "seconds"),
    AlertKind.ERROR_RATE: ("error_rates", "percent"),
}


@dataclass(frozen=True, slots=True)
class _Figure:
    kind: AlertKind
    value: float
    threshold: float
    explain: Callable[[], Suggestion]
    operation: str = ""


class AlertWatch:
    """Remembers which alerts stand."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._standing: set[tuple[AlertKind, str]] = set()

    def check(self, sample: Sample, recent: Mapping[str, Tally], failures: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the alerts that this sample and the last five minutes of each operation raise.

        Operations are judged from 20 calls in those minutes on; with fewer, an alert stands as it did, and with none
        it is over.

        Args:
            failures: by operation, the kind of error that it fails with most often.
        """
        self._standing = {each for each in self._standing if not each[1] or each[1] in recent}
        figures = [*self._of_machine(sample), *self._of_operations(recent, failures)]
        return [_alert(figure, sample) for figure in figures if self._crosses(figure)]

    def _of_machine(self, sample: Sample) -> Iterator[_Figure]:
        limits = self._settings
        explain = partial(busy_cpu, sample.cpu_percent, limits)
        yield _Figure(AlertKind.CPU, sample.cpu_percent, limits.cpu_alert_percent, explain)
        explain = partial(full_memory, sample, limits)
        yield _Figure(AlertKind.MEMORY, sample.memory_percent, limits.memory_alert_percent, explain)

    def _of_operations(self, recent: Mapping[str, Tally], failures: Mapping[str, str]) -> Iterator[_Figure]:
        limits = self._settings
        for name, tally in recent.items():
            if tally.count >= ENOUGH_OPERATIONS:
                explain = partial(slow_operation, name, tally, limits)
                yield _Figure(AlertKind.RESPONSE_TIME, tally.mean, limits.response_alert_seconds, explain, name)
                explain = partial(failing_operation, name, tally, failures.get(name), limits)
                yield _Figure(AlertKind.ERROR_RATE, tally.error_rate, limits.error_rate_alert_percent, explain, name)

    def _crosses(self, figure: _Figure) -> bool:
        which = (figure.kind, figure.operation)
        if figure.value <= figure.threshold:
            self._standing.discard(which)
            return False
        crosses = which not in self._standing
        self._standing.add(which)
        return crosses


def _alert(figure: _Figure, sample: Sample) -> dict[str, Any]:
    metric, unit = _METRICS[figure.kind]
    explanation = figure.explain()
    return {
        "kind": figure.kind.value,
        "metric": metric,
        "value": round(figure.value, 6),
        "threshold": figure.threshold,
        "unit": unit,
        "operation": figure.operation or None,
        "issue": explanation.issue,
        "suggestion": explanation.suggestion,
        "timestamp": sample.taken_at.isoformat(),
    }
