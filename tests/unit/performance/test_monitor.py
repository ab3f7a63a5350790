"""The monitor without a database: figures of this process, in bounded memory."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from contexten_core.errors import InvalidInputError
from contexten_core.performance import PerformanceMonitor
from contexten_core.settings import Settings

NOON = datetime(2026, 5, 1, 12, 0, 30, tzinfo=UTC)
Make = Callable[..., PerformanceMonitor]


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, sample_seconds=0.01, cpu_alert_percent=100, memory_alert_percent=100)


@pytest.fixture
async def make(settings: Settings) -> AsyncIterator[Make]:
    made: list[PerformanceMonitor] = []

    def build(*args: Any, **options: Any) -> PerformanceMonitor:
        made.append(PerformanceMonitor(*args, **{"settings": settings, **options}))
        return made[-1]

    yield build
    for monitor in made:
        await monitor.shutdown()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


async def test_there_is_nothing_before_the_first_sample(make: Make) -> None:
    monitor = make()
    assert await monitor.get_current_metrics() == {"status": "no_data"}
    assert "error" in await monitor.get_performance_report()
    assert "error" in await monitor.optimize_performance()


async def test_everything_is_there_once_initialize_returns(make: Make) -> None:
    monitor = make()
    await monitor.initialize()
    metrics = await monitor.get_current_metrics()
    assert metrics.keys() >= {
        "timestamp",
        "cpu_usage",
        "memory_usage",
        "memory_available_gb",
        "disk_usage",
        "active_connections",
        "average_response_times",
        "operation_counts",
        "error_rates",
        "performance_score",
        "network",
    }
    assert 0 < metrics["cpu_usage"] <= 100
    assert datetime.fromisoformat(metrics["timestamp"]).utcoffset() == timedelta(0)
    report = await monitor.get_performance_report(hours=24)
    assert report["period_hours"] == 24
    assert report["total_samples"] >= 1
    assert report["cpu_usage"].keys() == {"avg", "min", "max"}
    assert (await monitor.optimize_performance()).keys() == {"performance_score", "suggestions", "metrics"}


async def test_samples_go_on_and_are_bounded(make: Make) -> None:
    monitor = make(3)
    await monitor.initialize()
    first = monitor.history[0]
    await until(lambda: len(monitor.history) == 3 and first not in monitor.history)
    assert len(monitor.history) == 3


async def test_initialize_and_shutdown_may_be_called_again(make: Make, settings: Settings) -> None:
    settings.sample_seconds = 60
    monitor = make()
    await asyncio.gather(monitor.initialize(), monitor.initialize())
    await monitor.initialize()
    assert len(monitor.history) == 1
    await monitor.shutdown()
    await monitor.shutdown()
    await monitor.initialize()
    assert len(monitor.history) == 2
    assert {task.get_name() for task in asyncio.all_tasks()} >= {"performance-samples", "performance-rows"}
    await monitor.shutdown()
    assert not any(task.get_name().startswith("performance-") for task in asyncio.all_tasks())


def test_it_can_go_on_in_another_event_loop(settings: Settings) -> None:
    monitor = PerformanceMonitor(settings=settings)
    asyncio.run(monitor.initialize())
    asyncio.run(monitor.initialize())
    asyncio.run(monitor.shutdown())
    assert len(monitor.history) >= 2


async def test_operations_are_measured_and_failures_counted(make: Make) -> None:
    monitor = make()
    await monitor.initialize()
    with monitor.start_operation("push") as operation:
        pass
    assert operation.duration > 0
    async with monitor.start_operation("push"):
        await asyncio.sleep(0)
    with pytest.raises(KeyError), monitor.start_operation("push"):
        raise KeyError
    await monitor.record_operation("pull", 0.5, success=False, error="TimeoutError: too slow")
    await monitor.record_operation("pull", 1.5)
    metrics = await monitor.get_current_metrics()
    assert metrics["operation_counts"] == {"pull": 2, "push": 3}
    assert metrics["error_rates"] == {"pull": 50, "push": pytest.approx(100 / 3, abs=1e-5)}
    assert metrics["average_response_times"]["pull"] == 1
    report = await monitor.get_performance_report()
    times = report["response_times"]["pull"]
    assert {name: times[name] for name in ("avg", "min", "max", "count")} == {
        "avg": 1,
        "min": 0.5,
        "max": 1.5,
        "count": 2,
    }
    assert times["p50"] == pytest.approx(0.5, rel=0.04)
    assert times.keys() >= {"p50", "p95", "p99"}


async def test_a_report_looks_back_as_many_hours_as_it_is_asked_for(make: Make) -> None:
    clock = Clock()
    monitor = make(clock=clock)
    for hours in (30, 5, 2, 0):
        clock.now = NOON - timedelta(hours=hours)
        monitor.record("push", 0.1)
    counts = [
        (await monitor.get_performance_report(hours=hours))["operation_counts"]["push"] for hours in (0.5, 3, 24, 48)
    ]
    assert counts == [1, 2, 3, 4]


@pytest.mark.parametrize("hours", [0, -1, math.nan, math.inf, 1e9, True, "24", None])
async def test_hours_that_make_no_sense_are_an_error(hours: Any, make: Make) -> None:
    assert (await make().get_performance_report(hours=hours))["error"].startswith("hours: ")


@pytest.mark.parametrize("duration", [-0.1, math.nan, math.inf, 10**400, "1", None, True])
async def test_durations_that_make_no_sense_are_refused(duration: Any, make: Make) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await make().record_operation("push", duration)
    assert set(caught.value.fields) == {"duration"}


@pytest.mark.parametrize("name", ["", "  ", "\x01", None, 7])
async def test_names_that_are_none_are_refused(name: Any, make: Make) -> None:
    with pytest.raises(InvalidInputError) as caught:
        make().start_operation(name)
    assert set(caught.value.fields) == {"name"}


@pytest.mark.parametrize("size", [0, -1, True, "1000", 1.5])
def test_a_history_without_room_is_refused(size: Any, settings: Settings) -> None:
    with pytest.raises(InvalidInputError):
        PerformanceMonitor(size, settings=settings)


async def test_names_beyond_two_hundred_are_counted_together(make: Make) -> None:
    monitor = make()
    for number in range(250):
        monitor.record(f"operation {number}", 0.1)
    monitor.record("operation 7", 0.1)
    counts = (await monitor.get_performance_report())["operation_counts"]
    assert len(counts) == 201
    assert counts["other"] == 50
    assert counts["operation 7"] == 2


async def test_an_alert_is_told_once(make: Make, settings: Settings) -> None:
    alerts: list[dict[str, Any]] = []

    async def told(alert: dict[str, Any]) -> None:
        alerts.append(alert)

    settings.memory_alert_percent = 0.01
    monitor = make(on_alert=told, source="here")
    await monitor.initialize()
    await until(lambda: len(monitor.history) >= 4)
    assert [alert["kind"] for alert in alerts] == ["memory_usage"]
    assert alerts[0].keys() >= {"kind", "metric", "value", "threshold", "operation", "suggestion"}
    assert alerts[0]["source"] == monitor.source
    assert monitor.source.startswith("here:")


async def test_a_receiver_that_fails_does_not_stop_the_sampling(
    make: Make, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(alert: dict[str, Any]) -> None:
        raise RuntimeError("no")

    settings.memory_alert_percent = 0.01
    monitor = make(on_alert=refuse)
    with caplog.at_level(logging.ERROR):
        await monitor.initialize()
        await until(lambda: len(monitor.history) >= 4)
    assert "telling of an alert failed" in caplog.text


async def test_a_sample_that_fails_does_not_stop_the_sampling(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = make()
    await monitor.initialize()
    with monkeypatch.context() as broken:
        broken.setattr("psutil.virtual_memory", lambda: 1 / 0)
        await until(lambda: "sampling failed" in caplog.text)
    taken = monitor.history[-1]
    await until(lambda: monitor.history[-1] is not taken)


async def test_a_first_sample_that_fails_is_told_and_can_be_taken_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = make()
    with monkeypatch.context() as broken:
        broken.setattr("psutil.virtual_memory", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await monitor.initialize()
    await monitor.initialize()
    assert monitor.history


async def test_psutil_is_not_asked_for_what_blocks_or_is_zero_at_first(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("psutil.cpu_percent")
    monitor = make()
    await monitor.initialize()
    assert 0 < monitor.history[0].cpu_percent <= 100
