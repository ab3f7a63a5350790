"""Many deliveries at once, and slow connections beside them, against a web process on PostgreSQL.

Short by default, when only counts are looked at. With `CONTEXTEN_SOAK_SECONDS` (see `make soak`) the load is the whole
one, and so are the times.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.ingress import busy, load_settings, percentile, port_of, send_load, stored, web_process
from bench.load import HOST
from contexten_core.db import Database
from contexten_core.settings import DatabaseConfig

SECONDS = float(os.environ.get("CONTEXTEN_SOAK_SECONDS", "0"))
IS_LONG = SECONDS > 0
AT_ONCE = 1_000 if IS_LONG else 200
SLOW = 500 if IS_LONG else 100
DRIP_SECONDS = 1.0 if IS_LONG else 0.1

pytestmark = pytest.mark.parametrize("database_config", ["postgresql"], indirect=True)


@pytest.fixture
def web(database_config: DatabaseConfig, tmp_path: Path) -> Iterator[psutil.Popen]:
    home = tmp_path / "home"
    home.mkdir()
    with web_process(load_settings(database_config, home)) as process:
        yield process


async def test_deliveries_at_once_are_all_acknowledged_and_stored_once(
    web: psutil.Popen, database_config: DatabaseConfig
) -> None:
    """Also while a hundred (or five hundred) others send a byte now and then, and hold their connections open."""
    port = port_of(web)
    sent = [await send_load(port, "--burst", str(AT_ONCE))]
    async with dripping(port):
        sent.append(await send_load(port, "--burst", str(AT_ONCE)))
    if IS_LONG:
        assert all(part["all_after"] < 2 for part in sent), [part["all_after"] for part in sent]
    await check(sent, 2 * AT_ONCE, database_config)


@pytest.mark.skipif(not IS_LONG, reason="it is a matter of time, which `make soak` takes")
async def test_acknowledgements_are_quick_while_others_work(web: psutil.Popen, database_config: DatabaseConfig) -> None:
    port = port_of(web)
    warm_up = await send_load(port, "--burst", "50")
    with busy():
        steady = await send_load(port, "--rate", "200", "--seconds", str(SECONDS))
    assert percentile(steady["seconds"], 0.99) < 0.25
    await check([warm_up, steady], 50 + int(200 * SECONDS), database_config)


async def check(sent: list[dict[str, Any]], count: int, config: DatabaseConfig) -> None:
    """Every delivery was accepted, and is there once."""
    assert sum((Counter(part["statuses"]) for part in sent), Counter()) == {"202": count}
    assert len({each for part in sent for each in part["event_ids"]}) == count
    database = Database(config)
    try:
        assert await stored(database) == (count, count)
    finally:
        await database.close()


@asynccontextmanager
async def dripping(port: int) -> AsyncIterator[None]:
    """Hold connections open that send one byte after the other, half of them of a head, half of a body."""
    head = b"POST /github/events HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: sha256=" + b"0" * 1_000
    body = b"POST /github/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    writers = []
    for number in range(SLOW):
        _, writer = await asyncio.open_connection(HOST, port)
        writer.write(head[:70] if number % 2 else body)
        writers.append(writer)

    async def drip() -> None:
        while True:
            for writer in writers:
                if not writer.transport.is_closing():
                    writer.write(b"0")
            await asyncio.sleep(DRIP_SECONDS)

    task = asyncio.create_task(drip())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait([task])
        for writer in writers:
            writer.transport.abort()
