from functools import partial

from prefect import task

from contexten_core.analytics.record import Recorded, record_outcome
from contexten_core.events.claim import RunRef
from contexten_core.events.steps import Step, run_step
from contexten_core.projects.resolve import Target
from contexten_core.prompts.select import Choice
from contexten_core.runtime import current_runtime
from contexten_core.tasks.outcome import Outcome
from tasks.policy import POLICY


@task(name=Step.RECORD_ANALYTICS, **POLICY)
async def record_analytics(run: RunRef, target: Target, choice: Choice, outcome: Outcome) -> Recorded:
    """Store durations, resources and outcome, and put the report in the outbox."""
    work = partial(record_outcome, target=target, choice=choice, outcome=outcome)
    async with current_runtime() as runtime:
        return await run_step(runtime, run, Step.RECORD_ANALYTICS, Recorded, work)
