"""Stop what is being carried out as soon as somebody ends its task: `/contexten cancel`, the API, the command line."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from contexten_core.db import Database
from contexten_core.tasks import store
from contexten_core.tasks.transition import ENDED

logger = logging.getLogger(__name__)
T = TypeVar("T")

EVERY_SECONDS = 1.0
"""How often a task is looked at while it is carried out."""


async def unless_ended(
    database: Database, task_id: UUID, work: Coroutine[Any, Any, T], *, every: float = EVERY_SECONDS
) -> T | None:
    """Return what `work` returns; None when its task was ended meanwhile: `work` was cancelled then, and is over.

    Args:
        every: seconds between two looks at the task.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_until_ended(database, task_id, every))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return await working
        working.cancel()
        await asyncio.wait({working})
        return None if working.cancelled() else await working
    finally:
        # Ours may have been cancelled: then nothing of it may go on alone.
        watching.cancel()
        working.cancel()
        await asyncio.gather(watching, working, return_exceptions=True)


async def _until_ended(database: Database, task_id: UUID, every: float) -> None:
    while True:
        await asyncio.sleep(every)
        try:
            async with database.reading() as session:
                task = await store.get(session, task_id)
        except SQLAlchemyError as error:
            # The store being away for a while is no reason to end the work.
            logger.warning("task %s could not be looked at: %s", task_id, error)
            continue
        if task is None or task.status in ENDED:
            return
