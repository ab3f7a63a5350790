"""Reports read the intervals that they need, by the unique index, however much lies behind them."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event, insert, text

from contexten_core.analytics.models import AnalyticsEventType, AnalyticsMetricModel, AnalyticsModel, MetricType
from contexten_core.db import Database
from contexten_core.performance import PerformanceMonitor, store
from contexten_core.performance.sketch import Sketch
from contexten_core.performance.window import DAY, HOUR, MINUTE, TEN_MINUTES
from contexten_core.settings import Settings

NOW = datetime(2026, 5, 2, 0, 1, 30, tzinfo=UTC)
OPERATIONS = 8
# PostgreSQL shortens the name, SQLite makes up one of its own.
INDEX = re.compile(r"uq_analytics_metrics_collection_interval_seconds_|sqlite_autoindex_analytics_metrics_")
SCAN = re.compile(r"Seq Scan on analytics_metrics|SCAN analytics_metrics")


@pytest.fixture
async def filled(database: Database) -> Database:
    """A database with 32,000 rows: what one process with eight operations leaves behind, days of which a year."""
    run = uuid4()
    sketch = Sketch()
    sketch.add(0.1)
    kept = {MINUTE: 48, TEN_MINUTES: 48, HOUR: 30 * 24, DAY: 365 * 24}
    starts = [
        (datetime.fromtimestamp(start, UTC), width)
        for width, hours in kept.items()
        for start in range(
            int((NOW - timedelta(hours=hours)).timestamp()) // width * width, int(NOW.timestamp()), width
        )
    ]
    async with database.transaction() as session:
        session.add(
            AnalyticsModel(
                id=run,
                name="test",
                session_id="test",
                event_type=AnalyticsEventType.PERFORMANCE_MEASURED,
                component=store.COMPONENT,
                operation="measure",
                event_data={},
                success=True,
            )
        )
        await session.flush()
        await session.execute(
            insert(AnalyticsMetricModel.__table__),  # type: ignore[arg-type]
            [
                {
                    "name": f"operation {number}",
                    "metric_name": "operation",
                    "metric_type": MetricType.TIMER,
                    "operation": f"operation {number}",
                    "source": "test",
                    "collection_interval_seconds": width,
                    "timestamp": start,
                    "value": 0.1,
                    "min_value": 0.1,
                    "max_value": 0.1,
                    "sample_count": 1,
                    "error_count": 0,
                    "sketch": {"packed": sketch.pack()},
                    "analytics_id": run,
                }
                for start, width in sorted(starts)
                for number in range(OPERATIONS)
            ],
        )
    async with database.transaction() as session:
        await session.execute(text("ANALYZE"))
    return database


@asynccontextmanager
async def queries(database: Database) -> AsyncIterator[list[tuple[str, Any]]]:
    """Collect the statements about measurements that run in the block, with their parameters."""
    collected: list[tuple[str, Any]] = []

    def collect(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if "analytics_metrics" in statement:
            collected.append((statement, parameters))

    event.listen(database.engine.sync_engine, "before_cursor_execute", collect)
    yield collected
    event.remove(database.engine.sync_engine, "before_cursor_execute", collect)


async def plan(database: Database, statement: str, parameters: Any) -> str:
    words = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
    async with database.transaction() as session:
        connection = await session.connection()
        lines = await connection.exec_driver_sql(f"{words} {statement}", parameters)
        return "\n".join(str(line[-1]) for line in lines)


@pytest.mark.parametrize("hours", [1, 24, 720])
async def test_a_report_reads_by_the_unique_index(hours: int, filled: Database, tmp_path: Path) -> None:
    monitor = PerformanceMonitor(database=filled, settings=Settings(home=tmp_path), clock=lambda: NOW)
    async with queries(filled) as asked:
        report = await monitor.get_performance_report(hours=hours)
    assert len(report["response_times"]) == OPERATIONS
    assert 1 <= len(asked) <= 4
    for statement, parameters in asked:
        found = await plan(filled, statement, parameters)
        assert INDEX.search(found), found
        assert not SCAN.search(found), found


async def test_pruning_reads_by_indexes(filled: Database, tmp_path: Path) -> None:
    monitor = PerformanceMonitor(database=filled, settings=Settings(home=tmp_path), clock=lambda: NOW)
    async with queries(filled) as asked:
        assert await monitor.prune() > 0
    for statement, parameters in asked:
        found = await plan(filled, statement, parameters)
        assert not SCAN.search(found), found
