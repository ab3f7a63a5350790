"""Figures as people and the API read them. Times in seconds, rates of errors in percent."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from contexten_core.performance.sampling import Sample
from contexten_core.performance.tally import Key, Metric, Tally

Tallies = Mapping[Key, Tally]
PERCENTILES = (50, 95, 99)
_GIGABYTE = 1024**3


def operations(tallies: Tallies) -> dict[str, Tally]:
    """Return the operations by name, in the order of their names."""
    return {
        key.operation: tally
        for key, tally in sorted(tallies.items())
        if key.metric is Metric.OPERATION and tally.count > 0
    }


def current(sample: Sample, by_operation: Mapping[str, Tally], *, score: float) -> dict[str, Any]:
    """Return the newest sample with the figures of operations."""
    return {
        "timestamp": sample.taken_at.isoformat(),
        "cpu_usage": sample.cpu_percent,
        "memory_usage": sample.memory_percent,
        "memory_available_gb": round(sample.memory_available_bytes / _GIGABYTE, 3),
        "process_memory_mb": round(sample.process_memory_bytes / 1024**2, 1),
        "disk_usage": sample.disk_percent,
        "active_connections": sample.connections,
        "network": {
            "bytes_sent": sample.network_sent_bytes,
            "bytes_received": sample.network_received_bytes,
            "bytes_sent_per_second": _rounded(sample.network_sent_rate),
            "bytes_received_per_second": _rounded(sample.network_received_rate),
        },
        "disk": {
            "bytes_read": sample.disk_read_bytes,
            "bytes_written": sample.disk_written_bytes,
            "bytes_read_per_second": _rounded(sample.disk_read_rate),
            "bytes_written_per_second": _rounded(sample.disk_written_rate),
        },
        "average_response_times": {name: _rounded(tally.mean) for name, tally in by_operation.items()},
        "percentiles": {name: percentiles(tally) for name, tally in by_operation.items()},
        "operation_counts": {name: tally.count for name, tally in by_operation.items()},
        "error_rates": {name: _rounded(tally.error_rate) for name, tally in by_operation.items()},
        "performance_score": score,
    }


def report(tallies: Tallies, *, hours: float, since: float, until: float) -> dict[str, Any]:
    """Return what a time came to. `since` and `until` are seconds since 1970; figures of nothing are None."""
    by_operation = operations(tallies)
    return {
        "period_hours": hours,
        "since": datetime.fromtimestamp(since, UTC).isoformat(),
        "until": datetime.fromtimestamp(until, UTC).isoformat(),
        "total_samples": tallies.get(Key(Metric.CPU), Tally()).count,
        "cpu_usage": _range(tallies, Metric.CPU),
        "memory_usage": _range(tallies, Metric.MEMORY),
        "disk_usage": _range(tallies, Metric.DISK),
        "network": {
            "bytes_sent_per_second": _range(tallies, Metric.SENT),
            "bytes_received_per_second": _range(tallies, Metric.RECEIVED),
        },
        "active_connections": _range(tallies, Metric.CONNECTIONS),
        "response_times": {
            name: {
                "avg": _rounded(tally.mean),
                "min": _rounded(tally.least),
                "max": _rounded(tally.most),
                "count": tally.count,
                **percentiles(tally),
            }
            for name, tally in by_operation.items()
        },
        "operation_counts": {name: tally.count for name, tally in by_operation.items()},
        "error_rates": {name: _rounded(tally.error_rate) for name, tally in by_operation.items()},
    }


def percentiles(tally: Tally) -> dict[str, float | None]:
    return {f"p{percent}": _rounded(tally.percentile(percent)) for percent in PERCENTILES}


def _range(tallies: Tallies, metric: Metric) -> dict[str, float | None]:
    tally = tallies.get(Key(metric))
    if tally is None:
        return {"avg": None, "min": None, "max": None}
    return {"avg": _rounded(tally.mean), "min": _rounded(tally.least), "max": _rounded(tally.most)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
