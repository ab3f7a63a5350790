"""A web process that starts while its database is away: it takes deliveries, and starts for good when it can."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from sqlalchemy.exc import SQLAlchemyError

from contexten_core.orchestrator import SystemOrchestrator

logger = logging.getLogger(__name__)

WAITS_FOR_DATABASE = "waits_for_database"
"""What the application's state has under this name: whether it is to start at all without its database."""

_LOOK_SECONDS = 1.0


@asynccontextmanager
async def started_or_waiting(
    orchestrator: SystemOrchestrator, *, initialize: Callable[[], Awaitable[None]]
) -> AsyncIterator[None]:
    """Initialize now, or, while the database does not answer, take deliveries into the spool and initialize later."""
    waiting: asyncio.Task[None] | None = None
    try:
        await initialize()
    except SQLAlchemyError as error:
        logger.warning("the database does not answer; deliveries are spooled until it does: %s", error)
        await _take_deliveries(orchestrator)
        waiting = asyncio.create_task(_initialize_later(orchestrator, initialize), name="waiting-for-database")
    try:
        yield
    finally:
        if waiting is not None:
            waiting.cancel()
            await asyncio.wait([waiting])
            if not orchestrator.is_initialized():
                await orchestrator.intake.close()
                await orchestrator.database.close()


async def _take_deliveries(orchestrator: SystemOrchestrator) -> None:
    if not orchestrator.database.is_open:
        orchestrator.database.open(orchestrator.settings.db)
    await orchestrator.intake.start()


async def _initialize_later(orchestrator: SystemOrchestrator, initialize: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        try:
            if not orchestrator.is_initialized():
                await orchestrator.database.ping()
                # Initializing opens it anew.
                await orchestrator.database.close()
                await initialize()
        except (SQLAlchemyError, OSError) as error:
            logger.info("the database does not answer yet: %s", error)
            await _take_deliveries(orchestrator)
        else:
            logger.info("the database answers, everything is served now")
            return
