"""The lifecycle of one event, as a Prefect flow of seven tasks."""

from uuid import UUID

from prefect import flow
from prefect.runtime import flow_run

from contexten_core.events.claim import begin_run
from contexten_core.events.finish import LifecycleResult
from contexten_core.lifecycle import Steps, handling, live
from contexten_core.runtime import current_runtime
from tasks.analyse_codebase import analyse_codebase
from tasks.execute_task import execute_task
from tasks.ingest_event import ingest_event
from tasks.mine_patterns import mine_patterns
from tasks.record_analytics import record_analytics
from tasks.resolve_project import resolve_project
from tasks.select_prompt import select_prompt

STEPS = Steps(
    ingest_event=ingest_event,
    resolve_project=resolve_project,
    select_prompt=select_prompt,
    analyse_codebase=analyse_codebase,
    execute_task=execute_task,
    record_analytics=record_analytics,
    mine_patterns=mine_patterns,
)


@flow(name="lifecycle", retries=0, persist_result=False)
async def lifecycle(event_id: UUID) -> LifecycleResult:
    """Turn one stored event into one explained action.

    Args:
        event_id: an event's id, as `contexten events list` shows it. An event that has ended is handled again.
    """
    async with current_runtime() as runtime:
        run = await begin_run(runtime, event_id=event_id, flow_run_id=UUID(str(flow_run.get_id())))
        async with handling(runtime, run):
            return await live(runtime, run, STEPS)
