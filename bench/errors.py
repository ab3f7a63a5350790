"""How fast the statistics of errors answer with many errors behind them: `python -m bench.errors [--rows N]`.

On SQLite and on the embedded PostgreSQL, each filled with N single errors of 30 days and the counts that belong to
them. In one run, alternating: (a) our statistics, blocking and not, and (b) the same counts taken from the single
errors, as without the table of counts.
"""

import argparse
import asyncio
import json
import platform
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from pydantic import SecretStr
from sqlalchemy import func, select, text

from contexten_core.db import Database, migrate
from contexten_core.errors import ErrorCategory, ErrorSeverity
from contexten_core.errors.handler import ErrorHandler
from contexten_core.errors.models import ErrorModel
from contexten_core.settings import DatabaseConfig, Settings
from deployments.embedded_postgres import EmbeddedPostgres
from deployments.home import Home
from deployments.supervisor import Supervisor

RESULTS = Path(__file__).parent / "results"
_NAME = "bench"
_BUDGET_SECONDS = 0.1

# How each database makes an id, a time within the last 30 days for row n, and the numbers n themselves.
_SQLITE = (
    "lower(hex(randomblob(16)))",
    "strftime('%Y-%m-%d %H:%M:%f', 'now', '-' || (n * 2592000.0 / {rows}) || ' seconds') || '000'",
    "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows})",
)
_POSTGRESQL = (
    "gen_random_uuid()",
    "now() - n * interval '30 days' / {rows}",
    "WITH numbers AS (SELECT n FROM generate_series(1, {rows}) AS n)",
)
_INSERT_ERRORS = """
INSERT INTO errors (id, name, error_id, category, severity, error_type, message, traceback, recoverable,
                    recovery_attempted, recovery_successful, occurred_at, created_at, updated_at)
{numbers}
SELECT {row_id}, 'Error' || (n % 40), 'err_' || n, {category}, {severity}, 'Error' || (n % 40),
       'connection reset by peer ' || n, 'File "worker.py", line ' || n || ', in work, and so on for a while',
       n % 3 = 0, n % 5 = 0, n % 10 = 0, {moment}, {moment}, {moment}
FROM numbers
"""
_INSERT_COUNTS = """
INSERT INTO error_counts (id, name, day, category, severity, error_type, recoverable, count, created_at, updated_at)
SELECT {row_id}, error_type, date(created_at), category, severity, error_type, recoverable, count(*), max(created_at),
       max(created_at)
FROM errors GROUP BY date(created_at), category, severity, error_type, recoverable
"""


async def measure(rows: int, rounds: int) -> dict[str, Any]:
    """Return medians in seconds and their ratios for both databases."""
    measured = {}
    with tempfile.TemporaryDirectory(prefix="contexten-bench-") as folder:
        measured["sqlite"] = await _measure(
            DatabaseConfig(use_sqlite=True, sqlite_path=Path(folder) / "bench.db"), rows, rounds
        )
        async with _postgresql(Path(folder) / "home") as config:
            measured["postgresql"] = await _measure(config, rows, rounds)
    return {
        "at": datetime.now(UTC).isoformat(),
        "machine": {
            "cores": psutil.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 1e9),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "rows": rows,
        "rounds": rounds,
        "databases": measured,
    }


@asynccontextmanager
async def _postgresql(root: Path) -> AsyncIterator[DatabaseConfig]:
    home = Home(root)
    home.create()
    server, supervisor = EmbeddedPostgres(home), Supervisor()
    try:
        await server.prepare()
        await supervisor.start(server.child())
        await server.create_databases(_NAME)
        yield DatabaseConfig(url=SecretStr(server.dsn(_NAME)), query_timeout=600)
    finally:
        await supervisor.stop()
        server.close()


async def _measure(config: DatabaseConfig, rows: int, rounds: int) -> dict[str, Any]:
    await asyncio.to_thread(migrate.upgrade, config)
    database = Database(config)
    handler = ErrorHandler(database, settings=Settings(db=config))
    try:
        await _fill(database, rows)
        found = await handler.read_statistics()
        assert found["total_errors"] == rows, found["total_errors"]

        async def blocking() -> None:
            handler.get_error_statistics()

        ways: dict[str, Callable[[], Awaitable[object]]] = {
            "get_error_statistics_seconds": blocking,
            "read_statistics_seconds": handler.read_statistics,
            "counting_single_errors_seconds": lambda: _count_single_errors(database),
        }
        samples: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                samples[name].append(await _timed(way))
    finally:
        await database.close()
    medians = {name: statistics.median(taken) for name, taken in samples.items()}
    slowest = max(*samples["get_error_statistics_seconds"], *samples["read_statistics_seconds"])
    return {
        "medians": medians,
        "slowest_statistics_seconds": slowest,
        "within_budget": slowest < _BUDGET_SECONDS,
        "ratios": {
            "statistics_vs_counting_single_errors": medians["read_statistics_seconds"]
            / medians["counting_single_errors_seconds"],
        },
        "samples": samples,
    }


async def _fill(database: Database, rows: int) -> None:
    row_id, moment, numbers = _SQLITE if database.is_sqlite else _POSTGRESQL
    words = {
        "row_id": row_id,
        "moment": moment,
        "numbers": numbers,
        "category": _cases("n % 8", [category.value for category in ErrorCategory]),
        "severity": _cases("n % 4", [severity.value for severity in ErrorSeverity]),
    }
    async with database.transaction() as session:
        await session.execute(text(_INSERT_ERRORS.format(**words).replace("{rows}", str(rows))))
        await session.execute(text(_INSERT_COUNTS.format(**words)))
    async with database.transaction() as session:
        await session.execute(text("ANALYZE"))


def _cases(number: str, values: list[str]) -> str:
    return f"CASE {number} {' '.join(f'WHEN {index} THEN {value!r}' for index, value in enumerate(values))} END"


async def _count_single_errors(database: Database) -> None:
    kinds = (ErrorModel.category, ErrorModel.severity, ErrorModel.error_type, ErrorModel.recoverable)
    async with database.reading() as session:
        (await session.execute(select(*kinds, func.count()).group_by(*kinds))).all()


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="how many single errors to keep")
    parser.add_argument("--rounds", type=int, default=15, help="how often to measure each way")
    arguments = parser.parse_args()
    result = asyncio.run(measure(arguments.rows, arguments.rounds))
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"errors-{datetime.now(UTC):%Y-%m-%d}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    shown = {
        name: {key: value for key, value in found.items() if key != "samples"}
        for name, found in result["databases"].items()
    }
    print(json.dumps(shown, indent=2))
    print(f"written to {path}")


if __name__ == "__main__":
    main()
