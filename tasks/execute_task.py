from prefect import get_run_logger, task

from contexten_core import lifecycle
from contexten_core.codebase.examine import CodebaseSummary
from contexten_core.events.claim import RunRef
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.steps import Step
from contexten_core.projects.resolve import Target
from contexten_core.prompts.select import Choice
from contexten_core.runtime import current_runtime
from contexten_core.tasks.outcome import Outcome, Unavailable
from tasks.policy import policy_of_step
from tasks.relay import LogRelay


@task(name=Step.EXECUTE_TASK, **policy_of_step(Step.EXECUTE_TASK))
async def execute_task(
    run: RunRef, event: NormalisedEvent, target: Target, choice: Choice, code: CodebaseSummary | Unavailable
) -> Outcome:
    """Run the selected prompt's executor on the commit; its log is stored, and shown in Prefect as it grows."""
    relay = LogRelay(get_run_logger())
    async with current_runtime() as runtime:
        outcome = await lifecycle.execute_task(runtime, run, event, target, choice, code, say=relay.say)
    relay.end(outcome.headline)
    return outcome
