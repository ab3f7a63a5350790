"""How good the figures are, and what to change when they are not: the cause with its figures, and the setting."""

from collections.abc import Mapping
from dataclasses import dataclass

from contexten_core.performance.sampling import Sample
from contexten_core.performance.tally import Tally
from contexten_core.settings import DatabaseKind, Settings

DISK_PERCENT = 90
ENOUGH_OPERATIONS = 20
_MOST_OPERATIONS = 5
_PENALTY = 25
_NO_PENALTY_BELOW = 0.5
_FULL_PENALTY_ABOVE = 1.25
_NEAR = 0.95
_TAIL = 4


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What is wrong, why, and what to change."""

    type: str
    issue: str
    suggestion: str

    def as_dict(self) -> dict[str, str]:
        return {"type": self.type, "issue": self.issue, "suggestion": self.suggestion}


def performance_score(sample: Sample, operations: Mapping[str, Tally], settings: Settings) -> float:
    """Return 0 (bad) to 100 (good).

    CPU, memory, the mean duration of all operations and their error rate each cost up to 25 points: none up to half of
    the figure's alert threshold, then evenly more, up to all 25 at 1.25 times the threshold.
    """
    every = Tally.of(operations.values())
    loads = (
        sample.cpu_percent / settings.cpu_alert_percent,
        sample.memory_percent / settings.memory_alert_percent,
        every.mean / settings.response_alert_seconds,
        every.error_rate / settings.error_rate_alert_percent,
    )
    scale = _FULL_PENALTY_ABOVE - _NO_PENALTY_BELOW
    return round(100 - sum(_PENALTY * min(max((load - _NO_PENALTY_BELOW) / scale, 0), 1) for load in loads), 1)


def suggestions(
    sample: Sample, operations: Mapping[str, Tally], failures: Mapping[str, str], settings: Settings
) -> list[Suggestion]:
    """Return what to change, the machine first, then the worst operations; nothing when all is well.

    An operation is judged from its 20th call on, as for alerts.

    Args:
        failures: by operation, the kind of error that this process has met most often there.
    """
    found = []
    if sample.cpu_percent > settings.cpu_alert_percent:
        found.append(busy_cpu(sample.cpu_percent, settings))
    if sample.memory_percent > settings.memory_alert_percent:
        found.append(full_memory(sample, settings))
    if sample.disk_percent > DISK_PERCENT:
        found.append(full_disk(sample.disk_percent, settings))
    judged = [(name, tally) for name, tally in operations.items() if tally.count >= ENOUGH_OPERATIONS]
    slow = [each for each in judged if each[1].mean > settings.response_alert_seconds]
    failing = [each for each in judged if each[1].error_rate > settings.error_rate_alert_percent]
    slow.sort(key=lambda each: each[1].mean, reverse=True)
    failing.sort(key=lambda each: each[1].error_rate, reverse=True)
    found += [slow_operation(name, tally, settings) for name, tally in slow[:_MOST_OPERATIONS]]
    found += [
        failing_operation(name, tally, failures.get(name), settings) for name, tally in failing[:_MOST_OPERATIONS]
    ]
    return found


def busy_cpu(percent: float, settings: Settings) -> Suggestion:
    return Suggestion(
        "cpu",
        f"CPU usage is {percent:.1f} %, above {settings.cpu_alert_percent:g} %",
        f"run fewer commands at once: lower MAX_CONCURRENT_COMMANDS (now {settings.max_concurrent_commands}); "
        f"if API requests are what keeps it busy, lower MAX_CONCURRENT_OPERATIONS "
        f"(now {settings.max_concurrent_operations}), or add cores",
    )


def full_memory(sample: Sample, settings: Settings) -> Suggestion:
    return Suggestion(
        "memory",
        f"memory usage is {sample.memory_percent:.1f} %, above {settings.memory_alert_percent:g} %; "
        f"{sample.process_memory_bytes / 1024**2:.0f} MB of it is this process",
        f"lower MAX_CONCURRENT_COMMANDS (now {settings.max_concurrent_commands}), whose commands share the memory, "
        f"or API_WORKERS (now {settings.api_workers}), each of which has its own, or add memory",
    )


def full_disk(percent: float, settings: Settings) -> Suggestion:
    return Suggestion(
        "disk",
        f"the disk of CONTEXTEN_HOME is {percent:.1f} % full, above {DISK_PERCENT} %",
        f"keep less: lower METRICS_RETENTION_DAYS (now {settings.metrics_retention_days}) and ERRORS_RETENTION_DAYS "
        f"(now {settings.errors_retention_days}), or move CONTEXTEN_HOME to a larger disk",
    )


def slow_operation(name: str, tally: Tally, settings: Settings) -> Suggestion:
    half, most_of_it = tally.percentile(50) or 0.0, tally.percentile(95) or 0.0
    issue = (
        f"{name} takes {tally.mean:.2f} s on average over {tally.count} calls, above "
        f"{settings.response_alert_seconds:g} s (p50 {half:.2f} s, p95 {most_of_it:.2f} s)"
    )
    if tally.most >= _NEAR * settings.api_timeout_seconds:
        advice = (
            f"its slowest call took {tally.most:.1f} s, as long as an outside service is waited for: "
            f"lower API_TIMEOUT_SECONDS (now {settings.api_timeout_seconds:g})"
        )
    elif most_of_it > _TAIL * half:
        advice = (
            f"most calls are quick and some wait, so they queue: {_wider_pool(settings)}admit fewer at once with "
            f"MAX_CONCURRENT_OPERATIONS (now {settings.max_concurrent_operations})"
        )
    else:
        advice = (
            f"every call is slow, so the work itself is: spread it over more processes with API_WORKERS "
            f"(now {settings.api_workers}), or give up earlier with RESPONSE_TIMEOUT_SECONDS "
            f"(now {settings.response_timeout_seconds:g})"
        )
    return Suggestion("response_time", issue, advice)


def failing_operation(name: str, tally: Tally, failure: str | None, settings: Settings) -> Suggestion:
    mostly = f", most often with {failure}" if failure else ""
    issue = (
        f"{name} fails in {tally.error_rate:.1f} % of {tally.count} calls, above "
        f"{settings.error_rate_alert_percent:g} %{mostly}"
    )
    if failure == "OverloadedError":
        advice = f"admit more at once: raise MAX_CONCURRENT_OPERATIONS (now {settings.max_concurrent_operations})"
    elif (failure or "").endswith("TimeoutError") or tally.most >= _NEAR * settings.response_timeout_seconds:
        advice = (
            f"its slowest call took {tally.most:.2f} s, and calls are given up after RESPONSE_TIMEOUT_SECONDS "
            f"(now {settings.response_timeout_seconds:g}): raise it, or make the operation quicker"
        )
    else:
        advice = (
            "the errors page and GET /api/errors/statistics say what fails; if an outside service does, raise "
            f"API_RETRY_ATTEMPTS (now {settings.api_retry_attempts}) or API_TIMEOUT_SECONDS "
            f"(now {settings.api_timeout_seconds:g})"
        )
    return Suggestion("error_rate", issue, advice)


def _wider_pool(settings: Settings) -> str:
    if settings.db.kind is DatabaseKind.SQLITE:
        return "SQLite has one writer at a time, a PostgreSQL (DB_HOST) has many; or "
    return f"raise DB_POOL_SIZE (now {settings.db.pool_size}), or "
