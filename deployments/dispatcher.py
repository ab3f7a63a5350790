"""The dispatcher: claims stored events and has the engine run the lifecycle of each."""

import asyncio
import logging

from prefect.states import Pending
from sqlalchemy.exc import SQLAlchemyError

from contexten_core.events.claim import RunRef, attach_flow_run, claim_events
from contexten_core.runtime import Runtime
from deployments.catalogue import LIFECYCLE
from deployments.engine import UNREACHABLE, Engine

logger = logging.getLogger(__name__)

_BATCH = 20
_PAUSE_SECONDS = 1.0


async def dispatch(runtime: Runtime, engine: Engine) -> None:
    """Claim events for ever and start a run of `lifecycle/webhook` for each."""
    while True:
        claimed: list[RunRef] = []
        try:
            if engine.free:
                claimed = await claim_events(runtime, limit=min(engine.free, _BATCH))
        except SQLAlchemyError as error:
            logger.warning("the database does not answer, will ask again: %s", error)
            await asyncio.sleep(_PAUSE_SECONDS)
        for run in claimed:
            await _start(runtime, engine, run)
        if len(claimed) < _BATCH:
            await asyncio.sleep(runtime.settings.poll_seconds)


async def _start(runtime: Runtime, engine: Engine, run: RunRef) -> None:
    """Start one claimed run. Whatever keeps it from starting, its lease is let go, runs out, and is claimed again."""

    def let_go() -> None:
        runtime.leases.release(run.event_id)

    try:
        flow_run = await engine.client.create_flow_run_from_deployment(
            engine.deployment_id(LIFECYCLE),
            name=run.name,
            tags=run.tags,
            parameters={"event_id": str(run.event_id)},
            state=Pending(),
            idempotency_key=f"{run.event_id}:{run.epoch}",
        )
        async with runtime.database.transaction() as session:
            await attach_flow_run(session, run_id=run.run_id, flow_run_id=flow_run.id)
    except (*UNREACHABLE, SQLAlchemyError) as error:
        logger.warning("%s could not be started, will be tried again: %s", run.name, error)
        let_go()
        await asyncio.sleep(_PAUSE_SECONDS)
        return
    if run.abandoned_flow_run_id is not None:
        await engine.give_up(run.abandoned_flow_run_id)
    engine.start(flow_run, ended=let_go)
