"""Figures are the same in every process and survive restarts, on both databases."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from contexten_core.analytics.models import AnalyticsEventType, AnalyticsMetricModel, AnalyticsModel
from contexten_core.db import Database
from contexten_core.performance import PerformanceMonitor
from contexten_core.performance.window import WIDTHS
from contexten_core.settings import DatabaseConfig, Settings

NOON = datetime(2026, 5, 1, 12, 0, 30, tzinfo=UTC)
Make = Callable[..., PerformanceMonitor]


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, sample_seconds=60, metrics_retention_days=30)


@pytest.fixture
async def make(database: Database, settings: Settings, clock: Clock) -> AsyncIterator[Make]:
    """Make the monitor of one more process on the same database."""
    made: list[PerformanceMonitor] = []

    def build(**options: Any) -> PerformanceMonitor:
        made.append(PerformanceMonitor(**{"database": database, "settings": settings, "clock": clock, **options}))
        return made[-1]

    yield build
    for monitor in made:
        await monitor.shutdown()


async def rows(database: Database) -> list[AnalyticsMetricModel]:
    async with database.reading() as session:
        return list((await session.execute(select(AnalyticsMetricModel))).scalars())


async def test_another_process_sees_the_same_report_and_a_restart_too(make: Make) -> None:
    first, second = make(), make()
    for seconds in (0.1, 0.2, 0.3):
        first.record("push", seconds)
        second.record("push", seconds * 10, success=False)
    await first.flush()
    await second.flush()
    seen = await first.get_performance_report()
    assert seen["operation_counts"] == {"push": 6}
    assert seen["error_rates"] == {"push": 50}
    assert seen["response_times"]["push"]["max"] == 3
    assert seen["response_times"]["push"]["p50"] == pytest.approx(0.3, rel=0.04)
    assert await second.get_performance_report() == seen
    assert await make().get_performance_report() == seen


async def test_what_is_not_stored_yet_counts_once(make: Make) -> None:
    monitor = make()
    for count in range(1, 4):
        monitor.record("push", 0.1)
        assert (await monitor.get_performance_report())["operation_counts"] == {"push": count}
        await monitor.flush()
        assert (await monitor.get_performance_report())["operation_counts"] == {"push": count}


async def test_shutdown_stores_what_is_left(make: Make) -> None:
    monitor = make()
    await monitor.initialize()
    monitor.record("push", 0.1)
    await monitor.shutdown()
    seen = await make().get_performance_report()
    assert seen["operation_counts"] == {"push": 1}
    assert seen["total_samples"] == 1
    assert seen["cpu_usage"]["avg"] > 0


async def test_current_metrics_are_this_machine_and_everybodys_last_hour(make: Make, clock: Clock) -> None:
    other, monitor = make(), make()
    clock.now = NOON - timedelta(hours=2)
    other.record("old", 0.1)
    clock.now = NOON
    other.record("push", 0.1)
    await other.flush()
    await monitor.initialize()
    monitor.record("push", 0.3)
    metrics = await monitor.get_current_metrics()
    assert metrics["operation_counts"] == {"push": 2}
    assert metrics["average_response_times"]["push"] == pytest.approx(0.2)
    assert metrics["complete"] is True


async def test_one_row_per_interval_is_written_over(make: Make, database: Database, clock: Clock) -> None:
    monitor = make(source="here")
    for second in range(3):
        clock.now = NOON + timedelta(seconds=second)
        monitor.record("push", 1.0 + second, success=second != 0)
        await monitor.flush()
    stored = await rows(database)
    assert {row.collection_interval_seconds for row in stored} == set(WIDTHS)
    assert len(stored) == len(WIDTHS)
    minute = next(row for row in stored if row.collection_interval_seconds == 60)
    assert minute.timestamp == NOON.replace(second=0)
    assert (minute.metric_name, minute.operation, minute.unit) == ("operation", "push", "seconds")
    assert (minute.value, minute.min_value, minute.max_value) == (2, 1, 3)
    assert (minute.sample_count, minute.error_count) == (3, 1)
    assert minute.percentile_99 == pytest.approx(3, rel=0.04)
    assert minute.source == monitor.source


async def test_the_rows_of_a_process_hang_off_one_analytics_row(make: Make, database: Database, clock: Clock) -> None:
    monitor = make()
    for minute in range(3):
        clock.now = NOON + timedelta(minutes=minute)
        monitor.record("push", 0.1)
        await monitor.flush()
    async with database.reading() as session:
        (run,) = (await session.execute(select(AnalyticsModel))).scalars()
    assert run.event_type is AnalyticsEventType.PERFORMANCE_MEASURED
    assert run.session_id == monitor.source
    assert {row.analytics_id for row in await rows(database)} == {run.id}


async def test_machine_figures_are_stored_as_gauges(make: Make, database: Database) -> None:
    monitor = make()
    await monitor.initialize()
    await monitor.flush()
    stored = {row.metric_name: row.metric_type.value for row in await rows(database)}
    assert stored.items() >= {"cpu_usage": "gauge", "memory_usage": "gauge", "disk_usage": "gauge"}.items()


async def test_figures_wait_while_the_database_is_away(
    make: Make, database: Database, database_config: DatabaseConfig, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = make()
    await monitor.initialize()
    monitor.record("push", 0.1)
    await monitor.flush()
    await database.close()
    clock.now = NOON + timedelta(minutes=10)
    monitor.record("push", 0.1)
    assert await monitor.flush() is False
    assert "wait for the database" in caplog.text
    metrics = await monitor.get_current_metrics()
    assert (metrics["complete"], metrics["operation_counts"]) == (False, {"push": 2})
    assert "database" in (await monitor.get_performance_report())["error"]
    clock.now = NOON + timedelta(minutes=20)
    monitor.record("push", 0.1)
    database.open(database_config)
    assert await monitor.flush() is True
    assert (await make().get_performance_report())["operation_counts"] == {"push": 3}


async def test_storing_again_what_was_stored_counts_nothing_twice(make: Make, database: Database) -> None:
    """As after a commit whose answer was lost."""
    monitor = make()
    monitor.record("push", 0.1)
    entries = monitor._ledger.unsaved()
    await monitor.flush()
    monitor._ledger.mark_saved([])
    for entry in entries:
        monitor._ledger._held[entry.width][entry.start][entry.key].saved = 0
    await monitor.flush()
    assert {row.sample_count for row in await rows(database)} == {1}


async def test_two_processes_of_one_name_do_not_write_over_each_other(make: Make) -> None:
    for _ in range(2):
        monitor = make(source="worker")
        monitor.record("push", 0.1)
        await monitor.flush()
    assert (await make().get_performance_report())["operation_counts"] == {"push": 2}


async def test_many_processes_storing_at_once_lose_nothing(make: Make) -> None:
    monitors = [make() for _ in range(10)]

    async def work(monitor: PerformanceMonitor) -> None:
        for _ in range(5):
            monitor.record("push", 0.1)
            assert await monitor.flush()

    await asyncio.gather(*(work(monitor) for monitor in monitors))
    assert (await make().get_performance_report())["operation_counts"] == {"push": 50}


async def test_a_long_look_back_adds_minutes_hours_and_days(make: Make, clock: Clock) -> None:
    monitor = make()
    for hours in range(24 * 10, -1, -1):
        clock.now = NOON - timedelta(hours=hours)
        monitor.record("push", 0.1)
        if hours % 24 == 0:
            await monitor.flush()
    other = make()
    for back in (0.5, 1.5, 24.5, 47.5, 100, 200):
        expected = {"push": int(back) + 1}
        assert (await monitor.get_performance_report(hours=back))["operation_counts"] == expected
        assert (await other.get_performance_report(hours=back))["operation_counts"] == expected


async def test_names_of_any_text_are_stored(make: Make) -> None:
    monitor = make()
    monitor.record("nul\x00 and half \ud800 a pair", 0.1)
    monitor.record("nul\x00 and half \udfff a pair", 0.1)
    monitor.record("x" * 10_000, 0.1)
    assert await monitor.flush()
    counts = (await make().get_performance_report())["operation_counts"]
    assert sorted(counts.values()) == [1, 2]
    assert max(len(name) for name in counts) == 200


async def test_old_rows_go_in_batches(make: Make, database: Database, clock: Clock, settings: Settings) -> None:
    monitor = make()
    for days in (40, 31, 5, 1, 0):
        clock.now = NOON - timedelta(days=days)
        monitor.record("push", 0.1)
        await monitor.flush()
    old = make()
    clock.now = NOON - timedelta(days=40)
    old.record("push", 0.1)
    await old.flush()
    async with database.transaction() as session:
        for run in (await session.execute(select(AnalyticsModel))).scalars():
            run.created_at = run.updated_at = NOON - timedelta(days=40)
    monitor.record("push", 0.1)
    await monitor.flush()
    assert await monitor.prune(NOON) == 3 * len(WIDTHS) + 2 + 1
    assert await monitor.prune(NOON) == 0
    left = [(row.collection_interval_seconds, (NOON - row.timestamp).days) for row in await rows(database)]
    assert sorted(left) == [(60, 0), (60, 1), (600, 0), (600, 1), (3600, 0), (3600, 1), (3600, 5)] + [
        (86400, days) for days in (0, 1, 5)
    ]
    async with database.reading() as session:
        assert (await session.execute(select(func.count()).select_from(AnalyticsModel))).scalar_one() == 1


async def test_a_process_whose_own_row_was_deleted_makes_it_again(make: Make, database: Database) -> None:
    monitor = make()
    monitor.record("push", 0.1)
    await monitor.flush()
    async with database.transaction() as session:
        for run in (await session.execute(select(AnalyticsModel))).scalars():
            await session.delete(run)
    monitor.record("push", 0.1)
    assert await monitor.flush()
    assert (await make().get_performance_report())["operation_counts"] == {"push": 2}


async def test_flushing_goes_on_in_the_background(make: Make, settings: Settings, database: Database) -> None:
    settings.sample_seconds = 0.01
    monitor = make()
    await monitor.initialize()
    monitor.record("push", 0.1)
    async with asyncio.timeout(10):
        while not any(row.operation == "push" for row in await rows(database)):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
