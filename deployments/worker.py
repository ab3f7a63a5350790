"""The worker process: dispatcher, engine and outbox in one event loop."""

import asyncio
import gc
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
from contexten_core.integrations.outbox import Outbox
from contexten_core.integrations.posters import Posters, posters_of
from contexten_core.offload import offloading
from contexten_core.runtime import Runtime, serving_runtime
from contexten_core.settings import DatabaseKind, Settings
from deployments.cancellations import Cancellations
from deployments.catalogue import BURST
from deployments.dispatcher import dispatch
from deployments.engine import Engine, asked_once
from deployments.in_process import signals_left_alone
from deployments.prefect_server import health_check
from deployments.register import register
from deployments.succession import worker_name

logger = logging.getLogger(__name__)

_HURRIED_DRAIN_SECONDS = 1.0
# Work never delays an acknowledgement: where both want the processor, the web process gets most of it.
NICE = 5
_PREFECT_SECONDS = 90.0
_PRUNE_SECONDS = 3600.0
_POSTS_DURING_BURST = 2
# Of objects that may be in cycles, which hundreds of runs in progress hold without being garbage.
_NEW_OBJECTS_BEFORE_COLLECTION = 20_000
_BURST_PACE_SECONDS = 1.0
_PREFECT_POLL_SECONDS = 0.2
# Prefect's own server on SQLite refuses writes at about five concurrent runs.
_SQLITE_LIMIT = 2


async def work(settings: Settings, *, stop: asyncio.Event, hurry: asyncio.Event, ready: Callable[[], object]) -> None:
    """Work until `stop` is set; then finish what is in progress within DRAIN_SECONDS, and hand back the rest.

    Args:
        hurry: when it is set, a drain takes one second at most, and one that is under way ends.
        ready: called once events are taken.
    """
    os.nice(NICE)
    limit = settings.max_concurrent_operations
    if settings.db.kind is DatabaseKind.SQLITE:
        limit = min(limit, _SQLITE_LIMIT)
        logger.info("on SQLite at most %d lifecycles run at once; PostgreSQL has no such limit", limit)
    if abandoned := await asyncio.to_thread(end_abandoned_commands):
        logger.warning("killed %d processes of commands whose worker is gone", abandoned)
    await _prefect_answers(settings)
    name = worker_name()
    async with (
        offloading(),
        serving_runtime(settings, name=name) as runtime,
        AsyncClientContext.get_or_create() as context,
    ):
        engine = Engine(
            context.client,
            await register(context.client),
            limit=limit,
            name=f"contexten-{socket.gethostname()}-{os.getpid()}",
        )
        await engine.look_for_pauses()
        cancellations = Cancellations(runtime, engine)
        if name is not None and any(left := await runtime.leases.succeed(name)):
            logger.warning("the worker before this one has left %d events and %d effects, which are taken over", *left)
        poll = settings.prefect_poll_seconds
        with asked_once():
            takes_on = [
                asyncio.create_task(dispatch(runtime, engine), name="dispatcher"),
                asyncio.create_task(engine.poll_scheduled(seconds=poll), name="scheduled-runs"),
                asyncio.create_task(_prune(runtime), name="retention"),
            ]
            sees_through = [
                asyncio.create_task(_deliver(runtime, engine, posters_of(settings, runtime.database)), name="outbox"),
                asyncio.create_task(cancellations.watch_database(), name="cancellations"),
                asyncio.create_task(cancellations.watch_prefect(seconds=poll), name="prefect-states"),
            ]
        stopping = asyncio.create_task(stop.wait())
        # What is there now stays; the garbage collector need not look at it again and again.
        gc.freeze()
        gc.set_threshold(_NEW_OBJECTS_BEFORE_COLLECTION, *gc.get_threshold()[1:])
        with signals_left_alone():
            ready()
            try:
                loops = [*takes_on, *sees_through]
                await asyncio.wait([stopping, *loops], return_when=asyncio.FIRST_COMPLETED)
                for loop in loops:
                    if loop.done():
                        loop.result()
            finally:
                stopping.cancel()
                for loop in takes_on:
                    loop.cancel()
                hasten = _HURRIED_DRAIN_SECONDS if hurry.is_set() else settings.drain_seconds
                hurry.clear()
                await engine.drain(seconds=min(hasten, settings.drain_seconds), hurry=hurry)
                for loop in sees_through:
                    loop.cancel()
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


async def _deliver(runtime: Runtime, engine: Engine, posters: Posters) -> None:
    async with Outbox(runtime, posters) as outbox:
        while True:
            started = 0
            # GitHub takes 80 such requests a minute; while many events wait, handling them is what matters.
            bursting = engine.is_running(BURST)
            try:
                started = await outbox.start_due(most=_POSTS_DURING_BURST if bursting else None)
            except SQLAlchemyError as error:
                logger.warning("the outbox cannot be read, will try again: %s", error)
                await asyncio.sleep(1)
            if bursting:
                await asyncio.sleep(_BURST_PACE_SECONDS)
            elif not started:
                await outbox.wait(runtime.settings.poll_seconds)


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
