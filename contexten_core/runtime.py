"""What one process works with: its settings, its database, its git mirrors, and its name as a holder of leases."""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from contexten_core.db import Database
from contexten_core.events.leases import LeaseKeeper
from contexten_core.execution.git import GitMirrors
from contexten_core.settings import Settings, get_settings


@dataclass(frozen=True, slots=True)
class Runtime:
    """Handed to every core call. `commands` bounds how many commands of prompts run at once."""

    settings: Settings
    database: Database
    mirrors: GitMirrors
    leases: LeaseKeeper
    commands: asyncio.Semaphore


class _Current:
    runtime: Runtime | None = None


@asynccontextmanager
async def open_runtime(settings: Settings) -> AsyncIterator[Runtime]:
    """Build this process's runtime, and close its connections and leases afterwards."""
    database = Database(settings.db)
    owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    leases = LeaseKeeper(database, owner=owner, settings=settings)
    try:
        yield Runtime(
            settings=settings,
            database=database,
            mirrors=GitMirrors(settings.mirrors),
            leases=leases,
            commands=asyncio.Semaphore(settings.max_concurrent_commands),
        )
    finally:
        await leases.close()
        await database.close()


@asynccontextmanager
async def serving_runtime(settings: Settings) -> AsyncIterator[Runtime]:
    """Open a runtime that every flow of this process shares until the block ends."""
    async with open_runtime(settings) as runtime:
        _Current.runtime = runtime
        try:
            yield runtime
        finally:
            _Current.runtime = None


@asynccontextmanager
async def current_runtime() -> AsyncIterator[Runtime]:
    """Give a flow the runtime of its process, or one of its own where an ordinary Prefect worker runs it."""
    if _Current.runtime is not None:
        yield _Current.runtime
        return
    async with serving_runtime(get_settings()) as runtime:
        yield runtime
