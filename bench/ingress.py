"""How fast deliveries are acknowledged: `python -m bench.ingress [--deliveries N] [--rate R] [--seconds S]`.

A web process on the embedded PostgreSQL, with `fsync` on: what is acknowledged is on disk. A load generator in a
process of its own sends it, after a few to warm up, (a) N signed deliveries at once, and (b) R a second of four
senders while another process keeps a processor busy. Then the events are counted: none lost, none doubled.
"""

import argparse
import asyncio
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from pydantic import SecretStr
from sqlalchemy import func, select

from bench.load import HOST, SECRET_VARIABLE, SENDERS
from bench.performance import postgresql
from contexten_core.db import Database, migrate
from contexten_core.events.models import EventModel, EventProvider
from contexten_core.settings import DatabaseConfig, Settings, as_environment
from contexten_core.settings.ingress import DeploymentSource
from deployments.readiness import READY_FD_VARIABLE

RESULTS = Path(__file__).parent / "results"
SECRET = "0123456789abcdef-of-the-load"  # noqa: S105 - of a server that lives for a minute
_START_SECONDS = 60.0
_END_SECONDS = 20.0
_WARM_UP = 50
_BUSY = "while True: sum(number * number for number in range(100_000))"


def load_settings(config: DatabaseConfig, home: Path) -> Settings:
    """Return settings of a web process that takes everything the load generator sends."""
    secret = SecretStr(SECRET)
    return Settings(
        home=home,
        db=config,
        api_host=HOST,
        api_port=0,
        github_webhook_secrets=(secret,),
        linear_webhook_secrets=(secret,),
        slack_signing_secrets=(secret,),
        deployment_sources={"ci": DeploymentSource(scheme="hmac", secret=secret)},
    )


@contextmanager
def web_process(settings: Settings) -> Iterator[psutil.Popen]:
    """Run a web process until the block ends; it is ready when the block begins."""
    ready, told = os.pipe()
    environment = _clean_environment() | as_environment(settings) | {READY_FD_VARIABLE: str(told)}
    process = psutil.Popen(
        [sys.executable, "-m", "contexten", "serve", "--role", "web"],
        env=environment,
        pass_fds=[told],
        stdin=subprocess.DEVNULL,
    )
    os.close(told)
    try:
        with os.fdopen(ready) as pipe:
            if not pipe.readline():
                raise RuntimeError(f"the web process ended with {process.wait(_START_SECONDS)} before it was ready")
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()
            raise


def port_of(process: psutil.Process) -> int:
    """Return the port that a process listens on."""
    return next(each.laddr.port for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN)


async def send_load(port: int, *options: str) -> dict[str, Any]:
    """Run the load generator and return what it measured."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.load",
        str(port),
        *options,
        env=_clean_environment() | {SECRET_VARIABLE: SECRET},
        cwd=Path(__file__).parents[1],
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the load generator ended with {process.returncode}")
    result: dict[str, Any] = json.loads(output)
    return result


async def stored(database: Database) -> tuple[int, int]:
    """Return how many deliveries are stored, and of how many digests."""
    async with database.reading() as session:
        given = select(func.count(), func.count(EventModel.digest.distinct()))
        found = await session.execute(given.where(EventModel.provider != EventProvider.SYSTEM))
        events, digests = found.one()
    return events, digests


async def measure(*, deliveries: int, rate: float, seconds: float, senders: str) -> dict[str, Any]:
    """Return the figures of both parts."""
    with tempfile.TemporaryDirectory(prefix="contexten-bench-") as name:
        folder = Path(name)
        async with postgresql(folder) as dsn:
            settings = load_settings(DatabaseConfig(url=SecretStr(dsn)), folder / "web")
            settings.home.mkdir()
            await asyncio.to_thread(migrate.upgrade, settings.db)
            with web_process(settings) as web:
                port, by = port_of(web), ("--senders", senders)
                warm_up = await send_load(port, "--burst", str(_WARM_UP), *by)
                burst, burst_cpu = await _with_cpu(web, send_load(port, "--burst", str(deliveries), *by))
                with busy():
                    steady, steady_cpu = await _with_cpu(
                        web, send_load(port, "--rate", str(rate), "--seconds", str(seconds), *by)
                    )
            database = Database(settings.db)
            events, digests = await stored(database)
            await database.close()
    acknowledged = {found for part in (warm_up, burst, steady) for found in part["event_ids"]}
    return {
        "burst": _figures(burst, burst_cpu),
        "steady_with_a_busy_worker": {"per_second": rate, **_figures(steady, steady_cpu)},
        "acknowledged": len(acknowledged),
        "stored": events,
        "stored_digests": digests,
    }


async def _with_cpu(process: psutil.Process, work: Any) -> tuple[dict[str, Any], float]:
    before = process.cpu_times()
    result = await work
    after = process.cpu_times()
    return result, after.user + after.system - before.user - before.system


@contextmanager
def busy() -> Iterator[None]:
    """Keep a processor busy until the block ends."""
    with subprocess.Popen([sys.executable, "-c", _BUSY]) as process:
        try:
            yield
        finally:
            process.kill()


def percentile(figures: Sequence[float], share: float) -> float:
    """Return the figure that this share of them does not exceed, by nearest rank."""
    return sorted(figures)[math.ceil(len(figures) * share) - 1]


def _figures(result: Mapping[str, Any], cpu_seconds: float) -> dict[str, Any]:
    seconds = result["seconds"]
    return {
        "deliveries": len(seconds),
        "statuses": result["statuses"],
        "all_answered_after_seconds": result["all_after"],
        "p50_milliseconds": round(percentile(seconds, 0.5) * 1000, 1),
        "p99_milliseconds": round(percentile(seconds, 0.99) * 1000, 1),
        "worst_milliseconds": round(max(seconds) * 1000, 1),
        "web_cpu_milliseconds_each": round(cpu_seconds * 1000 / len(seconds), 2),
    }


def _clean_environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "PYTHONDONTWRITEBYTECODE": "1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deliveries", type=int, default=1_000, help="how many at once")
    parser.add_argument("--rate", type=float, default=200, help="how many a second")
    parser.add_argument("--seconds", type=float, default=15, help="for how long")
    parser.add_argument("--senders", default=",".join(SENDERS), help="who sends, in turn (default: %(default)s)")
    options = parser.parse_args()
    load_before = round(os.getloadavg()[0], 2)
    measured = asyncio.run(
        measure(deliveries=options.deliveries, rate=options.rate, seconds=options.seconds, senders=options.senders)
    )
    result = {
        "at": datetime.now(UTC).isoformat(),
        "machine": {
            "cores": psutil.cpu_count(),
            "load": load_before,
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        **measured,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"ingress-{datetime.now(UTC):%Y-%m-%d}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))
    print(f"written to {path}")


if __name__ == "__main__":
    main()
