"""All SQL about measurements. A row is written by the process that measured, and by no other: writers never collide."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Executable, Row, Select, Table, delete, func, not_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.analytics.models import AnalyticsEventType, AnalyticsMetricModel, AnalyticsModel, MetricType
from contexten_core.db import BaseModel, utc_now
from contexten_core.performance.ledger import Entry
from contexten_core.performance.sketch import Sketch
from contexten_core.performance.tally import Key, Metric, Tally
from contexten_core.performance.window import SHORT_WIDTHS, WIDTHS, Span

MOST_OPERATIONS = 1_000
COMPONENT = "performance"
_SAVED_AT_ONCE = 200
_DELETED_AT_ONCE = 1_000
_UNIQUE = ("collection_interval_seconds", "timestamp", "metric_name", "operation", "source")
_REPLACED = (
    "value",
    "sample_count",
    "min_value",
    "max_value",
    "avg_value",
    "percentile_95",
    "percentile_99",
    "error_count",
    "sketch",
    "updated_at",
)
_UNITS = {
    Metric.CPU: "percent",
    Metric.MEMORY: "percent",
    Metric.DISK: "percent",
    Metric.SENT: "bytes per second",
    Metric.RECEIVED: "bytes per second",
    Metric.CONNECTIONS: "connections",
    Metric.OPERATION: "seconds",
}


@dataclass(frozen=True, slots=True)
class Origin:
    """The process that measures: its name in `source`, and the analytics row that its rows hang off."""

    source: str
    analytics_id: UUID
    environment: str


async def save(session: AsyncSession, origin: Origin, entries: Sequence[Entry]) -> None:
    """Write tallies over those that this process wrote before of the same intervals."""
    now = utc_now()
    await session.execute(_upsert(session, AnalyticsModel, ("id",), ("updated_at",)), _run(origin, now))
    statement = _upsert(session, AnalyticsMetricModel, _UNIQUE, _REPLACED)
    for first in range(0, len(entries), _SAVED_AT_ONCE):
        batch = entries[first : first + _SAVED_AT_ONCE]
        await session.execute(statement, [_row(origin, entry, now) for entry in batch])


def _upsert(
    session: AsyncSession, model: type[BaseModel], unique: Sequence[str], replaced: Sequence[str]
) -> Executable:
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(cast(Table, model.__table__))
    values = {name: statement.excluded[name] for name in replaced}
    upsert: Executable = statement.on_conflict_do_update(index_elements=list(unique), set_=values)
    return upsert


def _run(origin: Origin, now: datetime) -> dict[str, Any]:
    """Return the process's own row, whose `updated_at` says when it last stored something."""
    return {
        "id": origin.analytics_id,
        "name": f"performance of {origin.source}",
        "session_id": origin.source,
        "event_type": AnalyticsEventType.PERFORMANCE_MEASURED,
        "component": COMPONENT,
        "operation": "measure",
        "event_data": {"source": origin.source},
        "success": True,
        "environment": origin.environment,
        "updated_at": now,
    }


def _row(origin: Origin, entry: Entry, now: datetime) -> dict[str, Any]:
    tally, is_operation = entry.tally, entry.key.metric is Metric.OPERATION
    return {
        "name": entry.key.operation or entry.key.metric.value,
        "metric_name": entry.key.metric.value,
        "metric_type": MetricType.TIMER if is_operation else MetricType.GAUGE,
        "unit": _UNITS[entry.key.metric],
        "collection_interval_seconds": entry.width,
        "timestamp": _time(entry.start),
        "operation": entry.key.operation,
        "source": origin.source,
        "analytics_id": origin.analytics_id,
        "value": tally.mean,
        "avg_value": tally.mean,
        "sample_count": tally.count,
        "min_value": tally.least,
        "max_value": tally.most,
        "percentile_95": tally.percentile(95),
        "percentile_99": tally.percentile(99),
        "error_count": tally.errors,
        "sketch": {"packed": tally.sketch.pack()},
        "updated_at": now,
    }


async def total(
    session: AsyncSession, spans: Iterable[Span], *, source: str, held_from: Mapping[int, int]
) -> dict[Key, Tally]:
    """Return what every process stored of those intervals, without what `source` itself holds more of by width."""
    rows: list[Row[Any]] = []
    for span in spans:
        rows += await session.execute(sums(span, source=source, held_from=held_from.get(span.width)))
    return await asyncio.to_thread(_added, rows)


def _added(rows: Sequence[Row[Any]]) -> dict[Key, Tally]:
    totals: dict[Key, Tally] = {}
    for row in rows:
        sketch = Sketch.unpack((row.sketches or "").split(","))
        found = Tally(row.samples, row.total, row.least, row.most, row.errors, sketch)
        totals.setdefault(Key(Metric(row.metric_name), row.operation), Tally()).merge(found)
    return totals


def sums(span: Span, *, source: str, held_from: int | None) -> Select[Any]:
    """Add up every metric over the intervals of a span: the busiest operations, where there are very many."""
    table = AnalyticsMetricModel
    samples = func.sum(table.sample_count)
    statement = (
        select(
            table.metric_name,
            table.operation,
            samples.label("samples"),
            func.sum(table.value * table.sample_count).label("total"),
            func.min(func.coalesce(table.min_value, table.value)).label("least"),
            func.max(func.coalesce(table.max_value, table.value)).label("most"),
            func.sum(table.error_count).label("errors"),
            func.aggregate_strings(table.sketch["packed"].as_string(), ",").label("sketches"),
        )
        .where(
            table.collection_interval_seconds == span.width,
            # Not a range: PostgreSQL would think that most rows lie in it, and read them all.
            table.timestamp.in_([_time(start) for start in span.starts]),
            table.metric_name.in_([metric.value for metric in Metric]),
            table.sample_count > 0,
        )
        .group_by(table.metric_name, table.operation)
        .order_by(samples.desc(), table.metric_name, table.operation)
        .limit(MOST_OPERATIONS)
    )
    if held_from is None:
        return statement
    return statement.where(not_((table.source == source) & (table.timestamp >= _time(held_from))))


async def prune(session: AsyncSession, *, short_before: datetime, before: datetime) -> int:
    """Delete at most 5,000 rows that are too old: short intervals from before one time, all others from before another.

    The row of a process goes when it has stored nothing since `before`. Returns how many rows were deleted.
    """
    metric, run = AnalyticsMetricModel, AnalyticsModel
    deleted = 0
    for width in WIDTHS:
        old = select(metric.id).where(
            metric.collection_interval_seconds == width,
            metric.timestamp < (short_before if width in SHORT_WIDTHS else before),
        )
        deleted += await _delete(session, metric, old.order_by(metric.timestamp))
    unused = select(run.id).where(
        run.event_type == AnalyticsEventType.PERFORMANCE_MEASURED,
        run.component == COMPONENT,
        run.created_at < before,
        run.updated_at < before,
    )
    return deleted + await _delete(session, run, unused.order_by(run.created_at))


async def _delete(
    session: AsyncSession, model: type[AnalyticsMetricModel | AnalyticsModel], found: Select[tuple[UUID]]
) -> int:
    """Delete a batch of rows; those that another process is deleting are left to it."""
    ids = (await session.execute(found.limit(_DELETED_AT_ONCE).with_for_update(skip_locked=True))).scalars().all()
    if ids:
        await session.execute(delete(model).where(model.id.in_(ids)).execution_options(synchronize_session=False))
    return len(ids)


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
