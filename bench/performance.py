"""What looking at performance costs with a million rows behind it: `python -m bench.performance [--rounds N]`.

The rows are what four processes with 58 operations each leave behind at the default retention: minutes and ten minutes
of two days, hours and days of thirty. "Now" is chosen to be the worst moment: a look back over 24 hours then needs 9
minutes, 5 times ten minutes, 23 hours and a day of everything. On SQLite and on the embedded PostgreSQL; also what
recording and storing cost.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import psycopg
from pydantic import SecretStr

from contexten_core.db import Database, migrate
from contexten_core.performance import PerformanceMonitor
from contexten_core.performance.sketch import Sketch
from contexten_core.performance.tally import Metric
from contexten_core.performance.window import DAY, HOUR, MINUTE, TEN_MINUTES
from contexten_core.settings import DatabaseConfig, Settings
from deployments.embedded_postgres import EmbeddedPostgres
from deployments.home import Home
from deployments.supervisor import Supervisor

RESULTS = Path(__file__).parent / "results"
NOW = datetime(2026, 5, 2, 0, 1, 30, tzinfo=UTC)
PROCESSES = 4
OPERATIONS = 58
_KEPT = (
    (MINUTE, timedelta(hours=48)),
    (TEN_MINUTES, timedelta(hours=48)),
    (HOUR, timedelta(days=30)),
    (DAY, timedelta(days=30)),
)
_COLUMNS = (
    "id",
    "name",
    "metric_name",
    "metric_type",
    "value",
    "unit",
    "sample_count",
    "min_value",
    "max_value",
    "avg_value",
    "percentile_95",
    "percentile_99",
    "timestamp",
    "collection_interval_seconds",
    "analytics_id",
    "operation",
    "source",
    "error_count",
    "sketch",
    "created_at",
    "updated_at",
)


def rows(analytics_id: str, moment: Callable[[datetime], Any]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows in the order in which they would have been written."""
    chance = random.Random(1)  # noqa: S311 - made-up figures
    keys = [(metric.value, "") for metric in Metric if metric is not Metric.OPERATION]
    keys += [(Metric.OPERATION.value, f"operation {number}") for number in range(OPERATIONS)]
    sketches = {width: [_sketch(chance, width) for _ in range(50)] for width, _ in _KEPT}
    starts = sorted(
        (begin, width) for width, kept in _KEPT for begin in range(_floor(NOW - kept, width), _now() + 1, width)
    )
    for begin, width in starts:
        at = moment(datetime.fromtimestamp(begin, UTC))
        for process in range(PROCESSES):
            for metric, operation in keys:
                sketch, samples = chance.choice(sketches[width]) if operation else ('{"packed": ""}', width // 10)
                yield (
                    uuid4().hex,
                    operation or metric,
                    metric,
                    "timer" if operation else "gauge",
                    0.2,
                    None,
                    samples,
                    0.01,
                    2.0,
                    0.2,
                    1.0,
                    1.5,
                    at,
                    width,
                    analytics_id,
                    operation,
                    f"host:{process}",
                    samples // 50,
                    sketch,
                    at,
                    at,
                )


def _sketch(chance: random.Random, width: int) -> tuple[str, int]:
    """Return a sketch as many calls would leave it in that time, and how many."""
    sketch, calls = Sketch(), width // 3
    for _ in range(calls):
        sketch.add(chance.lognormvariate(-2.5, 0.8))
    return json.dumps({"packed": sketch.pack()}), calls


def _now() -> int:
    return int(NOW.timestamp())


def _floor(moment: datetime, width: int) -> int:
    return int(moment.timestamp()) // width * width


def _owner(moment: Any) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    values = {
        "id": uuid4().hex,
        "name": "bench",
        "session_id": "bench",
        "event_type": "performance_measured",
        "component": "performance",
        "operation": "measure",
        "event_data": "{}",
        "success": True,
        "created_at": moment,
        "updated_at": moment,
    }
    return tuple(values), tuple(values.values())


def fill_sqlite(path: Path) -> None:
    columns, owner = _owner(_text(NOW))
    with sqlite3.connect(path) as connection:
        connection.execute(_insert("analytics", columns), owner)
        connection.executemany(_insert("analytics_metrics", _COLUMNS), rows(owner[0], _text))
    connection.close()


def _insert(table: str, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - our own names


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.000000")


def fill_postgresql(dsn: str) -> None:
    columns, owner = _owner(NOW)
    names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO analytics ({names}) VALUES ({marks})".encode(), owner)  # noqa: S608 - our own names
        with cursor.copy(f"COPY analytics_metrics ({', '.join(_COLUMNS)}) FROM STDIN".encode()) as copy:
            for row in rows(owner[0], lambda moment: moment):
                copy.write_row(row)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


@asynccontextmanager
async def postgresql(folder: Path) -> AsyncIterator[str]:
    home = Home(folder / "home")
    home.create()
    server = EmbeddedPostgres(home)
    await server.prepare()
    supervisor = Supervisor()
    await supervisor.start(server.child())
    try:
        await server.create_databases("bench", "contexten")
        yield server.dsn("bench")
    finally:
        await supervisor.stop()
        server.close()


async def measure(config: DatabaseConfig, folder: Path, rounds: int) -> dict[str, Any]:
    """Return medians and worst times, in milliseconds unless they say otherwise."""
    database = Database(config)
    monitor = PerformanceMonitor(database=database, settings=Settings(home=folder), clock=lambda: NOW)
    try:
        await monitor.initialize()
        result: dict[str, Any] = {
            "metrics": await _timed(rounds, monitor.get_current_metrics),
            **{f"report_{hours}h": await _timed(rounds, _report(monitor, hours)) for hours in (1, 24, 720)},
        }
        recorded = 100_000
        began = time.perf_counter()
        for number in range(recorded):
            monitor.record(f"operation {number % OPERATIONS}", 0.01)
        result["record_microseconds"] = round((time.perf_counter() - began) / recorded * 1e6, 2)
        began = time.perf_counter()
        assert await monitor.flush()
        result["flush_of_all_operations"] = round((time.perf_counter() - began) * 1000, 1)
        return result
    finally:
        await monitor.shutdown()
        await database.close()


def _report(monitor: PerformanceMonitor, hours: int) -> Callable[[], Awaitable[object]]:
    async def report() -> None:
        answer = await monitor.get_performance_report(hours=hours)
        assert len(answer["response_times"]) >= OPERATIONS

    return report


async def _timed(rounds: int, work: Callable[[], Awaitable[object]]) -> dict[str, float]:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        await work()
        taken.append((time.perf_counter() - began) * 1000)
    return {
        "first": round(taken[0], 1),
        "median": round(statistics.median(taken), 1),
        "worst": round(max(taken), 1),
    }


async def run(rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="contexten-bench-") as name:
        folder = Path(name)
        path = folder / "contexten.db"
        sqlite = DatabaseConfig(use_sqlite=True, sqlite_path=path)
        await asyncio.to_thread(migrate.upgrade, sqlite)
        await asyncio.to_thread(fill_sqlite, path)
        results = {"sqlite": await measure(sqlite, folder, rounds)}
        async with postgresql(folder) as dsn:
            config = DatabaseConfig(url=SecretStr(dsn))
            await asyncio.to_thread(migrate.upgrade, config)
            await asyncio.to_thread(fill_postgresql, dsn)
            results["postgresql"] = await measure(config, folder, rounds)
    return {
        "at": datetime.now(UTC).isoformat(),
        "machine": {
            "cores": psutil.cpu_count(),
            "load": round(os.getloadavg()[0], 2),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "rows": sum(1 for _ in rows("", str)),
        "milliseconds": results,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="how often to measure each")
    result = asyncio.run(run(parser.parse_args().rounds))
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"performance-{datetime.now(UTC):%Y-%m-%d}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))
    print(f"written to {path}")


if __name__ == "__main__":
    main()
