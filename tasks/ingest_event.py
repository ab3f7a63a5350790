from prefect import task

from contexten_core.events.claim import RunRef
from contexten_core.events.ingest import ingest
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.steps import Step, run_step
from contexten_core.runtime import current_runtime
from tasks.policy import POLICY


@task(name=Step.INGEST_EVENT, **POLICY)
async def ingest_event(run: RunRef) -> NormalisedEvent:
    """Read the stored delivery and put what it says in our words."""
    async with current_runtime() as runtime:
        return await run_step(runtime, run, Step.INGEST_EVENT, NormalisedEvent, ingest)
