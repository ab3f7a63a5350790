from prefect import task

from contexten_core import lifecycle
from contexten_core.analytics.record import Recorded
from contexten_core.events.claim import RunRef
from contexten_core.events.steps import Step
from contexten_core.projects.resolve import Target
from contexten_core.prompts.select import Choice
from contexten_core.runtime import current_runtime
from contexten_core.tasks.outcome import Outcome
from tasks.policy import policy_of_step


@task(name=Step.RECORD_ANALYTICS, **policy_of_step(Step.RECORD_ANALYTICS))
async def record_analytics(run: RunRef, target: Target, choice: Choice, outcome: Outcome) -> Recorded:
    """Store durations, resources and outcome, and put the report in the outbox."""
    async with current_runtime() as runtime:
        return await lifecycle.record_analytics(runtime, run, target, choice, outcome)
