"""The lifecycles of many events in one Prefect flow, for times when more wait than Prefect has room for."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from prefect import flow
from prefect.runtime import flow_run

from contexten_core.events.burst import BurstResult, added_up, begin_burst, groups_of
from contexten_core.events.claim import RunRef
from contexten_core.runtime import current_runtime
from tasks.handle_events import handle_events, task_name

# While some wait for the database, another has the processor. one that waits for the outside has none of it.
_GROUPS_AT_ONCE = 4
_TURN_SECONDS = 1.0


@flow(name="burst", retries=0, persist_result=False)
async def burst(event_ids: list[UUID]) -> BurstResult:
    """Turn many stored events into as many explained actions; each has a run, records and retries of its own.

    Args:
        event_ids: events that the dispatcher has claimed for this flow run; others are left alone.
    """
    free = asyncio.Semaphore(_GROUPS_AT_ONCE)

    async def handle(runs: Sequence[RunRef]) -> BurstResult:
        handle_all = handle_events.with_options(task_run_name=task_name(runs))
        async with asyncio.TaskGroup() as waiting, free:
            handling = waiting.create_task(handle_all(runs))
            await asyncio.wait({handling}, timeout=_TURN_SECONDS)
        return handling.result()

    async with current_runtime() as runtime:
        flow_run_id = UUID(str(flow_run.get_id()))
        runs = await begin_burst(runtime, event_ids=event_ids, flow_run_id=flow_run_id)
        groups = groups_of(runs, size=runtime.settings.burst_group)
        async with asyncio.TaskGroup() as handling:
            handled = [handling.create_task(handle(group)) for group in groups]
        return added_up(group.result() for group in handled)
