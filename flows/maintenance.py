"""The maintenance flow: what keeps a stack whole while nobody looks."""

from uuid import UUID

from prefect import flow
from prefect.runtime import flow_run

from contexten_core.events.recovery_result import RecoveryResult
from tasks.collect_trees import collect_trees
from tasks.conclude_experiments import conclude_experiments
from tasks.recover_deliveries import recover_deliveries


@flow(name="maintenance", retries=0, persist_result=False)
async def maintenance() -> RecoveryResult:
    """End the experiments that show enough, free disk space, and recover what GitHub could not hand over."""
    await conclude_experiments()
    await collect_trees()
    return await recover_deliveries(UUID(str(flow_run.get_id())), flow_run.get_scheduled_start_time())
