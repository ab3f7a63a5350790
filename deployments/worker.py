"""The worker process: dispatcher, engine and outbox in one event loop."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable

from prefect.context import AsyncClientContext
from sqlalchemy.exc import SQLAlchemyError

from contexten_core.db import utc_now
from contexten_core.errors import ConfigurationError
from contexten_core.events.retention import prune_deliveries, prune_refusals
from contexten_core.execution.processes import end_abandoned_commands
from contexten_core.integrations.outbox import deliver_due
from contexten_core.integrations.posters import Posters, posters_of
from contexten_core.runtime import Runtime, serving_runtime
from contexten_core.settings import DatabaseKind, Settings
from deployments.dispatcher import dispatch
from deployments.engine import Engine
from deployments.prefect_server import health_check
from deployments.register import register

logger = logging.getLogger(__name__)

_DRAIN_SECONDS = 3.0
# Work never delays an acknowledgement: where both want the processor, the web process gets most of it.
_NICE = 5
_PREFECT_SECONDS = 90.0
_PRUNE_SECONDS = 3600.0
_PREFECT_POLL_SECONDS = 0.2
# Prefect's own server on SQLite refuses writes at about five concurrent runs.
_SQLITE_LIMIT = 2


async def work(settings: Settings, *, stop: asyncio.Event, ready: Callable[[], object]) -> None:
    """Work until `stop` is set; then finish or hand back what is in progress, within a few seconds."""
    os.nice(_NICE)
    limit = settings.max_concurrent_operations
    if settings.db.kind is DatabaseKind.SQLITE:
        limit = min(limit, _SQLITE_LIMIT)
        logger.info("on SQLite at most %d lifecycles run at once; PostgreSQL has no such limit", limit)
    if abandoned := await asyncio.to_thread(end_abandoned_commands):
        logger.warning("killed %d processes of commands whose worker is gone", abandoned)
    await _prefect_answers(settings)
    async with serving_runtime(settings) as runtime, AsyncClientContext.get_or_create() as context:
        engine = Engine(
            context.client,
            await register(context.client),
            limit=limit,
            name=f"contexten-{socket.gethostname()}-{os.getpid()}",
        )
        loops = [
            asyncio.create_task(dispatch(runtime, engine), name="dispatcher"),
            asyncio.create_task(engine.poll_scheduled(seconds=settings.prefect_poll_seconds), name="scheduled-runs"),
            asyncio.create_task(_deliver(runtime, posters_of(settings, runtime.database)), name="outbox"),
            asyncio.create_task(_prune(runtime), name="retention"),
        ]
        dispatching, polling, delivering, pruning = loops
        ready()
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([stopping, *loops], return_when=asyncio.FIRST_COMPLETED)
            for loop in loops:
                if loop.done():
                    loop.result()
        finally:
            stopping.cancel()
            for loop in (dispatching, polling, pruning):
                loop.cancel()
            await engine.drain(seconds=_DRAIN_SECONDS)
            delivering.cancel()
            await asyncio.wait(loops)


async def _prefect_answers(settings: Settings) -> None:
    """Wait for the Prefect server, which the stack starts together with this process."""
    if settings.prefect_api_url is None:
        raise ConfigurationError(
            "a worker needs a Prefect server", hint="set PREFECT_API_URL, or use `contexten serve` without --role"
        )
    healthy = health_check(settings.prefect_api_url)
    async with asyncio.timeout(_PREFECT_SECONDS):
        while not await healthy():  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(_PREFECT_POLL_SECONDS)


async def _deliver(runtime: Runtime, posters: Posters) -> None:
    while True:
        looked_at = 0
        try:
            looked_at = await deliver_due(runtime, posters)
        except SQLAlchemyError as error:
            logger.warning("the outbox cannot be read, will try again: %s", error)
            await asyncio.sleep(1)
        if not looked_at:
            await asyncio.sleep(runtime.settings.poll_seconds)


async def _prune(runtime: Runtime) -> None:
    """Remove, every hour, what is kept for a while only."""
    while True:
        try:
            if pruned := await runtime.errors.prune(utc_now()):
                logger.info("removed %d errors that were older than ERRORS_RETENTION_DAYS", pruned)
            if pruned := await prune_deliveries(runtime.database, days=runtime.settings.delivery_retention_days):
                logger.info("removed the bytes of %d deliveries older than DELIVERY_RETENTION_DAYS", pruned)
            await prune_refusals(runtime.database)
        except SQLAlchemyError as error:
            logger.warning("what is too old cannot be removed, will try again: %s", error)
        await asyncio.sleep(_PRUNE_SECONDS)
