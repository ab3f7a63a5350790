"""Databases that are away for a while, without ending a server that others use."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr
from sqlalchemy import make_url

from contexten_core.settings import DatabaseConfig


class Outage(Protocol):
    """A way to a database that can be cut. `config` leads through it."""

    config: DatabaseConfig

    async def begin(self) -> None: ...

    async def end(self) -> None: ...


class LockedFile:
    """A SQLite file that somebody else writes to and does not end with."""

    def __init__(self, config: DatabaseConfig) -> None:
        self.config = config
        self._holder: sqlite3.Connection | None = None

    async def begin(self) -> None:
        self._holder = sqlite3.connect(self.config.sqlite_path, timeout=10, isolation_level=None)
        self._holder.execute("BEGIN IMMEDIATE")

    async def end(self) -> None:
        if self._holder is not None:
            self._holder.close()
            self._holder = None


class Proxy:
    """Passes bytes on to a PostgreSQL server, until it refuses or hangs."""

    def __init__(self, config: DatabaseConfig) -> None:
        assert config.url is not None
        self._address = make_url(config.url.get_secret_value())
        self._pipes: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._server: asyncio.Server | None = None
        self._port = 0

    async def open(self) -> None:
        await self.end()
        self.config = DatabaseConfig(url=SecretStr(self._through(self._port)), pool_size=5)

    async def begin(self) -> None:
        """Cut every connection, and let nobody in."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None
        await self._cut()

    async def end(self) -> None:
        self._flows.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    def hang(self) -> None:
        """Answer nothing any more, as a machine that is gone."""
        self._flows.clear()

    async def close(self) -> None:
        self._flows.set()
        await self.begin()

    def _through(self, port: int) -> str:
        address = self._address.set(host="127.0.0.1", port=port, query={})
        return address.render_as_string(hide_password=False)

    async def _cut(self) -> None:
        for pipe in tuple(self._pipes):
            pipe.cancel()
        if self._pipes:
            await asyncio.wait(self._pipes)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pipe = asyncio.ensure_future(self._connect(reader, writer))
        self._pipes.add(pipe)
        pipe.add_done_callback(self._pipes.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        folder = Path(str(self._address.query["host"]))
        there, back = await asyncio.open_unix_connection(folder / ".s.PGSQL.5432")
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, back))
                pumps.create_task(self._pump(there, writer))
        finally:
            for end in (back, writer):
                end.close()
                with suppress(OSError):
                    await end.wait_closed()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def cuttable(config: DatabaseConfig) -> AsyncIterator[Outage]:
    """Give a way to this database that can be cut."""
    if config.use_sqlite:
        locked = LockedFile(config)
        try:
            yield locked
        finally:
            await locked.end()
        return
    proxy = Proxy(config)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()
