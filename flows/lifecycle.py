"""The lifecycle of one event, as a Prefect flow of seven tasks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from prefect import flow
from prefect.runtime import flow_run

from contexten_core.codebase.examine import CodebaseSummary
from contexten_core.errors import GitError, LeaseLostError
from contexten_core.events.claim import RunRef, begin_run
from contexten_core.events.finish import (
    Ignored,
    LifecycleResult,
    complete_run,
    fail_run,
    hand_back,
    ignore_run,
)
from contexten_core.runtime import Runtime, current_runtime
from contexten_core.tasks.outcome import Unavailable
from tasks.analyse_codebase import analyse_codebase
from tasks.execute_task import execute_task
from tasks.ingest_event import ingest_event
from tasks.mine_patterns import mine_patterns
from tasks.record_analytics import record_analytics
from tasks.resolve_project import resolve_project
from tasks.select_prompt import select_prompt


@flow(name="lifecycle", retries=0, persist_result=False)
async def lifecycle(event_id: UUID) -> LifecycleResult:
    """Turn one stored event into one explained action.

    Args:
        event_id: an event's id, as `contexten events list` shows it. An event that has ended is handled again.
    """
    async with current_runtime() as runtime, handling(runtime, event_id) as run:
        event = await ingest_event(run)
        target = await resolve_project(run, event)
        if isinstance(target, Ignored):
            return await ignore_run(runtime, run, target)
        choice = await select_prompt(run, event, target)
        if isinstance(choice, Ignored):
            return await ignore_run(runtime, run, choice)
        try:
            code: CodebaseSummary | Unavailable = await analyse_codebase(run, target)
        except GitError as error:
            code = Unavailable.because(error)
        outcome = await execute_task(run, event, target, choice, code)
        await record_analytics(run, target, choice, outcome)
        await mine_patterns(run, target, choice, outcome)
        return await complete_run(runtime, run, outcome.conclusion)


@asynccontextmanager
async def handling(runtime: Runtime, event_id: UUID) -> AsyncIterator[RunRef]:
    """Hold the event for this run; note how it broke, and let go of it in every case."""
    run = await begin_run(runtime, event_id=event_id, flow_run_id=UUID(str(flow_run.get_id())))
    try:
        yield run
    except LeaseLostError:
        raise
    except asyncio.CancelledError:
        await asyncio.shield(hand_back(runtime, run))
        raise
    except Exception as error:
        await fail_run(runtime, run, error)
        raise
    finally:
        runtime.leases.release(event_id)
