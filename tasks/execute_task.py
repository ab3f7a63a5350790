from functools import partial

from prefect import get_run_logger, task

from contexten_core.codebase.examine import CodebaseSummary
from contexten_core.events.claim import RunRef
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.steps import Step, run_step
from contexten_core.projects.resolve import Target
from contexten_core.prompts.select import Choice
from contexten_core.runtime import current_runtime
from contexten_core.tasks.execute import execute
from contexten_core.tasks.outcome import Outcome, Unavailable
from tasks.policy import POLICY
from tasks.relay import LogRelay


@task(name=Step.EXECUTE_TASK, **POLICY)
async def execute_task(
    run: RunRef, event: NormalisedEvent, target: Target, choice: Choice, code: CodebaseSummary | Unavailable
) -> Outcome:
    """Run the selected prompt's executor on the commit; its log is stored, and shown in Prefect as it grows."""
    relay = LogRelay(get_run_logger())
    work = partial(execute, event=event, target=target, choice=choice, code=code, say=relay.say)
    async with current_runtime() as runtime:
        outcome = await run_step(runtime, run, Step.EXECUTE_TASK, Outcome, work)
    relay.end(outcome.headline)
    return outcome
